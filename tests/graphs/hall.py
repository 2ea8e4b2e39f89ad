"""Halls: where the jobs of a graph are at work, in a time of their own.

A job that has begun stays until the hall lets it go; the hall lets the next one go only when all are there
that should be.  So it is seen at each moment who is at work and who is not, and nothing depends on how quick
the machine is.
"""

from __future__ import annotations

import asyncio
import heapq

PATIENCE_S = 60


class Hall:
    """`takes_ms`: how long each job takes."""

    def __init__(self, takes_ms):
        self.now_ms = 0
        self.began_ms = {}
        self.ended_ms = {}
        self.at_work = set()
        self.at_work_max = 0
        self._takes_ms = takes_ms
        self._leaving = []
        self._doors = {}
        self._came = asyncio.Event()

    async def work(self, name):
        """The job's own code."""
        assert name not in self.ended_ms, f"{name} was done already"
        self.began_ms[name] = self.now_ms
        self.at_work.add(name)
        self.at_work_max = max(self.at_work_max, len(self.at_work))
        door = self._doors[name] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._leaving, (self.now_ms + self._takes_ms[name], name))
        self._came.set()
        await door
        return name

    async def until_there_are(self, count):
        """Wait until so many are at work."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.at_work) < count:
                self._came.clear()
                await self._came.wait()

    def let_go(self):
        """Time goes on until the next job ends; its name."""
        self.now_ms, name = heapq.heappop(self._leaving)
        self.at_work.discard(name)
        self.ended_ms[name] = self.now_ms
        self._doors.pop(name).set_result(None)
        return name

    def crash(self, done):
        """The program is gone: nobody is at work, and only what is in its journal was done."""
        self.ended_ms = {name: ended for name, ended in self.ended_ms.items() if name in done}
        self.at_work.clear()
        self._leaving.clear()
        self._doors.clear()


async def supervise(hall, graph, *, slots=None, until=None, before_each=None):
    """Let the jobs go one by one, to the end, or until so many have ended; `before_each` is awaited before each.

    At each moment all are at work that can be – those whose parents have ended, as far as there is room – and no other.
    """
    left = {job: len(set(ups) - hall.ended_ms.keys()) for job, ups in graph.parents.items() if job not in hall.ended_ms}
    following = {job: [] for job in graph.parents}
    for job, ups in graph.parents.items():
        for up in ups:
            following[up].append(job)
    free = {job for job, count in left.items() if not count}
    while free and (until is None or len(hall.ended_ms) < until):
        await hall.until_there_are(min(len(free), slots or len(free)))
        assert hall.at_work <= free, f"began too early: {sorted(hall.at_work - free)}"
        if before_each is not None:
            await before_each()
        ended = hall.let_go()
        free.discard(ended)
        for job in following[ended]:
            left[job] -= 1
            if not left[job]:
                free.add(job)
