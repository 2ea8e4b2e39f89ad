"""The law of labels: a step is carried out by engines that have what it needs, and by no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.labels import needed, offered, shown
from ripresa.testing.evidence import Evidence, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator


def label_laws(evidence: Evidence) -> Iterator[Violation]:
    """Each call was made where its labels are; nothing is noted of steps, or runs, that have ended."""
    for call in evidence.calls:
        wanted = evidence.labels_of_steps.get(call.step, ())
        has = evidence.labels_of_engines.get(call.epoch, ())
        if not offered(has).issuperset(wanted):
            text = f"{call.step} needs {needed(wanted)}, and was called by engine {call.epoch}, which has {shown(has)}"
            yield Violation("I5 labels", call.run, text)
    for run, operation in evidence.needs_outlived:
        yield Violation("I16 no need leaks", run, f"{operation} has its outcome, and is noted to need another engine")
    if evidence.settled:
        for run, operation in evidence.needs_left:
            if run not in evidence.left_open:
                yield Violation("I16 no need leaks", run, f"{operation} is still noted to need another engine")
