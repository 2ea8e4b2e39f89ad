"""Policies: how often and how long something is tried, within which limits, and what its exit codes mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ripresa.contracts.durations import micros
from ripresa.contracts.spec.base import Spec, refuse
from ripresa.contracts.spec.values import Cpu, Delay, Factor, Memory, TimeLimit

ATTEMPTS_MAX = 100


class RetrySpec(Spec):
    """How often, and how far apart, something is attempted.  Absent: one attempt."""

    max_attempts: int | None = Field(
        default=None,
        ge=1,
        le=ATTEMPTS_MAX,
        description="Attempts in total, the first included (3 if neither is given).",
    )
    max_retries: int | None = Field(
        default=None, ge=0, le=ATTEMPTS_MAX - 1, description="Attempts after the first; instead of `max_attempts`."
    )
    delay: Delay = Field(default="1s", description="Wait before the second attempt.")
    exponential_backoff: bool | None = Field(
        default=None, description="Multiply the wait after each attempt (false, unless a multiplier is given)."
    )
    backoff_multiplier: float = Field(default=2.0, ge=1, le=100, description="What the wait is multiplied by.")
    max_delay: Delay = Field(default="1h", description="No wait is longer.")
    jitter: Literal["none", "full"] = Field(
        default="none", description="`full` draws each wait evenly between zero and its value."
    )
    max_elapsed: TimeLimit | None = Field(
        default=None, description="No attempt begins this long after the first one began."
    )

    @model_validator(mode="after")
    def _one_count(self) -> RetrySpec:
        if self.max_attempts is not None and self.max_retries is not None:
            remedy = f"keep max_attempts: {self.max_retries + 1} (it counts the first attempt too)"
            raise refuse("given_twice", "max_attempts and max_retries say the same thing", remedy, at=("max_retries",))
        if self.exponential_backoff is False and "backoff_multiplier" in self.model_fields_set:
            remedy = "remove it, or write exponential_backoff: true"
            raise refuse("contradiction", "backoff_multiplier has no effect", remedy, at=("backoff_multiplier",))
        if micros(self.delay) > micros(self.max_delay):
            remedy = "raise max_delay" if "max_delay" in self.model_fields_set else f"write max_delay: {self.delay}"
            said = f"the delay {self.delay} is longer than max_delay {self.max_delay}"
            raise refuse("contradiction", said, remedy, at=("delay",))
        return self

    @property
    def attempts(self) -> int:
        """Attempts in total."""
        if self.max_attempts is not None:
            return self.max_attempts
        return self.max_retries + 1 if self.max_retries is not None else 3

    @property
    def multiplier(self) -> float:
        """What the wait is multiplied by after each attempt; 1: it stays the same."""
        given = "backoff_multiplier" in self.model_fields_set
        return self.backoff_multiplier if self.exponential_backoff or given else 1.0


class TimeoutSpec(Spec):
    """Time limits.  A bare duration is the limit of each attempt."""

    attempt: TimeLimit | None = Field(default=None, description="Of each attempt, once it runs; it is tried again.")
    total: TimeLimit | None = Field(default=None, description="Of all attempts and the waits between them.")
    queue: TimeLimit | None = Field(default=None, description="Of waiting for a worker or a pool.")
    heartbeat: TimeLimit | None = Field(default=None, description="Between two signs of life.")
    grace: Delay = Field(
        default="10s", description="Between asking the work to stop (SIGTERM) and killing it (SIGKILL)."
    )

    @model_validator(mode="after")
    def _in_order(self) -> TimeoutSpec:
        if self.attempt and self.total and micros(self.attempt) > micros(self.total):
            said = f"an attempt may take {self.attempt}, and all of them {self.total}"
            raise refuse("contradiction", said, "raise total, or lower attempt", at=("attempt",))
        if not self.model_fields_set:
            raise refuse("nothing_given", "no limit is given", "write attempt, total, queue, heartbeat or grace")
        return self


def _limits(value: Any) -> Any:
    return {"attempt": value} if isinstance(value, str) else value


Timeout = Annotated[TimeoutSpec, BeforeValidator(_limits, json_schema_input_type=TimeLimit | TimeoutSpec)]
"""`30m`, or a mapping of `TimeoutSpec`."""


class OnRetry(Spec):
    """What a further attempt gets more of."""

    memory: Factor = Field(description='Memory of each further attempt, as a factor: `"*2"` doubles it each time.')
    max: Memory | None = Field(default=None, description="Memory never rises above this.")


class Resources(Spec):
    """What a job may use.  Quantities as in Kubernetes."""

    cpu: Cpu | None = Field(default=None, description="Cores: `500m` is half of one, `2` are two.")
    memory: Memory | None = Field(default=None, description="Memory: `512Mi`, `2Gi`.")
    on_retry: OnRetry | None = Field(default=None, description="What a further attempt gets more of.")

    @model_validator(mode="after")
    def _something_to_raise(self) -> Resources:
        from ripresa.contracts.quantities import memory_bytes  # noqa: PLC0415 - beside its only use

        if self.on_retry is None:
            return self
        if self.memory is None:
            raise refuse(
                "incomplete", "on_retry raises a memory that is not given", "write memory: too", at=("on_retry",)
            )
        if self.on_retry.max and memory_bytes(self.on_retry.max) < memory_bytes(self.memory):
            said = f"max {self.on_retry.max} is below memory {self.memory}"
            raise refuse("contradiction", said, "raise max", at=("on_retry", "max"))
        return self


ExitCode = Annotated[int, Field(ge=1, le=255)]
_CANNOT_START = frozenset((125, 126, 127))


class ExitCodes(Spec):
    """What a job's exit codes mean.  0 is success; those not listed are failures worth a retry, 125 to 127 are not."""

    terminal: list[ExitCode] = Field(
        default_factory=list, max_length=255, description="No further attempt can succeed."
    )
    quarantine: list[ExitCode] = Field(
        default_factory=list, max_length=255, description="Set the run aside for a person."
    )
    skip: list[ExitCode] = Field(
        default_factory=list, max_length=255, description="There was nothing to do: the job counts as skipped."
    )

    @model_validator(mode="after")
    def _each_once(self) -> ExitCodes:
        seen: dict[int, str] = {}
        for meaning, codes in (("terminal", self.terminal), ("quarantine", self.quarantine), ("skip", self.skip)):
            for index, code in enumerate(codes):
                if code in seen:
                    said = f"exit code {code} is {seen[code]} already"
                    raise refuse("given_twice", said, "list each code once", at=(meaning, index))
                if code in _CANNOT_START and meaning != "terminal":
                    said = f"exit code {code} means that the job could not start"
                    raise refuse("exit_code_reserved", said, "let the job exit with 1 to 124", at=(meaning, index))
                seen[code] = meaning
        return self


class QualitySpec(Spec):
    """What a result must hold to count: its output tells `valid_rate`, `null_rate` and `record_count`."""

    min_valid_rate: float | None = Field(default=None, ge=0, le=1, description="Share of records that must be valid.")
    max_null_rate: float | None = Field(default=None, ge=0, le=1, description="Share of nulls that may be there.")
    min_record_count: int | None = Field(default=None, ge=0, description="Records that must be there.")
    on_breach: Literal["fail", "warn", "quarantine"] = Field(
        default="fail", description="What a breach does: fail the entry, only say so, or set the run aside."
    )
