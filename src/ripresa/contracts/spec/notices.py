"""Notifications: who is told when a run ends, is set aside, or is late."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, WithJsonSchema

from ripresa.contracts.spec.base import Spec, refuse
from ripresa.contracts.spec.outside import SecretRef
from ripresa.contracts.spec.values import Line

_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", re.ASCII
)


def _check_address(value: str) -> str:
    if _ADDRESS.fullmatch(value):
        return value
    raise refuse("address_invalid", f"{value[:60]!r} is no mail address", "write name@example.com")


Address = Annotated[str, AfterValidator(_check_address), WithJsonSchema({"type": "string", "format": "email"})]


class Email(Spec):
    """A mail."""

    type: Literal["email"] = Field(description="`email`.")
    recipients: list[Address] = Field(min_length=1, max_length=100, description="Who gets it.")


class Slack(Spec):
    """A message in Slack."""

    type: Literal["slack"] = Field(description="`slack`.")
    channel: Line = Field(description="The channel, as `#data-alerts`.")
    url_from: SecretRef | None = Field(default=None, description="Secret that holds the incoming webhook's address.")


class Webhook(Spec):
    """A signed HTTP request."""

    type: Literal["webhook"] = Field(description="`webhook`.")
    url_from: SecretRef = Field(description="Secret that holds the address.")


Notice = Annotated[Email | Slack | Webhook, Discriminator("type")]


class Notifications(Spec):
    """Who is told what."""

    on_failure: list[Notice] = Field(default_factory=list, max_length=100, description="When a run has failed.")
    on_success: list[Notice] = Field(default_factory=list, max_length=100, description="When a run has succeeded.")
    on_quarantine: list[Notice] = Field(default_factory=list, max_length=100, description="When a run was set aside.")
    on_late: list[Notice] = Field(default_factory=list, max_length=100, description="When a run missed its `sla`.")
