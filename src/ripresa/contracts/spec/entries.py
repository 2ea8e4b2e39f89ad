"""Entries of `jobs:` and `finally:`: one kind of work each, and beside it when and how it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, StrictBool, model_validator

from ripresa.contracts.spec.base import Spec, refuse
from ripresa.contracts.spec.outside import EnvKey, Image, SecretRef, Volume
from ripresa.contracts.spec.policies import ExitCodes, QualitySpec, Resources, RetrySpec, Timeout, TimeoutSpec
from ripresa.contracts.spec.values import Call, Expression, Label, Name, ParamName, RuntimeName, Text, TimeLimit, Until

ARGUMENTS_MAX = 10_000
OutputType = Literal["string", "integer", "number", "boolean", "array", "object", "null", "any"]


class Work(Spec):
    """What all kinds have."""

    name: Name = Field(description="Unique within the workflow.")
    description: Text = Field(default="", description="What it is for.")
    retry: RetrySpec | None = Field(default=None, description="How often it is attempted; absent: once.")


class TimedWork(Work):
    """What all kinds but waits have: time limits."""

    timeout: Timeout | None = Field(default=None, description="A duration for each attempt, or a mapping of limits.")


class PooledWork(TimedWork):
    """What kinds have that may wait for a pool."""

    @model_validator(mode="after")
    def _key_of_a_pool(self) -> Self:
        if getattr(self, "pool_key", None) is not None and getattr(self, "pool", None) is None:
            said = "pool_key belongs to pool, which is not given"
            raise refuse("incomplete", said, "name the pool", at=("pool_key",))
        return self


class JobSpec(PooledWork):
    """A containerised job."""

    image: Image = Field(description="Image reference: `[registry/]path[:tag][@digest]`.")
    command: list[Text] | None = Field(
        default=None,
        min_length=1,
        max_length=ARGUMENTS_MAX,
        description="Program and its first arguments; absent: the image's own.",
    )
    args: list[Text] = Field(
        default_factory=list, max_length=ARGUMENTS_MAX, description="Arguments after the command. Templates."
    )
    params: dict[ParamName, JsonValue] = Field(
        default_factory=dict,
        max_length=1000,
        description="Values of the job; also in the environment as `PARAM_NAME`. Templates.",
    )
    env: dict[EnvKey, Text] = Field(
        default_factory=dict, max_length=1000, description="Environment. Templates in the values."
    )
    secrets: dict[EnvKey, SecretRef] = Field(
        default_factory=dict,
        max_length=1000,
        description="Environment from secrets: `env:NAME`, `file:/path`, `secret:path#key`.",
    )
    volumes: list[Volume] = Field(
        default_factory=list, max_length=100, description="Folders in the container: `name:/inside[:ro]`."
    )
    resources: Resources = Field(default=Resources.model_construct(), description="CPU and memory.")
    exit_codes: ExitCodes = Field(default=ExitCodes.model_construct(), description="What its exit codes mean.")
    pool: Name | None = Field(default=None, description="Named capacity that it waits for.")
    pool_key: Text | None = Field(default=None, description="Whose turn it is in the pool; keys take turns. Template.")
    labels: list[Label] = Field(
        default_factory=list,
        max_length=100,
        description="What the engine must have that carries it out: `gpu`, `gpu=a100`.",
    )
    runtime: RuntimeName | None = Field(
        default=None, description="Where it runs; absent: the default, else `container`."
    )
    outputs: dict[ParamName, OutputType] = Field(
        default_factory=dict,
        max_length=1000,
        description="Keys, and their types, of the JSON object that the job leaves in the file `$JOB_OUTPUT`.",
    )

    @model_validator(mode="after")
    def _environment_once(self) -> JobSpec:
        for key in self.secrets:
            if key in self.env:
                raise refuse("given_twice", f"{key} is in env and in secrets", "keep one", at=("env", key))
        upper: dict[str, str] = {}
        for key in self.params:
            if key.upper() in upper:
                said = f"{upper[key.upper()]} and {key} are both PARAM_{key.upper()} in the environment"
                raise refuse("duplicate_name", said, "rename one", at=("params", key))
            upper[key.upper()] = key
        return self

    @model_validator(mode="after")
    def _fits_the_system(self) -> JobSpec:
        size = sum(len(one) for one in [*(self.command or []), *self.args])
        if size > 1_000_000:
            raise refuse(
                "too_long", f"command and args have {size:,} characters", "put the data into a file", at=("args",)
            )
        return self


class PythonSpec(PooledWork):
    """A Python function."""

    call: Call = Field(description="`package.module:function`, found beside the definition or on PYTHONPATH.")
    with_: dict[ParamName, JsonValue] = Field(
        default_factory=dict, alias="with", max_length=1000, description="Its arguments by name. Templates."
    )
    pool: Name | None = Field(default=None, description="Named capacity that it waits for.")
    pool_key: Text | None = Field(default=None, description="Whose turn it is in the pool; keys take turns. Template.")
    labels: list[Label] = Field(
        default_factory=list,
        max_length=100,
        description="What the engine must have that carries it out: `gpu`, `gpu=a100`.",
    )


class PipelineSpec(PooledWork):
    """A registered pipeline."""

    pipeline: Name = Field(description="Name that it was registered under.")
    params: dict[ParamName, JsonValue] = Field(
        default_factory=dict, max_length=1000, description="Its parameters. Templates."
    )
    pool: Name | None = Field(default=None, description="Named capacity that it waits for.")
    pool_key: Text | None = Field(default=None, description="Whose turn it is in the pool; keys take turns. Template.")
    labels: list[Label] = Field(
        default_factory=list,
        max_length=100,
        description="What the engine must have that carries it out: `gpu`, `gpu=a100`.",
    )


class Case(Spec):
    """One way on."""

    if_: Expression = Field(alias="if", description="`{{ … }}`; the first case that holds is taken.")
    then: Name = Field(description="The entry that runs then.")


class ChoiceSpec(TimedWork):
    """A choice between entries: the one that is chosen runs, the others are skipped."""

    cases: list[Case] = Field(min_length=1, max_length=1000, description="Looked at in order.")
    else_: Name | None = Field(default=None, alias="else", description="The entry that runs if no case holds.")

    @property
    def targets(self) -> list[str]:
        """All entries that may be chosen, each once."""
        named = [case.then for case in self.cases] + ([self.else_] if self.else_ else [])
        return list(dict.fromkeys(named))


class WaitSpec(Work):
    """A durable wait: one of `for` and `until`."""

    for_: TimeLimit | None = Field(default=None, alias="for", description="How long.")
    until: Until | None = Field(default=None, description="Until when: a moment with its offset, or a template.")

    @model_validator(mode="after")
    def _one_end(self) -> WaitSpec:
        if self.for_ is not None and self.until is not None:
            raise refuse("given_twice", "for and until are both given", "keep one", at=("until",))
        if self.for_ is None and self.until is None:
            raise refuse("incomplete", "it does not say how long", "write for: 10m, or until: a moment")
        return self


class SignalSpec(Work):
    """A wait for a signal of this name; its value is the output."""

    timeout: TimeLimit | None = Field(default=None, description="Fail if it has not come so long after.")


class ChildSpec(TimedWork):
    """A run of another workflow."""

    definition: Name = Field(description="The other workflow's name.")
    params: dict[ParamName, JsonValue] = Field(
        default_factory=dict, max_length=1000, description="Its parameters. Templates."
    )


class DependsOn(Spec):
    """Another entry that must have come to an end, and to which."""

    job: Name = Field(description="The other entry's name.")
    when: Literal["succeeded", "failed", "skipped", "done", "quarantined"] | None = Field(
        default=None, description="The end that it must have come to; absent: `run_if` decides."
    )


def _by_name(value: Any) -> Any:
    return {"job": value} if isinstance(value, str) else value


DependsOnItem = Annotated[DependsOn, BeforeValidator(_by_name, json_schema_input_type=Name | DependsOn)]
RunIf = Literal["all_success", "all_done", "any_failed", "none_failed", "any_success"]
OnError = Literal["stop", "continue", "quarantine"]
Kind = Literal["job", "python", "pipeline", "choice", "wait", "signal", "workflow"]
KINDS: tuple[Kind, ...] = ("job", "python", "pipeline", "choice", "wait", "signal", "workflow")


class Entry(Spec):
    """One node of the graph: exactly one kind of work, and beside it when and how it runs."""

    job: JobSpec | None = Field(default=None, description="A containerised job, or `{from: jobs/x.yaml}`.")
    python: PythonSpec | None = Field(default=None, description="A Python function.")
    pipeline: PipelineSpec | None = Field(default=None, description="A registered pipeline.")
    choice: ChoiceSpec | None = Field(default=None, description="A choice between entries.")
    wait: WaitSpec | None = Field(default=None, description="A durable wait.")
    signal: SignalSpec | None = Field(default=None, description="A wait for a signal.")
    workflow: ChildSpec | None = Field(default=None, description="A run of another workflow.")
    depends_on: list[DependsOnItem] = Field(
        default_factory=list, max_length=10_000, description="Entries that come first: names, or `{job, when}`."
    )
    when: Expression | StrictBool | None = Field(default=None, description="`{{ … }}`; false: skipped.")
    run_if: RunIf = Field(default="all_success", description="What the entries that come first must have come to.")
    on_error: OnError = Field(
        default="stop",
        description="What its failure does: stop what depends on it, let it go on, or set the run aside.",
    )
    for_each: Expression | list[JsonValue] | None = Field(
        default=None, description="One instance for each item: `{{ … }}` or a list. Templates see `item` and `index`."
    )
    max_parallel: int | None = Field(
        default=None, ge=1, le=10_000, description="Instances at a time (`for_each` only)."
    )
    min_success: int | None = Field(
        default=None, ge=0, le=1_000_000, description="Instances that must succeed; absent: all (`for_each` only)."
    )
    batch: int | None = Field(default=None, ge=1, le=1_000_000, description="Items of one instance (`for_each` only).")
    compensate: Name | None = Field(
        default=None, description="The entry that undoes this one, in reverse order of completion, when the run fails."
    )
    quality: QualitySpec | None = Field(default=None, description="What the result must hold to count.")
    retry: RetrySpec | None = Field(default=None, description="As within the kind; give it once.")
    timeout: Timeout | None = Field(default=None, description="As within the kind; give it once.")

    @model_validator(mode="after")
    def _one_kind(self) -> Entry:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) > 1:
            said = f"one entry is {' and '.join(kinds)}"
            raise refuse("given_twice", said, "begin a new entry with - for each", at=(kinds[1],))
        if not kinds:
            raise refuse("incomplete", "the entry has no kind", f"write one of {', '.join(KINDS)}")
        return self

    @model_validator(mode="after")
    def _policies_once(self) -> Entry:
        for name in ("retry", "timeout"):
            if getattr(self, name) is not None and getattr(self.work, name, None) is not None:
                said = f"{name} is given beside {self.kind} and within it"
                raise refuse("given_twice", said, "keep one", at=(name,))
        return self

    @model_validator(mode="after")
    def _fan_out_whole(self) -> Entry:
        if self.for_each is not None:
            return self
        for name in ("max_parallel", "min_success", "batch"):
            if getattr(self, name) is not None:
                raise refuse("incomplete", f"{name} belongs to for_each, which is not given", "remove it", at=(name,))
        return self

    @property
    def kind(self) -> Kind:
        """Which kind of work it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def work(self) -> Work:
        """The work itself."""
        found: Work = getattr(self, self.kind)
        return found

    @property
    def name(self) -> str:
        """The work's name."""
        return self.work.name

    @property
    def own_retry(self) -> RetrySpec | None:
        """The retry policy that it was given, beside the kind or within it."""
        return self.retry or self.work.retry

    @property
    def own_timeout(self) -> TimeoutSpec | None:
        """The time limits that it was given, beside the kind or within it."""
        within = getattr(self.work, "timeout", None)
        return self.timeout or (within if isinstance(within, TimeoutSpec) else None)
