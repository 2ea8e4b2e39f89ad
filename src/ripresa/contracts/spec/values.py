"""Values of the contract: names, durations, quantities, images, zones, moments … each with its check and its pattern.

A check says what is wrong with the value and what to write; the pattern goes into the JSON Schema, for editors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from ripresa.contracts.durations import micros
from ripresa.contracts.labels import LABEL_PATTERN, labels_of
from ripresa.contracts.quantities import cpu_millis, memory_bytes
from ripresa.contracts.spec.base import refuse
from ripresa.contracts.spec.moments import check_clock_time, check_date_or_moment, check_moment, check_zone

NAME_CHARS_MAX = 200
TEXT_CHARS_MAX = 65_536

# --- names -------------------------------------------------------------------------------------

NAME_PATTERN = r"^(?!__)[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$"
_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z", re.ASCII)
_NAME_CHARACTER = re.compile(r"[A-Za-z0-9_.-]", re.ASCII)


def check_name(value: str) -> str:
    """A name: letters, digits, `_`, `.` and `-`."""
    if _NAME.match(value):
        return value
    remedy = "use letters, digits, _, . and -, beginning with a letter or digit"
    if not value:
        raise refuse("name_invalid", "a name is empty", remedy)
    if len(value) > NAME_CHARS_MAX:
        raise refuse("name_invalid", f"a name has {len(value):,} characters", f"use at most {NAME_CHARS_MAX}")
    foreign = next((one for one in value if not _NAME_CHARACTER.match(one)), None)
    if foreign is None:
        raise refuse("name_invalid", f"a name may not begin with {value[:2]!r}", remedy)
    shown = repr(foreign) if foreign.isascii() and foreign.isprintable() else f"U+{ord(foreign):04X}"
    raise refuse("name_invalid", f"{shown} may not stand in a name", remedy)


Name = Annotated[str, AfterValidator(check_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})]
"""`[A-Za-z0-9_.-]`, up to 200 characters, beginning with none of `.`, `-` and `__`."""

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)


def check_param(value: str) -> str:
    """A parameter's name: it becomes PARAM_NAME in the environment, and `params.name` in templates."""
    if _KEY.fullmatch(value):
        return value
    raise refuse(
        "name_invalid", f"{value[:60]!r} is no name of a parameter", "use letters, digits and _, not a digit first"
    )


ParamName = Annotated[
    str, AfterValidator(check_param), WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"})
]

_CALL = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def check_call(value: str) -> str:
    """A Python function: `package.module:function`."""
    if _CALL.fullmatch(value):
        return value
    module, dot, function = value.rpartition(".")
    meant = f"{module}:{function}" if dot and _CALL.fullmatch(f"{module}:{function}") else "package.module:function"
    raise refuse("call_invalid", f"{value[:60]!r} names no function", f"write {meant}")


Call = Annotated[str, AfterValidator(check_call), WithJsonSchema({"type": "string", "pattern": r"^[\w.]+:[\w.]+$"})]

# --- text --------------------------------------------------------------------------------------


def check_text(value: str) -> str:
    """A text that fits into a file, an argument and a database."""
    if "\0" in value:
        raise refuse("nul_in_text", "the text holds a NUL character", "remove it")
    if len(value) > TEXT_CHARS_MAX:
        raise refuse(
            "too_long",
            f"the text has {len(value):,} characters",
            f"use at most {TEXT_CHARS_MAX:,}; put more into a file",
        )
    return value


Text = Annotated[str, AfterValidator(check_text)]


def check_line(value: str) -> str:
    """A text without line breaks and control characters."""
    if not value.strip() or len(value) > 1000:
        raise refuse("text_invalid", "the text is empty or too long", "write 1 to 1,000 characters")
    if not value.isprintable():
        raise refuse("text_invalid", "the text holds a line break or a control character", "remove it")
    return value


Line = Annotated[str, AfterValidator(check_line)]
"""A text of one line: what goes into headers and titles."""

_TEMPLATE = re.compile(r"\{\{.*\}\}", re.DOTALL)


def check_expression(value: str) -> str:
    """A text that is one template and nothing else."""
    if _TEMPLATE.fullmatch(value.strip()) and len(value) <= 4096:
        return value
    raise refuse("expression_invalid", f"{value[:60]!r} is no expression", f'write "{{{{ {value[:40] or "…"} }}}}"')


Expression = Annotated[str, AfterValidator(check_expression)]
"""`{{ … }}`, whole."""

# --- durations and quantities --------------------------------------------------------------------

