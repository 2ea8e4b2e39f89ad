"""When a workflow starts: cron, interval or event, with its zone, its bounds, and what happens to missed starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from ripresa.contracts.cron import CHARS_MAX, CronRefused, require_cron
from ripresa.contracts.spec.base import Spec, refuse
from ripresa.contracts.spec.moments import moment_of
from ripresa.contracts.spec.values import Day, Interval, Line, TimeLimit, Zone


def _check_cron(value: str) -> str:
    from ripresa.contracts.cron import Cron  # noqa: PLC0415 - beside its only use

    try:
        Cron.parse(value)
    except CronRefused as refused:
        raise refuse(refused.code, refused.message, refused.remedy) from None
    return value


CronText = Annotated[
    str,
    AfterValidator(_check_cron),
    WithJsonSchema({"type": "string", "maxLength": CHARS_MAX, "examples": ["0 2 * * *", "@daily"]}),
]


class CatchUp(Spec):
    """How many missed starts are made up for."""

    max: int = Field(ge=1, le=10_000, description="At most so many, the newest first chosen.")
    window: TimeLimit | None = Field(default=None, description="None that is older than this.")


def _kind_of_catchup(value: Any) -> str | None:
    if isinstance(value, bool):
        return "<flag>"
    return "<map>" if isinstance(value, dict | CatchUp) else "<word>"


CatchUpField = Annotated[
    Annotated[bool, Tag("<flag>")] | Annotated[Literal["last"], Tag("<word>")] | Annotated[CatchUp, Tag("<map>")],
    Discriminator(_kind_of_catchup),
]


class Dst(Spec):
    """What a cron does when clocks change."""

    gap: Literal["run_after", "skip"] = Field(
        default="run_after", description="A time that does not exist: start at the first that does, or not at all."
    )
    overlap: Literal["first", "second", "both"] = Field(
        default="first", description="A time that comes twice: start at the first, at the second, or at both."
    )


class Schedule(Spec):
    """When the workflow starts by itself: one of `cron`, `interval` and `trigger`."""

    cron: CronText | None = Field(default=None, description="Five fields, or `@daily` and its kind; see the dialect.")
    interval: Interval | None = Field(default=None, description="From `start_date` on, one start each so long.")
    trigger: Line | None = Field(default=None, description="Type of the event that starts a run.")
    source: Line | None = Field(default=None, description="The event's source must begin with this (`trigger` only).")
    where: Line | None = Field(default=None, description="Expression over the event that must hold (`trigger` only).")
    timezone: Zone = Field(default="UTC", description="Zone of the cron's times and of dates, of the IANA database.")
    start_date: Day | None = Field(default=None, description="No start before it: a date, or a moment with its offset.")
    end_date: Day | None = Field(default=None, description="No start after it.")
    catchup: CatchUpField = Field(
        default=False, description="Missed starts: `false` none, `last` the newest, `true` all, or `{max, window}`."
    )
    overlap: Literal["skip", "queue", "allow", "cancel_running"] = Field(
        default="skip", description="What a start does while the last run goes on."
    )
    dst: Dst = Field(default=Dst.model_construct(), description="What a cron does when clocks change.")
    day_match: Literal["or", "and"] = Field(
        default="or", description="Day of month and day of week both given: either must fit, or both."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Schedule:
        given = [name for name in ("cron", "interval", "trigger") if getattr(self, name) is not None]
        if len(given) > 1:
            said = f"{' and '.join(given)} are given, and one of them can be the schedule"
            raise refuse("given_twice", said, "keep one", at=(given[1],))
        if not given:
            raise refuse("incomplete", "it does not say when", "write cron, interval or trigger")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Schedule:
        needs = {"source": "trigger", "where": "trigger", "day_match": "cron", "dst": "cron"}
        for name, other in needs.items():
            if name in self.model_fields_set and getattr(self, name) is not None and getattr(self, other) is None:
                raise refuse("contradiction", f"{name} belongs to {other}, which is not given", "remove it", at=(name,))
        if self.trigger is not None and self.catchup is not False:
            raise refuse(
                "contradiction", "events are not missed, so there is nothing to catch up", "remove it", at=("catchup",)
            )
        return self

    @model_validator(mode="after")
    def _ever_fires(self) -> Schedule:
        if self.start_date and self.end_date:
            start, end = (moment_of(one, self.timezone) for one in (self.start_date, self.end_date))
            if start > end:
                said = f"end_date {self.end_date} is before start_date {self.start_date}"
                raise refuse("contradiction", said, "write a later day", at=("end_date",))
        if self.cron is not None:
            try:
                require_cron(self.cron, both_days=self.day_match == "and")
            except CronRefused as refused:
                raise refuse(refused.code, refused.message, refused.remedy, at=("cron",)) from None
        return self


class Dependency(Spec):
    """Another workflow that this one waits for, run by run."""

    workflow: Annotated[str, Field(min_length=1)] = Field(description="The other workflow's name.")
    wait_for_completion: bool = Field(
        default=True, description="Wait for its run of the same logical date to succeed; false: for it to have started."
    )
