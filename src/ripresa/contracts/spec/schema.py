"""JSON Schemas of the contract's files, for editors and other tools.

They say what a field may hold, one by one; what only the whole file can tell (names, cycles, references) is for
`ripresa validate`.
"""

from __future__ import annotations

from typing import Any, Final

from ripresa.contracts.spec.base import Spec
from ripresa.contracts.spec.shape import models_below
from ripresa.contracts.spec.versions import CONTRACT
from ripresa.contracts.spec.workflow import JobFile, WorkflowFile

FILES: Final[dict[str, type[Spec]]] = {"workflow": WorkflowFile, "job": JobFile}
_INCLUDED: Final = {
    "type": "object",
    "title": "Included job",
    "description": "A job in a file of its own.",
    "properties": {"from": {"type": "string", "description": "Path below the definition's folder: `jobs/name.yaml`."}},
    "required": ["from"],
    "additionalProperties": False,
}


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a `workflow` or `job` file."""
    schema = FILES[kind].model_json_schema(by_alias=True, mode="validation")
    entry = schema.get("$defs", {}).get("Entry")
    if entry is not None:
        entry["properties"]["job"]["anyOf"].insert(1, _INCLUDED)
    _tidy(schema)
    for model in models_below(FILES[kind]):
        described = schema if model is FILES[kind] else schema["$defs"][model.__name__]
        for name, field in model.model_fields.items():  # beside a $ref, pydantic leaves the description out
            described["properties"][field.alias or name]["description"] = field.description
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:ripresa:contract:{kind}:{CONTRACT}",
        **schema,
        "title": f"ripresa {kind} file, contract {CONTRACT}",
    }


def _tidy(schema: Any) -> None:
    """Without titles that only repeat names, and without defaults that only say that nothing is there."""
    if isinstance(schema, list):
        for item in schema:
            _tidy(item)
    if not isinstance(schema, dict):
        return
    for one in (schema.get("properties") or {}).values():
        if isinstance(one, dict):
            one.pop("title", None)
            if one.get("default") is None or isinstance(one["default"], dict | list):
                one.pop("default", None)
    for key, value in schema.items():
        if key not in {"default", "const", "enum", "examples"}:
            _tidy(value)
