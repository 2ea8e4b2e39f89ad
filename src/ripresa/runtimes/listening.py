"""Listening: the output of a job elsewhere as lines in the log, each once, and when it was last heard of.

    follow (live, from the start) ──> whole, when it has ended: what following left out
    whole (what an earlier engine has not kept) ──> follow (live, after what was read) ──> whole

A connection may break, an engine of ours may end while the job goes on, and what follows its output for us may leave
out lines or stop before the last.  So all of the output is read once more at the end, and held against the lines that
have been kept.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from ripresa.ports.runtime import Keep
from ripresa.runtimes.masking import Secrets
from ripresa.runtimes.output_lines import OutputLines

STREAMS = ("stdout", "stderr")


class Line(NamedTuple):
    """A line of output; the fields of `Keep`."""

    stream: str
    level: str | None
    text: str
    at: int | None


class Pieces(Protocol):
    """Where the output comes from, in pieces: the stream, when it was written in microseconds, and the bytes.

    Always from its start; `follow`: until the job ends, else what there is.  Raises Unreachable, Refused.
    """

    def __call__(self, *, follow: bool) -> AsyncIterator[tuple[str, int | None, bytes]]: ...


class Listening:
    """One attempt's output.  `told`: the lines of each stream that an earlier engine kept."""

    def __init__(self, keep: Keep, secrets: Secrets, told: Mapping[str, list[str]]) -> None:
        self._keep = keep
        self._secrets = secrets
        self._told = {stream: list(told.get(stream, ())) for stream in STREAMS}
        self._read = dict.fromkeys(STREAMS, 0)
        """How many lines of each stream were read when it was last read as a whole."""
        self.heard_at = asyncio.get_running_loop().time()
        """When it last wrote something that is new to us, on the loop's clock."""
        self.last = ""
        """The last line that it wrote, of stderr if there is any; known when the whole was read."""

    async def follow(self, pieces: Pieces) -> None:
        """Keep what the job writes, after what was read as a whole, until it ends.  Raises Unreachable, Refused.

        It is read from its start, for what is written between two readings would come late.
        """
        known = dict(self._read)

        def keep(stream: str, level: str | None, text: str, at: int | None = None, /) -> None:
            if known[stream]:
                known[stream] -= 1
            else:
                self._take(Line(stream, level, text, at))

        lines = self._lines(keep)
        async for stream, at, data in pieces(follow=True):
            _feed(lines[stream], at, data)

    async def whole(self, pieces: Pieces, *, ended: bool) -> None:
        """Keep what it has written and is not kept yet; `ended`: all there will be.  Raises Unreachable, Refused."""
        read: list[Line] = []

        def note(stream: str, level: str | None, text: str, at: int | None = None, /) -> None:
            read.append(Line(stream, level, text, at))

        lines = self._lines(note)
        async for stream, at, data in pieces(follow=False):
            _feed(lines[stream], at, data)
        if ended:
            for one in lines.values():
                one.end()
        self.last = lines["stderr"].last or lines["stdout"].last
        texts = {stream: [line.text for line in read if line.stream == stream] for stream in STREAMS}
        new = {stream: not_yet_told(self._told[stream], texts[stream]) for stream in STREAMS}
        for line in read:
            if next(new[line.stream]):
                self._hand_on(line)
        self._told = texts
        self._read = {stream: len(texts[stream]) for stream in STREAMS}

    def _lines(self, keep: Keep) -> dict[str, OutputLines]:
        return {stream: OutputLines(stream, keep, masker=self._secrets.stream()) for stream in STREAMS}

    def _take(self, line: Line) -> None:
        self._told[line.stream].append(line.text)
        self._hand_on(line)

    def _hand_on(self, line: Line) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        self._keep(*line)


def not_yet_told(told: Sequence[str], output: Sequence[str]) -> Iterator[bool]:
    """For each line of the output, whether it is not among those that were told, which are a part of it in its order.

    What was told and is not in the output any more is passed over: its beginning may be gone.
    """
    rest = Counter(output)
    at = 0
    for line in output:
        while at < len(told) and not rest[told[at]]:
            at += 1
        new = at == len(told) or told[at] != line
        at += not new
        rest[line] -= 1
        yield new


def _feed(lines: OutputLines, at: int | None, data: bytes) -> None:
    if not lines.full:
        lines.feed(data, at)


def split_time(piece: bytes) -> tuple[int | None, bytes]:
    """The time in front of a piece of output, in microseconds since 1970, and the rest."""
    stamp, space, data = piece.partition(b" ")
    try:
        moment = datetime.fromisoformat(stamp.decode("ascii"))
    except ValueError:
        return None, piece
    return (round(moment.timestamp() * 1e6), data) if space else (None, piece)
