"""Outcomes of jobs: what an exit code and the file that the job left come to.  Pure decisions.

| how it ended                    | outcome                                     |
|---------------------------------|---------------------------------------------|
| exit code 0                     | succeeded, if the output is as declared     |
| a code of `exit_codes.skip`     | skipped                                     |
| a code of `.terminal`           | terminal, `exit_N`                          |
| a code of `.quarantine`         | set aside, `exit_N`                         |
| 125, 126, 127                   | terminal, `cannot_start`                    |
| 137 for lack of memory          | retryable, `oom`                            |
| any other                       | retryable, `exit_N`                         |
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from ripresa.contracts.failure import Failure
from ripresa.contracts.job_order import CANNOT_START, OUTPUT_TYPES, JobOrder, JobResult
from ripresa.contracts.payload import PAYLOAD_BYTES_MAX
from ripresa.contracts.status import FailureClass
from ripresa.runtimes import JobFailed
from ripresa.runtimes.masking import Secrets

OUTPUT_FILE_BYTES_MAX = PAYLOAD_BYTES_MAX
_SAID_CHARS_MAX = 500
_NO_SUCH_IMAGE = ("manifest unknown", "not found", "does not exist", "denied", "unauthorized")


def failed(message: str, *, code: str, failure_class: FailureClass = FailureClass.RETRYABLE) -> JobFailed:
    """A job's failure, to raise."""
    return JobFailed(Failure(type="ripresa.JobFailed", message=message, failure_class=failure_class, code=code))


def cannot_start(message: str) -> JobFailed:
    """It could not be started, and could not be another time."""
    return failed(message, code="cannot_start", failure_class=FailureClass.TERMINAL)


def no_image(order: JobOrder, why: str) -> JobFailed:
    """Its image cannot be pulled.

    A registry that knows of no such image will not know of it another time; one out of reach may answer then.
    """
    lasting = any(word in why for word in _NO_SUCH_IMAGE)
    message = f"job {order.name!r}: image {order.image!r} cannot be pulled: {why}"
    return cannot_start(message) if lasting else failed(message, code="cannot_start")


def silent(order: JobOrder) -> JobFailed:
    """It was ended because it gave no sign of life."""
    limit = order.limits.heartbeat_s or 0.0
    return failed(f"job {order.name!r} wrote no line of output for {limit:g} s and was ended", code="timeout")


def outcome(
    order: JobOrder, exit_code: int, output: bytes | None, *, secrets: Secrets, said: str = "", oom: bool = False
) -> JobResult:
    """The result, or JobFailed.  `output` is the file that it left, `said` its last line, masked."""
    means = order.exit_codes
    if exit_code == 0:
        return JobResult(output=_output(order, output, secrets))
    if exit_code in means.skip:
        return JobResult(exit_code=exit_code, skipped=True)
    last = f": {said[:_SAID_CHARS_MAX]}" if said else ""
    code, failure_class = f"exit_{exit_code}", FailureClass.RETRYABLE
    message = f"job {order.name!r} ended with exit code {exit_code}{last}"
    if exit_code in means.quarantine:
        failure_class = FailureClass.QUARANTINE
    elif exit_code in means.terminal:
        failure_class = FailureClass.TERMINAL
    elif exit_code in CANNOT_START:
        raise cannot_start(f"job {order.name!r} could not start, exit code {exit_code}{last}")
    elif oom:
        code, message = "oom", f"job {order.name!r} was killed for lack of memory{last}"
    raise failed(message, code=code, failure_class=failure_class)


def _output(order: JobOrder, data: bytes | None, secrets: Secrets) -> dict[str, Any]:
    """What stands in the file, masked.  Raises JobFailed if it is no JSON object of the declared types."""
    value: Any = {}
    if data is not None and len(data) > OUTPUT_FILE_BYTES_MAX:
        raise _invalid(order, f"it has more than {OUTPUT_FILE_BYTES_MAX:,} bytes")
    if data and data.strip():
        try:
            value = from_json(data, allow_inf_nan=False)
        except ValueError as error:
            raise _invalid(order, secrets.text(str(error))) from None
    if not isinstance(value, dict):
        raise _invalid(order, f"it holds a JSON {_type_name(value)}, and an object is needed")
    wrong = [problem for key, kind in order.outputs.items() if (problem := _misfit(value, key, kind))]
    if wrong:
        left = "" if data else "; nothing was written there"
        raise _invalid(order, ", ".join(wrong) + left)
    masked: Any = secrets.tree(value)
    return dict(masked)


def _misfit(value: dict[str, Any], key: str, kind: str) -> str | None:
    if key not in value:
        return f"{key!r} is missing (declared as {kind})"
    if not is_a(value[key], kind):
        return f"{key!r} is declared as {kind} and is {_type_name(value[key])}"
    return None


def is_a(value: Any, kind: str) -> bool:
    """Whether a JSON value is of the type of this name; a whole number written with a point is an integer."""
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, OUTPUT_TYPES[kind])


def _type_name(value: Any) -> str:
    return next((name for name in OUTPUT_TYPES if name != "number" and is_a(value, name)), "number")


def _invalid(order: JobOrder, why: str) -> JobFailed:
    message = f"job {order.name!r}: the output in $JOB_OUTPUT cannot be used: {why}"
    return failed(message, code="output_invalid", failure_class=FailureClass.TERMINAL)
