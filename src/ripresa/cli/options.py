"""Options that several commands share, each written once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ripresa.cli import completing


class Format(StrEnum):
    """How a result is written to stdout."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    JSONL = "jsonl"


FormatGiven = Annotated[
    Format | None,
    typer.Option("-o", "--format", help="How the result is written to stdout.", show_default="text"),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Store to use.",
        show_default="RIPRESA_STORE, then ripresa.toml, then .ripresa/ripresa.db",
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The id given at start, or the run's UUID.",
        show_default=False,
        autocompletion=completing.runs,
    ),
]
