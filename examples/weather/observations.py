"""Observations: what a day at the station must look like, and what becomes of a row that does not.

A row comes from somebody else.  It is checked once, here, at the edge, so that everything behind can trust it.  A row
that breaks the contract is quarantined with every reason: neither dropped silently nor repaired by guessing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import date
from importlib.metadata import distribution
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

Day = Annotated[date, BeforeValidator(lambda text: text.replace("/", "-") if isinstance(text, str) else text)]
Celsius = Annotated[float, Field(ge=-40, le=50, allow_inf_nan=False)]


class Observation(BaseModel):
    """One day at the station: the contract that every row must meet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: Day
    precipitation: Annotated[float, Field(ge=0, le=500, allow_inf_nan=False)]  # mm
    temp_max: Celsius
    temp_min: Celsius
    wind: Annotated[float, Field(ge=0, le=75, allow_inf_nan=False)]  # m/s, the day's mean
    weather: Literal["drizzle", "fog", "rain", "snow", "sun"]

    @model_validator(mode="after")
    def _night_is_no_warmer_than_day(self) -> Self:
        if self.temp_min > self.temp_max:
            raise ValueError(f"temp_min {self.temp_min} is above temp_max {self.temp_max}")
        return self

    @property
    def month(self) -> str:
        """Its month, as `2012-01`."""
        return f"{self.date:%Y-%m}"


class QuarantinedRow(BaseModel):
    """A row that broke the contract: where it stood, what it said, and every reason."""

    source: str
    line: int
    row: dict[str, str]
    reasons: list[str]


class Sifted(NamedTuple):
    """All rows of some files, each on one side."""

    passed: list[Observation]
    quarantined: list[QuarantinedRow]


def packaged(name: str) -> Path:
    """A data file that the `vega_datasets` package ships, found without importing it (and pandas with it)."""
    return Path(str(distribution("vega_datasets").locate_file(f"vega_datasets/_data/{name}")))


def sift(sources: Iterable[Path]) -> Sifted:
    """Check every row of the files; of two rows for one day the first is kept."""
    passed: dict[date, Observation] = {}
    quarantined = []
    for source in sources:
        for line, row in _rows(source):
            judged = _judge(row, passed)
            if isinstance(judged, Observation):
                passed[judged.date] = judged
            else:
                quarantined.append(QuarantinedRow(source=source.name, line=line, row=row, reasons=judged))
    return Sifted(sorted(passed.values(), key=lambda seen: seen.date), quarantined)


def _judge(row: dict[str, str], known: dict[date, Observation]) -> Observation | list[str]:
    try:
        observation = Observation.model_validate({name: value for name, value in row.items() if value})
    except ValidationError as error:
        return [_reason(problem) for problem in error.errors(include_url=False)]
    if observation.date in known:
        return [f"date: {observation.date} has been observed already"]
    return observation


def _reason(problem: Any) -> str:
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{place}: is missing"
    if problem["type"] == "extra_forbidden":
        return f"{place}: is not in the contract"
    return f"{place}: {message}, and is {problem['input']!r}" if place else message


def _rows(source: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row; lines that start with # are remarks."""
    with source.open(encoding="utf-8", newline="") as file:
        numbered = ((number, line) for number, line in enumerate(file, 1) if not line.startswith("#"))
        names = next(csv.reader([next(numbered)[1]]))
        for number, line in numbered:
            fields = next(csv.reader([line]))
            beyond = [f"field {place}" for place in range(len(names) + 1, len(fields) + 1)]
            yield number, dict(zip([*names, *beyond], fields, strict=False))
