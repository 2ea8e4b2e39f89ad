"""Help pages of `ripresa` and its groups: plain text from the catalogue, without loading anything."""

from __future__ import annotations

import sys

from ripresa.cli.catalogue import GROUPS, SECTIONS, Group, Section

_WIDTH = 14
_HELP = frozenset({"-h", "--help"})
_VERSION = frozenset({"-V", "--version"})

_HEAD = """\
Usage: ripresa [OPTIONS] COMMAND [ARGS]…

Workflows that survive anything: what a run has learnt is on disk, and it goes on from there.
"""

_OPTIONS = """\
Options
  --store URL     Store to use; default: RIPRESA_STORE, then ripresa.toml, then .ripresa/ripresa.db.
  -o FORMAT       text, json, yaml or jsonl; results go to stdout, everything else to stderr.
  --debug         Show the traceback of an error.
  -V, --version   Say the version.
  -h, --help      Show this page; `ripresa COMMAND --help` tells more.
"""

_TAIL = """\
Exit codes
  0 succeeded   1 run failed or blocked   2 usage, unknown run or invalid definition   3 quarantined
  4 cancelled   5 store out of reach or in use   130 interrupted (the run stays)
"""


def quick_page(args: list[str]) -> str | None:
    """The page that these arguments ask for, if it can be told without parsing."""
    if not args or (len(args) == 1 and args[0] in _HELP):
        return front_page()
    if len(args) == 1 and args[0] in _VERSION:
        from ripresa import __version__

        return f"ripresa {__version__}\n"
    if args[0] in GROUPS and (len(args) == 1 or (len(args) == 2 and args[1] in _HELP)):
        return group_page(GROUPS[args[0]])
    return None


def front_page() -> str:
    """What `ripresa --help` says."""
    return _headed("\n".join([_HEAD, *map(_section, SECTIONS), _OPTIONS, _TAIL]))


def _section(section: Section) -> str:
    return "\n".join([section.title, *(_line(entry.name, entry.does) for entry in section.entries), ""])


def group_page(group: Group) -> str:
    """What `ripresa GROUP --help` says."""
    lines = [_line(command.name, command.does) for command in group.commands]
    words = f"{group.within} {group.name}".strip()
    head = f"Usage: ripresa {words} COMMAND [ARGS]…\n\n{group.does}\n\nCommands\n"
    return _headed(head + "\n".join(lines) + f"\n\n`ripresa {words} COMMAND --help` tells more.\n")


def _line(name: str, does: str) -> str:
    return f"  {name:<{_WIDTH}}  {does}"


def _headed(page: str) -> str:
    """The page with its headings in bold, on a terminal that may show it."""
    from os import environ

    if not sys.stdout.isatty() or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return page
    return "\n".join(f"\033[1m{line}\033[0m" if _is_heading(line) else line for line in page.split("\n"))


def _is_heading(line: str) -> bool:
    return bool(line) and not line.startswith((" ", "Usage", "`")) and not line.endswith(".")
