"""Trend: whether a step's data has become worse than that of its last runs.

A number has become worse when it lies further from the median of the last runs, on its bad side, than
they scatter: more than `spread` times their scaled median absolute deviation (MAD × 1.4826, which for
normal numbers is the standard deviation), and more than `fraction` of what was good: the median, or for a
rate of nulls the rest – so that runs which are all alike do not turn each last digit into an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ripresa.contracts.quality import QualityMetrics

_NORMAL = 1.4826
"""A normal number's standard deviation is this many median absolute deviations."""

_FALLS = ("valid_rate", "record_count")
"""Numbers that become worse by falling; what rises is `null_rate`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityTrend:
    """When a step's quality counts as degraded against its last runs.

    Compared with the last `runs` (fewer than `min_runs`: not at all): worse than their median by more than `spread`
    scaled median absolute deviations, and by more than `fraction` of it (of the rest, for `null_rate`).
    Raises ValueError for a value out of its range.
    """

    runs: int = 20
    min_runs: int = 5
    spread: float = 4.0
    fraction: float = 0.05

    def __post_init__(self) -> None:
        if not 1 <= self.min_runs <= self.runs <= 1000:
            msg = f"QualityTrend: min_runs={self.min_runs}, runs={self.runs}: use 1 <= min_runs <= runs <= 1000"
            raise ValueError(msg)
        if not 0 <= self.spread <= 1000:
            msg = f"QualityTrend.spread: {self.spread!r} is not in 0..1000"
            raise ValueError(msg)
        if not 0 <= self.fraction <= 1:
            msg = f"QualityTrend.fraction: {self.fraction!r} is not a share from 0 to 1"
            raise ValueError(msg)

    def judge(self, metrics: QualityMetrics, earlier: Sequence[QualityMetrics]) -> tuple[QualityDegradation, ...]:
        """The numbers of `metrics` that are worse than those of the earlier runs, newest first in `earlier`."""
        found = []
        for metric in (*_FALLS, "null_rate"):
            value = getattr(metrics, metric)
            values = [one for run in earlier[: self.runs] if (one := getattr(run, metric)) is not None]
            if value is None or len(values) < self.min_runs:
                continue
            middle = median(values)
            scatter = median(abs(one - middle) for one in values) * _NORMAL
            worse, good = (middle - value, middle) if metric in _FALLS else (value - middle, 1 - middle)
            if worse > max(self.spread * scatter, self.fraction * good):
                found.append(QualityDegradation(metric, value, middle, scatter, len(values)))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class QualityDegradation:
    """A number that is worse than it was: its value, and median, scatter and count of the runs before."""

    metric: str
    value: float
    median: float
    scatter: float
    runs: int

    def __str__(self) -> str:
        return f"{self.metric} is {self.value:g}; the median of the last {self.runs} runs is {self.median:g}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "metric": self.metric,
            "value": self.value,
            "median": self.median,
            "scatter": self.scatter,
            "runs": self.runs,
        }
