"""The contract written out: JSON Schemas under schemas/, and the tables of fields in docs/contract.md.

Both are read off the models, so that they say what the models do; a test fails when they no longer do.

    python tools/write_contract.py          write them
    python tools/write_contract.py --check  1, and the names, if any of them is not as it would be written
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ripresa.contracts.migration import NEW, OLD, RENAMES
from ripresa.contracts.portability import FEATURES, TARGETS
from ripresa.contracts.spec.schema import json_schema
from ripresa.contracts.spec.versions import CONTRACT

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "contract.md"
_BLOCK = re.compile(r"(<!-- fields: (?P<model>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TARGETS = re.compile(r"(<!-- targets -->\n).*?(<!-- end -->)", re.DOTALL)
_RENAMES = re.compile(r"(<!-- renames -->\n).*?(<!-- end -->)", re.DOTALL)
_MARKS = {"exact": "✓", "emulated": "emulated", "approximate": "nearly", "refused": "–"}
_NAMES = ("Airflow", "Dagster", "Prefect", "Temporal", "Argo", "Step Functions")


def main(arguments: list[str]) -> int:
    """Write what differs, or only name it."""
    stale = [path for path, text in written().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(path.relative_to(ROOT))
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(written()[path], "utf-8")
    return 1 if stale and "--check" in arguments else 0


def written() -> dict[Path, str]:
    """Each file as it should be."""
    schemas = {ROOT / "schemas" / f"{kind}-{CONTRACT}.json": json_schema(kind) for kind in ("workflow", "job")}
    texts = {path: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for path, schema in schemas.items()}
    return {**texts, PAGE: page(PAGE.read_text("utf-8"))}


def page(text: str) -> str:
    """The page with its tables as the models have them."""
    models = {name: one for kind in ("workflow", "job") for name, one in json_schema(kind)["$defs"].items()}
    text = _BLOCK.sub(lambda found: found[1] + "\n".join(_fields(models[found["model"]])) + "\n" + found[3], text)
    text = _RENAMES.sub(lambda found: found[1] + "\n".join(_renames()) + "\n" + found[2], text)
    return _TARGETS.sub(lambda found: found[1] + "\n".join(_features()) + "\n" + found[2], text)


def _fields(model: dict[str, Any]) -> Iterator[str]:
    yield "| field | value | default | |"
    yield "|---|---|---|---|"
    required = model.get("required", ())
    for name, one in model["properties"].items():
        default = "**required**" if name in required else _default(one)
        yield f"| `{name}` | {_type(one)} | {default} | {one.get('description', '').replace('|', chr(92) + '|')} |"


def _default(one: dict[str, Any]) -> str:
    value = one.get("default")
    return "" if value in (None, "") else f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _type(one: dict[str, Any]) -> str:
    if "anyOf" in one or "oneOf" in one:
        choices = [_type(choice) for choice in one.get("anyOf") or one["oneOf"] if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(choices))
    if "$ref" in one:
        name = one["$ref"].rpartition("/")[2]
        return "anything" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    if "enum" in one or "const" in one:
        return " ".join(f"`{value}`" for value in one.get("enum", [one.get("const")]))
    match one.get("type"):
        case "array":
            return f"list of {_type(one.get('items', {}))}"
        case "object":
            inner = one.get("additionalProperties")
            if one.get("properties"):
                return "`{" + ", ".join(one["properties"]) + "}`"
            return f"{_type(inner)} by name" if isinstance(inner, dict) else "mapping"
        case list() as kinds:
            return " or ".join(kinds)
        case None:
            return "anything"
        case kind:
            return _text(one) if kind == "string" else kind


def _text(one: dict[str, Any]) -> str:
    examples = one.get("examples")
    if examples and "PT15M" in examples:
        return "duration"
    return "text" if not examples else f"text, as `{examples[0]}`"


_WITHIN = {"schedule": ".cron` or `schedule.interval", "retry": ".max_retries"}


def _renames() -> Iterator[str]:
    yield f"| in | contract {OLD} | contract {NEW} |"
    yield "|---|---|---|"
    for one in RENAMES:
        inner = (
            {"schedule": ".cron` or `schedule.interval", "retry": ".max_retries"}.get(one.new, "") if one.within else ""
        )
        yield f"| {one.where} | `{one.old}` | `{one.new}{inner}` |"


def _features() -> Iterator[str]:
    yield f"| feature | {' | '.join(_NAMES)} |"
    yield "|---" * (len(TARGETS) + 1) + "|"
    for feature in FEATURES.values():
        note = f" ({feature.note})" if feature.note else ""
        yield f"| `{feature.name}`: {feature.says}{note} | {' | '.join(_MARKS[fit] for fit in feature.fits)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
