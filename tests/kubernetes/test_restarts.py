"""Parts of a real cluster are killed under a job: no line is lost or doubled, and it is started once."""

from __future__ import annotations

import asyncio
import json

import pytest

COUNTS = """
    i=0
    until [ -e /data/enough ]; do i=$((i+1)); echo line $i; sleep 0.02; done
    echo "{\\"lines\\": $i}" > $JOB_OUTPUT
"""


@pytest.mark.parametrize("program", ["kube-apiserver", "kubelet"])
async def test_a_killed_part_of_a_cluster_costs_no_line_and_no_attempt(runtimes, space, box, shared, program):
    work = box(COUNTS, volumes=[f"{shared}:/data:ro"])
    log = work.log
    running = asyncio.ensure_future(runtimes(host_paths=[str(shared)]).run(work))
    await seen(log, 20)
    pods = {pod["metadata"]["uid"] for pod in space.pods()}
    await asyncio.to_thread(space.cluster.kill, program)
    await seen(log, len(log) + 100)  # they come live again
    (shared / "enough").touch()
    lines = json.loads(await running)["lines"]
    assert log.texts() == [f"line {number}" for number in range(1, lines + 1)]
    assert {pod["metadata"]["uid"] for pod in space.pods()} == pods


async def seen(log, count):
    while len(log) < count:  # noqa: ASYNC110 - a cluster: there is no event for it
        await asyncio.sleep(0.01)
