"""The page of one field of the contract, or of all fields below it, for people."""

from __future__ import annotations

import json

from rich.text import Text

from ripresa.cli.prose import Page, prose
from ripresa.contracts.spec.fields import Explained, Field

_PLACES_SHOWN_MAX = 4


def write_field(found: Explained) -> None:
    """Write it to stdout."""
    page = Page()
    if found.field is None:
        page.write(Text("A definition file has", style="bold"))
        _table(page, found.fields)
        page.gap()
        page.write(
            prose("One of `workflow` and `job`.  Go on with `ripresa explain workflow.jobs`, or any other field.")
        )
        return
    _head(page, found.field)
    for about in _abouts(found):
        page.write(prose(about), indent=2)
    facts = _facts(found)
    if facts:
        page.gap()
        page.facts(facts, indent=2)
    if found.fields:
        page.title("Fields")
        _table(page, found.fields)


def _head(page: Page, field: Field) -> None:
    head = Text(".".join(field.path), style="bold")
    head.append(f"   {field.type}", style="cyan")
    if field.required:
        head.append("   required", style="yellow")
    page.write(head)
    page.gap()
    page.write(prose(field.says), indent=2)


def _abouts(found: Explained) -> list[str]:
    said = found.field.says if found.field is not None else ""
    return [about for about in found.abouts if about.rstrip(".") not in said]


def _facts(found: Explained) -> list[tuple[str, Text]]:
    field = found.field
    assert field is not None  # noqa: S101 - the page of a field
    told = [
        ("default", _default(field)),
        ("limits", field.limits),
        ("example", "" if field.example is None else f"`{field.name}: {field.example}`"),
        ("templates", "`{{ … }}` may stand in it" if field.templates else ""),
        ("also at", _places(found)),
    ]
    return [(what, prose(text)) for what, text in told if text]


def _places(found: Explained) -> str:
    shown = [".".join(path) for path in found.also_at[:_PLACES_SHOWN_MAX]]
    more = len(found.also_at) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _table(page: Page, fields: tuple[Field, ...]) -> None:
    rows = [
        (
            Text(one.name, style="bold" if one.required else ""),
            Text(one.type if len(one.type) <= _TYPE_WIDTH else _shorter(one.type), style="cyan"),
            Text("required", style="yellow") if one.required else Text(_default(one)),
            _row_says(one),
        )
        for one in fields
    ]
    page.table(("field", "type", "default", ""), rows)


_TYPE_WIDTH = 24


def _row_says(one: Field) -> Text:
    values = (
        f" One of {', '.join(f'`{value}`' for value in one.values)}."
        if len(one.type) > _TYPE_WIDTH and one.values and " or " not in one.type
        else ""
    )
    return prose(f"{one.says}{values}")


def _shorter(kind: str) -> str:
    """The first word of a type that is too long for its column; its values are told beside it."""
    first = kind.partition(" ")[0]
    return first if first in {"list", "mapping"} else "word" if " | " in kind else f"{kind[: _TYPE_WIDTH - 1]}…"


def _default(field: Field) -> str:
    if field.default in (None, ""):
        return ""
    return field.default if isinstance(field.default, str) else json.dumps(field.default)
