"""The base of all models of the contract, and the way their checks refuse a value."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Spec(BaseModel):
    """A mapping of the contract: every field described, unknown ones refused, values never converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)

    def written(self) -> dict[str, Any]:
        """What was given, as JSON data under the contract's own names; defaults are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def refuse(code: str, message: str, remedy: str, *, at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """The error of a check: a word for programs, what is wrong, what to do, and the field if it is one within."""
    return PydanticCustomError("spec", "{message}", {"code": code, "message": message, "remedy": remedy, "at": at})
