"""Types in words: what the JSON Schema of a field lets stand there, as a person would say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ripresa.contracts.spec.values import DURATION_PATTERN, NAME_PATTERN


class Kind(NamedTuple):
    """A type: in words, the words that a value may be, its bounds, an example."""

    words: str
    values: tuple[str, ...] = ()
    limits: str = ""
    example: Any = None
    is_mapping_of_models: bool = False


_BARE = {"integer": "whole number", "number": "number", "boolean": "boolean", "null": "nothing"}
_PATTERNS = {DURATION_PATTERN: "duration", NAME_PATTERN: "name"}


def kind_of(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Kind:
    """The type that `schema` describes; `known` has the schemas that it refers to."""
    if "$ref" in schema:
        return _named(str(schema["$ref"]).rpartition("/")[2], known)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return _either([kind_of(one, known) for one in choices if one.get("type") != "null"])
    if "enum" in schema or "const" in schema:
        values = tuple(str(one) for one in schema.get("enum", [schema.get("const")]))
        return Kind(" | ".join(values), values)
    match schema.get("type"):
        case "array":
            return _list(schema, known)
        case "object":
            return _mapping(schema, known)
        case list() as kinds:
            return Kind(" or ".join(map(_word, kinds)), example=_example(schema))
        case "string":
            return Kind(_text(schema), example=_example(schema))
        case None:
            return Kind("anything")
        case kind:
            return Kind(_word(str(kind)), limits=_limits(schema))


def _word(kind: str) -> str:
    return "text" if kind == "string" else _BARE.get(kind, kind)


def _named(name: str, known: Mapping[str, Any]) -> Kind:
    described = known.get(name, {})
    if described.get("type") == "object":
        return Kind("mapping", is_mapping_of_models=True)
    return kind_of(described, known) if described else Kind("anything")


def _either(kinds: list[Kind]) -> Kind:
    words = list(dict.fromkeys(one.words for one in kinds))
    return Kind(
        " or ".join(words),
        tuple(value for one in kinds for value in one.values),
        next((one.limits for one in kinds if one.limits), ""),
        next((one.example for one in kinds if one.example is not None), None),
        any(one.is_mapping_of_models for one in kinds),
    )


def _list(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Kind:
    item = kind_of(schema.get("items", {}), known)
    words = f"list of {_plural(item.words)}"
    limits = _between(schema.get("minItems"), schema.get("maxItems"), " items")
    return Kind(words, item.values, limits, item.example, item.is_mapping_of_models)


def _mapping(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Kind:
    by_pattern = schema.get("patternProperties") or {}
    inner = next(iter(by_pattern.values()), schema.get("additionalProperties"))
    if not isinstance(inner, dict):
        return Kind("mapping")
    item = kind_of(inner, known)
    return Kind(f"mapping of {_plural(item.words)}", item.values, example=item.example)


def _plural(words: str) -> str:
    if " or " in words or " | " in words:
        return f"({words})"
    if words == "anything" or words.startswith("list"):
        return words
    first, of, rest = words.partition(" of ")
    return f"{first}{'es' if first.endswith('s') else 's'}{of}{rest}"


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "email":
        return "mail address"
    return _PATTERNS.get(schema.get("pattern", ""), "text")


def _example(schema: Mapping[str, Any]) -> Any:
    examples = schema.get("examples")
    return examples[0] if examples else None


def _limits(schema: Mapping[str, Any]) -> str:
    return _between(schema.get("minimum"), schema.get("maximum"))


def _between(low: float | None, high: float | None, unit: str = "") -> str:
    if high is None:
        return "" if not low else f"{low:g}{unit} or more"
    return f"{low:g} to {high:,}{unit}" if low is not None else f"up to {high:,}{unit}"
