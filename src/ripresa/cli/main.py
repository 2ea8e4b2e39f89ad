"""The entry point of `ripresa`: pages that need no parsing at once, all else through Typer."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line of this process; exits with the code that the contract names."""
    args = _without_debug(sys.argv[1:])
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # what its encoding cannot hold is no reason to fail
    from ripresa.cli.pages import quick_page

    page = None if "_RIPRESA_COMPLETE" in os.environ else quick_page(args)
    if page is not None:
        sys.stdout.write(page)
        return
    from ripresa.cli import garbage

    garbage.do_not_look()
    from ripresa.cli.group import root

    root()(args, prog_name="ripresa")


def _without_debug(args: list[str]) -> list[str]:
    """`--debug` may stand anywhere before `--`."""
    end = args.index("--") if "--" in args else len(args)
    if "--debug" in args[:end]:
        os.environ["RIPRESA_DEBUG"] = "1"
    return [arg for place, arg in enumerate(args) if arg != "--debug" or place > end]
