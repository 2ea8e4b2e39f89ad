"""Pages: the Python blocks of a page of documentation, run one after another as a reader would.

A page's blocks are plain programs that share their names and a directory of their own, as if each were added to one
file; time is virtual.  An ```output block right after a Python block is what it prints, with `…` for what differs from
run to run.  A block that cannot run here says why, and the page's readers do not see it:

    ```{.python data-not-run="needs a database server"}

A block with a title is a file that the reader writes, and one with a snippet shows a file of the repository: both have
tests beside the examples.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(
    r"^(?P<indent>[ ]*)(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<code>.*?)^(?P=indent)(?P=ticks)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_SNIPPET = re.compile(r"\s*-+8 ?<")
_NOT_RUN = re.compile(r'data-not-run="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is that of its first line of code."""

    page: Path
    line: int
    language: str
    info: str
    code: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_to_run(self) -> bool:
        shows_a_file = "title=" in self.info or _SNIPPET.match(self.code) is not None
        return self.language == "python" and not shows_a_file and self.reason_not_to_run is None

    @property
    def reason_not_to_run(self) -> str | None:
        found = _NOT_RUN.search(self.info)
        return found[1] if found else None


def pages() -> list[Path]:
    """Every page with a Python block to run."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if any(block.is_to_run for block in blocks(page))]


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks, in order."""
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, match.start("code")) + 1, _language(match["info"]), match["info"],
              textwrap.dedent(match["code"]))
        for match in _FENCE.finditer(text)
    ]  # fmt: skip


def _language(info: str) -> str:
    word = info.strip().removeprefix("{").strip().removeprefix(".")
    return re.split(r"[\s}]", word, maxsplit=1)[0]


def run_page(page: Path) -> Iterator[tuple[Block, str, str | None]]:
    """Run its blocks; yield each that ran with what it printed, and what the page says that it prints."""
    names: dict[str, Any] = {"__name__": "documentation", "__file__": str(page)}
    found = blocks(page)
    for block, following in zip(found, [*found[1:], None], strict=True):
        if not block.is_to_run:
            continue
        printed = _run(block, names)
        says = following.code if following is not None and following.language == "output" else None
        yield block, printed, says


def _run(block: Block, names: dict[str, Any]) -> str:
    file = f"{block.page.stem}-{block.line}.py"
    linecache.cache[file] = (len(block.code), None, block.code.splitlines(keepends=True), file)
    code = compile(block.code, file, "exec", dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def fits(printed: str, says: str) -> bool:
    """Whether what was printed is what the page says, `…` standing for anything on its line."""
    pattern = ".*".join(re.escape(part) for part in says.strip().split("…"))
    return re.fullmatch(pattern, printed.strip()) is not None
