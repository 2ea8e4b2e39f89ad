"""The lazy group: Typer commands from the catalogue, each imported when it is used."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer.core import TyperGroup

from ripresa.cli import pages
from ripresa.cli.catalogue import ENTRIES, Command, Group
from ripresa.cli.exits import reporting
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.settings import GIVEN

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTEXT = {"help_option_names": ["-h", "--help"]}


class LazyGroup(TyperGroup):
    """Lists the catalogue's commands and loads the one that is called."""

    entries: ClassVar[dict[str, Command | Group]] = {}
    page: ClassVar[Any] = None

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = self.entries.get(cmd_name)
        return None if entry is None else _loaded(entry)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in self.entries:
            ctx.fail(f"No such command {args[0]!r}{_meant(args[0], self.entries)}")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(type(self).page())


def _meant(name: str, entries: Mapping[str, Command | Group]) -> str:
    """What was probably meant: a command of this name behind another word, or a name that is near."""
    groups = (one for one in entries.values() if isinstance(one, Group))
    behind = [f"{group.name} {name}" for group in groups if any(one.name == name for one in group.commands)]
    meant = behind or get_close_matches(name, entries, 1)
    names = " or ".join(f'"{one}"' for one in meant)
    return f"; did you mean {names}?" if meant else ""


def root() -> Any:
    """The command `ripresa`."""
    app = _typer(cls=_group_class(ENTRIES, pages.front_page), add_completion=True)
    app.callback(no_args_is_help=True)(_root)
    return typer.main.get_command(app)


def _root(
    store: StoreOption = None,
    output: FormatGiven = None,
) -> None:
    GIVEN.store, GIVEN.format = store, output


def _loaded(entry: Command | Group) -> Any:
    if isinstance(entry, Group):
        return _group(entry)
    app = _typer()
    function = getattr(import_module(f"ripresa.cli.commands.{entry.module}"), entry.function)
    app.command(entry.name, short_help=entry.does)(reporting(function))
    command = typer.main.get_command(app)
    command.name = entry.name
    return command


def _group(group: Group) -> Any:
    entries: dict[str, Command | Group] = {command.name: command for command in group.commands}
    app = _typer(cls=_group_class(entries, lambda: pages.group_page(group)))
    app.callback(help=group.does, no_args_is_help=True)(_nothing)
    command = typer.main.get_command(app)
    command.name = group.name
    return command


def _nothing() -> None:
    """A group does nothing by itself."""


def _group_class(entries: dict[str, Command | Group], page: Any) -> type[LazyGroup]:
    return type("CatalogueGroup", (LazyGroup,), {"entries": entries, "page": staticmethod(page)})


def _typer(*, cls: type[TyperGroup] | None = None, add_completion: bool = False) -> typer.Typer:
    return typer.Typer(
        cls=cls,
        add_completion=add_completion,
        context_settings=_CONTEXT,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
