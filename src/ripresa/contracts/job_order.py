"""Job orders: one containerised job with everything rendered – what every runtime is given, and gives back.

An order is plain data and is recorded as the step's input; so it holds references to secrets, never their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from ripresa.contracts.payload import dump, load
from ripresa.contracts.resources import Resources
from ripresa.contracts.secret_ref import SecretRef

DATE_NAMES: Final = ("EXECUTION_DATE", "DS", "TS", "DATA_INTERVAL_START", "DATA_INTERVAL_END")
RUN_NAMES: Final = ("RUN_ID", "JOB", "ATTEMPT", "IDEMPOTENCY_KEY", "CORRELATION_ID", "JOB_OUTPUT")
PARAM_PREFIX: Final = "PARAM_"
CANNOT_START: Final = (125, 126, 127)
"""Exit codes of what executes a command that cannot be executed."""
OUTPUT_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
    "any": (object,),
}
"""JSON Schema's names of types, and what JSON of them becomes here."""

_SKIPPED = "ripresa.skipped"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_IMAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?::\d+(?=/))?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,128})?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCodes:
    """What exit codes mean beside 0 for success: `terminal`, `quarantine`, `skip`; any other code is retryable.

    Raises ValueError for a code outside of 1 to 255, or one with two meanings.
    """

    terminal: tuple[int, ...] = ()
    quarantine: tuple[int, ...] = ()
    skip: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        seen: dict[int, str] = {}
        for meaning in ("terminal", "quarantine", "skip"):
            codes = tuple(getattr(self, meaning))
            object.__setattr__(self, meaning, codes)
            for code in codes:
                if isinstance(code, bool) or not isinstance(code, int) or not 1 <= code <= 255:
                    raise ValueError(f"exit_codes.{meaning}: {code!r} is no exit code from 1 to 255")
                if code in CANNOT_START and meaning != "terminal":
                    raise ValueError(f"exit_codes.{meaning}: {code} means that the job could not start")
                if seen.setdefault(code, meaning) != meaning:
                    raise ValueError(f"exit_codes: {code} is both {seen[code]} and {meaning}")

    @classmethod
    def of(cls, given: Any) -> Self:
        """From the contract's mapping.  Raises ValueError for an unknown field."""
        return given if isinstance(given, cls) else cls(**_known(given, cls, "exit_codes"))

    def to_json(self) -> dict[str, list[int]]:
        """The contract's mapping, without empty fields."""
        told = {"terminal": self.terminal, "quarantine": self.quarantine, "skip": self.skip}
        return {meaning: list(codes) for meaning, codes in told.items() if codes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Time limits that the runtime keeps, in seconds.

    `grace_s`: from SIGTERM to SIGKILL; None: the runtime's.  `heartbeat_s`: the longest silence, no line of output,
    before the job is ended; None: any.
    """

    grace_s: float | None = None
    heartbeat_s: float | None = None

    def __post_init__(self) -> None:
        if self.grace_s is not None and not 0 <= self.grace_s <= 3600:
            raise ValueError(f"limits.grace_s: {self.grace_s} is not in 0..3600")
        if self.heartbeat_s is not None and not 0 < self.heartbeat_s <= 366 * 86_400:
            raise ValueError(f"limits.heartbeat_s: {self.heartbeat_s} is not a number of seconds up to a year")

    @classmethod
    def of(cls, given: Any) -> Self:
        """From a mapping of its fields.  Raises ValueError for an unknown one."""
        return given if isinstance(given, cls) else cls(**_known(given, cls, "limits"))

    def to_json(self) -> dict[str, float]:
        """Without empty fields."""
        told = {"grace_s": self.grace_s, "heartbeat_s": self.heartbeat_s}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """One job, everything rendered.  Mappings are not to be changed.

    `command` replaces the image's entry point, `args` its arguments.  `params` are JSON values, `env` texts, `secrets`
    references, `volumes` as `name:/path` or `/host/path:/path`, either with `:ro`.  `outputs` are types by key, see
    `OUTPUT_TYPES`.  `dates` holds texts for `DATE_NAMES`, in either case.  Raises ValueError naming job and field.
    """

    name: str
    image: str
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    resources: Any = field(default_factory=Resources)
    """A `Resources`; it may be given as the contract's mapping, and so may the next."""
    exit_codes: Any = field(default_factory=ExitCodes)
    outputs: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    dates: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._read()
            self._require_valid()
        except ValueError as error:
            raise ValueError(f"job {self.name!r}: {error}") from None

    def _read(self) -> None:
        put = object.__setattr__
        for name in ("command", "args", "volumes"):
            value = getattr(self, name)
            if value is not None:
                put(self, name, _texts(value, name))
        put(self, "resources", Resources.of(self.resources))
        put(self, "exit_codes", ExitCodes.of(self.exit_codes))
        put(self, "limits", Limits.of(self.limits))
        put(self, "dates", {name.upper(): value for name, value in self.dates.items()})

    def _require_valid(self) -> None:
        _require(_NAME.fullmatch(self.name), "a name has letters, digits, _ . and - only")
        require_image(self.image)
        _require(self.command != (), "command: it is empty; leave it out to use the image's own")
        taken = {param_variable(name): f"params.{name}" for name in self.params}
        same = len(taken) < len(self.params)
        _require(not same, f"params: two of {', '.join(sorted(self.params))} have the same environment variable")
        for where, names in (("env", self.env), ("secrets", self.secrets)):
            for name in names:
                self._require_free(name, where, taken)
        for name, reference in self.secrets.items():
            SecretRef.parse(reference, where=f"secrets.{name}")
        for name, kind in self.outputs.items():
            _require(kind in OUTPUT_TYPES, f"outputs.{name}: {kind!r} is not one of {', '.join(OUTPUT_TYPES)}")
        for where, texts in (("env", self.env), ("dates", self.dates)):
            for name, value in texts.items():
                _require(_is_text(value), f"{where}.{name}: {value!r} is not a text without NUL characters")

    def _require_free(self, name: str, where: str, taken: dict[str, str]) -> None:
        _require(_VARIABLE.fullmatch(name), f"{where}: {name!r} is not a name for an environment variable")
        ours = name in DATE_NAMES or name in RUN_NAMES
        _require(not ours, f"{where}.{name}: this variable is set by ripresa; choose another name")
        _require(taken.setdefault(name, where) == where, f"{where}.{name}: {taken[name]} has this variable already")

    # --- as JSON -------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without empty fields."""
        told: dict[str, Any] = {
            "name": self.name,
            "image": self.image,
            "command": None if self.command is None else list(self.command),
            "args": list(self.args),
            "params": dict(self.params),
            "env": dict(self.env),
            "secrets": dict(self.secrets),
            "volumes": list(self.volumes),
            "resources": self.resources.to_json(),
            "exit_codes": self.exit_codes.to_json(),
            "outputs": dict(self.outputs),
            "limits": self.limits.to_json(),
            "dates": dict(self.dates),
        }
        return {name: value for name, value in told.items() if value not in (None, [], {})}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; unknown fields of a newer version are left out.  Raises ValueError."""
        return cls(**{name: data[name] for name in cls.__slots__ if name in data})

    # --- what the job sees ---------------------------------------------------------------------

    def environment(
        self, *, run_id: str, attempt: int, idempotency_key: str, correlation_id: str, job_output: str
    ) -> dict[str, str]:
        """The job's variables but for its secrets: its own, its parameters, its dates, and who it is."""
        told = {name: self.dates[name] for name in DATE_NAMES if name in self.dates}
        told |= {param_variable(name): _param_text(value) for name, value in self.params.items()}
        told |= dict(self.env)
        told |= {
            "RUN_ID": run_id,
            "JOB": self.name,
            "ATTEMPT": str(attempt),
            "IDEMPOTENCY_KEY": idempotency_key,
            "CORRELATION_ID": correlation_id,
            "JOB_OUTPUT": job_output,
        }
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """How a job ended that did not fail: with its output, or skipped by an exit code that says so."""

    exit_code: int = 0
    skipped: bool = False
    output: dict[str, Any] = field(default_factory=dict)

    def dump(self, *, where: str = "output") -> str:
        """The JSON text to record: the output itself; a skip is marked.  Raises PayloadError."""
        return dump({_SKIPPED: self.exit_code} if self.skipped else self.output, where=where)

    @classmethod
    def load(cls, text: str) -> Self:
        """Read what `dump` wrote."""
        data = load(text) or {}
        if is_skipped(data):
            return cls(exit_code=data[_SKIPPED], skipped=True)
        return cls(output=data)


def is_skipped(recorded: Any) -> bool:
    """Whether a step's recorded output says that the job skipped itself."""
    return isinstance(recorded, dict) and list(recorded) == [_SKIPPED]


def param_variable(name: str) -> str:
    """The environment variable of a parameter: `source-db` is in `PARAM_SOURCE_DB`."""
    return PARAM_PREFIX + re.sub(r"[^A-Z0-9_]", "_", str(name).upper(), flags=re.ASCII)


def require_image(image: Any) -> str:
    """An image's name, `registry:5000/group/name:tag@digest`.  Raises ValueError for anything else."""
    if not isinstance(image, str) or len(image) > 500 or ".." in image or not _IMAGE.fullmatch(image):
        raise ValueError(f"image: {image!r} is no image name (write lakehouse/extract:1.0)")
    return image


def split_image(image: str) -> tuple[str, str]:
    """Name and tag of an image; no tag is `latest`, a digest is left out."""
    bare = image.partition("@")[0]
    name, colon, tag = bare.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (bare, "latest")


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _param_text(value: Any) -> str:
    return value if isinstance(value, str) else dump(value)


def _texts(values: Any, where: str) -> tuple[str, ...]:
    _require(
        isinstance(values, Iterable) and not isinstance(values, str | bytes),
        f'{where}: {values!r} is not a list of texts, as ["python", "extract.py"]',
    )
    texts = tuple(values)
    for place, text in enumerate(texts):
        _require(_is_text(text), f"{where}[{place}]: {text!r} is not a text without NUL characters")
    return texts


def _known(given: Any, kind: type, where: str) -> dict[str, Any]:
    known = dict(given or {})
    fields: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]  # a dataclass with slots
    for name in known:
        if name not in fields:
            from difflib import get_close_matches  # noqa: PLC0415 - only for the message

            near = get_close_matches(str(name), fields, 1)
            hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {', '.join(fields)})"
            raise ValueError(f"{where}.{name}: unknown field{hint}")
    return known
