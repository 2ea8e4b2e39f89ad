"""Targets: what another orchestrator makes of each thing that a definition uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ripresa.contracts.portability import FITS, TARGETS, Fit, uses
from ripresa.contracts.problems import as_path

_NAMES = {
    "airflow": "Airflow",
    "dagster": "Dagster",
    "prefect": "Prefect",
    "temporal": "Temporal",
    "argo": "Argo",
    "stepfunctions": "Step Functions",
}
"""What the notes of the table call the targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTold:
    """Something that the definition uses: how the target has it, in words, where it is used first, what to know."""

    feature: str
    fit: Fit
    says: str
    at: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTold:
    """How a target fits: as well as the feature that it fits worst; features in the order of the contract."""

    target: str
    fit: Fit
    features: tuple[FeatureTold, ...]

    def those(self, fit: Fit) -> tuple[FeatureTold, ...]:
        """The features that fit just so."""
        return tuple(one for one in self.features if one.fit == fit)


def explain_targets(spec: Any) -> tuple[TargetTold, ...]:
    """How each target fits a `WorkflowSpec` or `JobSpec`."""
    used = uses(spec)
    return tuple(_told(target, used) for target in TARGETS)


def _told(target: str, used: list[Any]) -> TargetTold:
    features = tuple(
        FeatureTold(
            feature=use.feature.name,
            fit=use.feature.on(target),
            says=use.feature.says,
            at=as_path(use.path),
            note=_note(use.feature.note, target),
        )
        for use in used
    )
    worst: Fit = max((one.fit for one in features), key=FITS.index, default="exact")
    return TargetTold(target=target, fit=worst, features=features)


def _note(note: str, target: str) -> str:
    """What a note says of this target, or of all."""
    others = tuple(name for key, name in _NAMES.items() if key != target)
    return "; ".join(part for part in note.split("; ") if not part.startswith(others))
