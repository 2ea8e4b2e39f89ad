"""Reading definitions: YAML or JSON text as plain values, each with its place in the text.

What is read here was written by somebody else, and may be hostile.  So the size is looked at before anything is
parsed, depth and number of values while it is, and all that a definition has no need of (anchors, aliases, merge keys,
tags, several documents, directives, duplicate keys) is refused by name rather than understood.
"""

from __future__ import annotations

from ripresa.contracts.reading.build import Builder
from ripresa.contracts.reading.document import Document
from ripresa.contracts.reading.text import decoded

__all__ = ["Document", "read"]


def read(data: bytes | str, file: str = "<text>") -> Document:
    """The document that `data` holds: JSON if `file` ends in `.json`, else YAML.

    Raises SpecInvalid with every problem of the text (of its syntax: the first, for no reader knows what follows it).
    """
    text = decoded(data, file)
    builder = Builder(text, file)
    if file.endswith(".json"):
        from ripresa.contracts.reading.json import parse  # noqa: PLC0415 - as below
    else:
        from ripresa.contracts.reading.yaml import parse  # noqa: PLC0415 - its parser is loaded when there is YAML
    parse(text, builder)
    return builder.document()
