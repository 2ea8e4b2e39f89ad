"""`ripresa schema`: JSON Schemas of definition files, of records, and of a workflow's input and output."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ripresa.cli.options import FormatGiven
from ripresa.cli.output import emit, write
from ripresa.cli.settings import settings

_RECORDS = {
    "run": "records:JobRun",
    "step": "step_records:StepRecord",
    "attempt": "records:AttemptRecord",
    "event": "records:HistoryRecord",
    "definition": "records:DefinitionRecord",
    "log": "records:LogRecord",
    "quality": "records:QualityRecord",
    "export": "exports:RunExport",
    "outgoing": "records:OutgoingRecord",
    "dead_letter": "event_records:DeadLetterRecord",
    "noted_event": "event_records:NotedEventRecord",
}
"""Module of the contracts and class; imported only when it is asked for."""
_FILES = ("workflow", "job")


def schema(
    of: Annotated[
        str,
        typer.Argument(
            metavar="FILE|RECORD|TARGET",
            help=f"A kind of definition file ({', '.join(_FILES)}), a record ({', '.join(_RECORDS)}),"
            " or a workflow in code for its input and output.",
            show_default=False,
        ),
    ],
    *,
    output: FormatGiven = None,
) -> None:
    """Print the JSON Schema of definition files, of a record, or of a workflow's input and output."""
    import json

    found = _file(of) if of in _FILES else _record(_RECORDS[of]) if of in _RECORDS else _workflow(of)
    emit(found, output, lambda: write(json.dumps(found, indent=2, ensure_ascii=False)))


def _file(kind: str) -> dict[str, Any]:
    from ripresa.contracts.spec.schema import json_schema

    return json_schema(kind)


def _record(place: str) -> dict[str, Any]:
    from importlib import import_module

    module, name = place.split(":")
    record = getattr(import_module(f"ripresa.contracts.{module}"), name)
    described: dict[str, Any] = record.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def _workflow(target: str) -> dict[str, Any]:
    from ripresa.cli.target import workflow_of

    workflow = workflow_of(target, settings().workflows).chosen
    signature = workflow.signature
    return {"workflow": workflow.name, "input": signature.input_schema(), "output": signature.output_schema()}
