"""The whole: a workflow with its jobs, and the two kinds of file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, WithJsonSchema, model_validator

from ripresa.contracts.spec.base import Spec, refuse
from ripresa.contracts.spec.entries import Entry, JobSpec
from ripresa.contracts.spec.notices import Notifications
from ripresa.contracts.spec.policies import RetrySpec, Timeout, TimeoutSpec
from ripresa.contracts.spec.schedule import Dependency, Schedule
from ripresa.contracts.spec.values import ClockTime, Label, Line, Name, RuntimeName, TargetName, Text, TimeLimit
from ripresa.contracts.spec.versions import CONTRACT

JOBS_MAX = 10_000

_DEFAULTED = frozenset(("job", "python", "pipeline"))
"""Kinds that `defaults` speaks of: those that do work of their own."""


class Concurrency(Spec):
    """How many runs with the same key go on at a time."""

    key: Text = Field(default="", description="What is counted; runs with other keys do not count. Templates.")
    limit: int = Field(default=1, ge=1, le=10_000, description="Runs at a time.")
    policy: Literal["queue", "skip", "cancel_running", "fail"] = Field(
        default="queue", description="What one more does."
    )


class Sla(Spec):
    """When a run should be done; being late raises `on_late`, and stops nothing."""

    finish_within: TimeLimit | None = Field(default=None, description="So long after it started.")
    by: ClockTime | None = Field(default=None, description="At this time of day, in the schedule's zone.")

    @model_validator(mode="after")
    def _says_when(self) -> Sla:
        if self.finish_within is None and self.by is None:
            raise refuse("incomplete", "it does not say when", 'write finish_within: 4h, or by: "06:00"')
        return self


class Defaults(Spec):
    """What `job`, `python` and `pipeline` entries have that say nothing else; an entry's own field replaces it."""

    retry: RetrySpec | None = Field(default=None, description="How often they are attempted.")
    runtime: RuntimeName | None = Field(default=None, description="Where jobs run.")
    timeout: Timeout | None = Field(default=None, description="Their time limits.")


class Portability(Spec):
    """Where the workflow must be able to run, and how exactly."""

    require: list[TargetName] = Field(default_factory=list, description="Targets that it must fit.")
    allow: Literal["exact", "emulated", "approximate"] = Field(
        default="emulated", description="How far from exact a target may be."
    )


class WorkflowSpec(Spec):
    """A workflow."""

    name: Name = Field(description="Its name; runs, schedules and other workflows refer to it.")
    version: Line | None = Field(default=None, description="A label; the hash of the content is always recorded too.")
    description: Text = Field(default="", description="What it is for.")
    input: dict[str, JsonValue] = Field(
        default_factory=dict, description="JSON Schema of its params: an object. Draws the form, too."
    )
    output: JsonValue = Field(default=None, description="Its output; absent: that of the last entries. Templates.")
    schedule: Schedule | None = Field(default=None, description="When it starts by itself.")
    dependencies: list[Dependency] = Field(
        default_factory=list, max_length=1000, description="Workflows that it waits for."
    )
    idempotency_key: Text | None = Field(
        default=None, description="Two starts with the same key are one run. Templates."
    )
    concurrency: Concurrency | None = Field(default=None, description="How many of its runs go on at a time.")
    priority: int = Field(default=0, ge=-1000, le=1000, description="Higher first.")
    timeout: TimeLimit | None = Field(default=None, description="Of a whole run.")
    labels: list[Label] = Field(
        default_factory=list,
        max_length=100,
        description="What the engines must have that carry out its jobs, beside what each needs of its own.",
    )
    sla: Sla | None = Field(default=None, description="When a run should be done.")
    on_failure: Literal["stop", "abort", "continue"] = Field(
        default="stop",
        description="A job failed: `stop` what depends on it, `abort` all that runs, or `continue` downstream.",
    )
    notifications: Notifications = Field(default=Notifications.model_construct(), description="Who is told what.")
    defaults: Defaults = Field(
        default=Defaults.model_construct(), description="What entries have that say nothing else."
    )
    portability: Portability | None = Field(default=None, description="Where it must be able to run.")
    targets: dict[TargetName, dict[str, JsonValue]] = Field(
        default_factory=dict, description="Settings for one target only."
    )
    jobs: list[Entry] = Field(min_length=1, max_length=JOBS_MAX, description="The nodes of the graph.")
    finally_: list[Entry] = Field(
        default_factory=list,
        alias="finally",
        max_length=JOBS_MAX,
        description="Entries that run at the end, whatever happened.",
    )

    def retry_of(self, entry: Entry) -> RetrySpec | None:
        """The entry's retry policy: its own, else the default; None: one attempt."""
        return entry.own_retry or (self.defaults.retry if entry.kind in _DEFAULTED else None)

    def timeout_of(self, entry: Entry) -> TimeoutSpec | None:
        """The entry's time limits: its own, else the default."""
        return entry.own_timeout or (self.defaults.timeout if entry.kind in _DEFAULTED else None)

    def runtime_of(self, job: JobSpec) -> RuntimeName:
        """Where the job runs: its own, else the default, else in a container."""
        return job.runtime or self.defaults.runtime or "container"


Contract = Annotated[str, WithJsonSchema({"type": "string", "const": CONTRACT})]


class WorkflowFile(Spec):
    """A file with a workflow."""

    contract: Contract = Field(default=CONTRACT, description='Version of the contract: "1.0".')
    workflow: WorkflowSpec = Field(description="The workflow.")


class JobFile(Spec):
    """A file with a job that stands alone."""

    contract: Contract = Field(default=CONTRACT, description='Version of the contract: "1.0".')
    job: JobSpec = Field(description="The job.")
