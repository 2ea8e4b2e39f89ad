"""What the tests of graphs share: worlds in which the code is kept in memory, and in which it is not."""

from __future__ import annotations

import pytest

from tests.engine.conftest import World


@pytest.fixture(params=["memory", "memory-evicted"])
async def world(request, tmp_path):
    kind, _, evicted = request.param.partition("-")
    world = World(kind, 0 if evicted else "30s", tmp_path)
    yield world
    await world.close()


@pytest.fixture
async def memory(tmp_path):
    world = World("memory", "30s", tmp_path)
    yield world
    await world.close()
