"""What a database's administrator reads of us: nothing that we do as a matter of course is an error to the server."""

from ripresa import App, Breaker, Pool, step, workflow


@step(pool="lakehouse")
async def load(number: int) -> int:
    return number


@workflow
async def loads(number: int) -> int:
    return await load(number)


async def test_nothing_that_goes_well_is_an_error_to_the_server(postgres, postgres_url):
    log = postgres.folder / "log"
    before = log.stat().st_size
    pool = Pool("lakehouse", slots=2, breaker=Breaker(failures=3), cooldown="1s")
    async with App(postgres_url, [loads], pools=[pool]) as app:
        assert [await (await app.start(loads, number)).result("60s") for number in range(3)] == [0, 1, 2]
        await app.trip_breaker("lakehouse", duration="10s")
        await app.reset_pool("lakehouse")
        await app.set_pool(Pool("lakehouse", slots=3))
    database = postgres_url.rpartition("/")[2]
    lines = log.read_bytes()[before:].decode().splitlines()
    assert [line for line in lines if f"] {database} ERROR:" in line] == []
