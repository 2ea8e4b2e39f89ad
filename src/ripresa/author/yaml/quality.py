"""Quality of an entry: limits on the numbers that its output tells, judged before the outcome is recorded.

A breach makes the attempt fail, sets it aside, or is only told; so what stands in the journal has passed.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import RipresaError
from ripresa.contracts.job_order import is_skipped
from ripresa.contracts.payload import dump, load
from ripresa.contracts.quality import QualityMetrics, QualityThresholds
from ripresa.contracts.status import FailureClass

if TYPE_CHECKING:
    from ripresa.contracts.failure import Failure
    from ripresa.contracts.spec.policies import QualitySpec

logger = logging.getLogger("ripresa.steps")


class QualityBreached(RipresaError):
    """The data does not keep its limits: mend the data or the limits."""

    code = "quality"

    def __init__(self, message: str, failure_class: FailureClass) -> None:
        super().__init__(message)
        self.failure_class = failure_class


def thresholds(spec: QualitySpec) -> QualityThresholds:
    """The limits that a definition says."""
    return QualityThresholds(
        min_valid_rate=spec.min_valid_rate,
        max_null_rate=spec.max_null_rate,
        min_record_count=spec.min_record_count,
        on_breach=spec.on_breach,
    )


def guarded(step: Any, limits: QualityThresholds, numbers: Callable[[Any], Any]) -> Any:
    """The step, whose output is judged before it counts; `numbers` finds them in it, and None is not judged."""
    judged = copy.copy(step)

    def checked(value: Any) -> str:
        written: str = step.dump(value)
        _require(step.name, limits, numbers(value))
        return written

    judged.dump = checked
    judged.measured = measured
    return judged


def measured(output: str | None, failure: Failure | None) -> str | None:  # noqa: ARG001 - as the engine calls it
    """The quality that an outcome tells of, as JSON text; None: it was not measured."""
    said = load(output) if output is not None else None
    if not isinstance(said, Mapping) or is_skipped(said):
        return None
    try:
        return dump(QualityMetrics.of(said).to_json())
    except ValueError:  # numbers that cannot be: the gate has said so
        return None


def _require(name: str, limits: QualityThresholds, numbers: Any) -> None:
    if numbers is None:  # it was skipped: there is no data
        return
    said = "; ".join(_wrong(limits, numbers))
    if not said:
        return
    said = f"quality: {said}"
    if limits.on_breach == "warn":
        logger.warning("%s: %s", name, said)
        return
    aside = limits.on_breach == "quarantine"
    raise QualityBreached(said, FailureClass.QUARANTINE if aside else FailureClass.TERMINAL)


def _wrong(limits: QualityThresholds, numbers: Any) -> list[str]:
    """What is wrong with these numbers: limits that they do not keep, or that they cannot be (more valid than all)."""
    try:
        metrics = QualityMetrics.of(numbers) if isinstance(numbers, Mapping) else None
    except ValueError as error:
        return [str(error).removeprefix("QualityMetrics.")]
    return [str(breach) for breach in limits.judge(metrics)]