_N = r"\d+(\.\d+)?"
DURATION_PATTERN = rf"^(({_N}(us|ms|[smhdw]))+|P(?=[\dT])({_N}W)?({_N}D)?(T(?=\d)({_N}H)?({_N}M)?({_N}S)?)?)$"
_DURATION_SCHEMA = {"type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "5m", "1h30m", "2d", "PT15M"]}
_DAY_US = 86_400_000_000


def within(low_us: int, high_us: int, what: str) -> Callable[[str], str]:
    """A check of durations from `low_us` to `high_us` microseconds; `what` tells the limits."""

    def check(value: str) -> str:
        if value != value.strip():
            raise refuse("duration_invalid", f"{value!r} has spaces around it", f'write "{value.strip()}"')
        try:
            length = micros(value)
        except ValueError:
            meant = (
                f"{value}s, {value}m or {value}h"
                if value.isascii() and value.isdigit()
                else "30s, 5m, 1h30m, 2d or PT15M"
            )
            raise refuse("duration_invalid", f"{value[:40]!r} is no duration", f"write {meant}") from None
        if not low_us <= length <= high_us:
            raise refuse("duration_out_of_range", f"{value} is not within {what}", f"write a duration within {what}")
        return value

    return check


Duration = Annotated[
    str, AfterValidator(within(0, 36_600 * _DAY_US, "0 to 100 years")), WithJsonSchema(_DURATION_SCHEMA)
]
Delay = Annotated[str, AfterValidator(within(0, 30 * _DAY_US, "0 to 30 days")), WithJsonSchema(_DURATION_SCHEMA)]
TimeLimit = Annotated[
    str, AfterValidator(within(1_000, 36_600 * _DAY_US, "1 ms to 100 years")), WithJsonSchema(_DURATION_SCHEMA)
]
Interval = Annotated[
    str, AfterValidator(within(1_000_000, 366 * _DAY_US, "1s to 366 days")), WithJsonSchema(_DURATION_SCHEMA)
]


def _quantity(read: Callable[[str], int]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return value
        try:
            read(str(value))
        except ValueError as error:
            message, _, remedy = str(error).partition(" (")
            raise refuse("quantity_invalid", message, remedy.rstrip(")")) from None
        return str(value)

    return check


_QUANTITY_SCHEMA = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|[kKMGTP]i?)?$"}
Cpu = Annotated[
    str, BeforeValidator(_quantity(cpu_millis)), WithJsonSchema({**_QUANTITY_SCHEMA, "examples": ["500m", 2]})
]
Memory = Annotated[
    str, BeforeValidator(_quantity(memory_bytes)), WithJsonSchema({**_QUANTITY_SCHEMA, "examples": ["2Gi"]})
]

_FACTOR = re.compile(r"\*([0-9]{1,2}(?:\.[0-9]{1,3})?)", re.ASCII)


def check_factor(value: str) -> str:
    """`*N`: how much more the next attempt gets."""
    found = _FACTOR.fullmatch(value)
    if found and 1 < float(found[1]) <= 16:
        return value
    raise refuse("factor_invalid", f"{value[:40]!r} is no factor from above 1 to 16", 'write "*2" for twice as much')


Factor = Annotated[
    str, AfterValidator(check_factor), WithJsonSchema({"type": "string", "pattern": r"^\*[0-9]{1,2}(\.[0-9]{1,3})?$"})
]

# --- time ----------------------------------------------------------------------------------------

Zone = Annotated[
    str, AfterValidator(check_zone), WithJsonSchema({"type": "string", "examples": ["UTC", "Europe/Paris"]})
]
Day = Annotated[
    str,
    AfterValidator(check_date_or_moment),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}([Tt ].*)?$", "examples": ["2024-01-01"]}),
]
ClockTime = Annotated[
    str, AfterValidator(check_clock_time), WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"})
]


def check_until(value: str) -> str:
    """A moment, or a template that gives one."""
    return value if "{{" in value else check_moment(value)


Until = Annotated[str, AfterValidator(check_until)]


def check_label(value: str) -> str:
    """A label of an engine: a name, or a name with a value."""
    try:
        labels_of([value], where="label")
    except ValueError:
        raise refuse(
            "label_invalid", f"{value!r} is not a label", "write gpu, or gpu=a100: letters, digits and _.:/@+-"
        ) from None
    return value


Label = Annotated[str, AfterValidator(check_label), WithJsonSchema({"type": "string", "pattern": LABEL_PATTERN})]
"""What an engine has: `gpu`, `gpu=a100`."""

RuntimeName = Literal["process", "container", "kubernetes", "celery"]
TargetName = Literal["airflow", "dagster", "prefect", "temporal", "argo", "stepfunctions"]
TARGETS: tuple[TargetName, ...] = ("airflow", "dagster", "prefect", "temporal", "argo", "stepfunctions")
