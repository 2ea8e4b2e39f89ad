"""Steps and jobs on Celery workers, over both brokers."""

import asyncio
import contextlib
import json
import os
import signal

import pytest
from kombu import Connection

from ripresa import Pool, RunCancelled, RunFailed, stores
from ripresa.contracts.errors import StoreUnavailable
from ripresa.ports.tasks import Task
from ripresa.runtimes.celery import worker
from ripresa.runtimes.celery.settings import CelerySettings
from tests.celery import steps

pytestmark = pytest.mark.timeout(400)  # RabbitMQ takes its time to come up

BOTH = pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True)
"""Of the others it does not matter what carried the ids."""


@BOTH
async def test_steps_run_on_workers(place):
    place.worker()
    app = await place.app()
    run = await app.start(steps.sum_of, [1, 2, 3])
    assert await run.result("90s") == 6
    lines = [line.text for _, line in await app.store.logs(run.id)]
    assert lines == ["adding 0 and 1", "adding 1 and 2", "adding 3 and 3"]
    assert await app.store.tasks() == []


async def test_what_a_step_raises_is_its_own_failure(place):
    place.worker()
    app = await place.app()
    run = await app.start(steps.refused, "closed on Sundays")
    with pytest.raises(RunFailed, match="closed on Sundays"):
        await run.result("90s")
    other = await app.start(steps.told_where)
    told = await other.result("90s")
    assert (told["attempt"], told["step"]) == (1, "where")
    assert told["pid"] not in {place.workers[0].pid, os.getpid()}


async def test_jobs_run_on_workers(place):
    (place.folder / "jobs").mkdir()
    (place.folder / "jobs" / "count.py").write_text(
        "import json, os\n"
        "total = sum(range(int(os.environ['PARAM_TO']) + 1))\n"
        "print('counted', os.environ['JOB'], os.environ['ATTEMPT'])\n"
        "open(os.environ['JOB_OUTPUT'], 'w').write(json.dumps({'total': total}))\n"
    )
    place.worker()
    app = await place.app()
    run = await app.start(steps.counted)
    assert await run.result("90s") == 6
    assert [line.text for _, line in await app.store.logs(run.id)] == ["counted count 1"]


async def test_a_pool_may_send_its_steps_to_a_queue_of_its_own(place):
    queue = place.queue
    app = await place.app(pools=[Pool("video", slots=1, runtime="celery", queue=f"{queue}-video")])
    run = await app.start(steps.transcoded)
    await place.until(lambda: place.broker.waiting(f"{queue}-video") == 1)
    place.queue = f"{queue},{queue}-video"  # what the worker listens to
    place.worker()
    assert await run.result("90s") not in {os.getpid(), place.workers[0].pid}
    assert place.broker.waiting(queue) == 0


async def test_a_time_limit_counts_from_the_beginning_and_kills_the_work(place):
    app = await place.app()
    note = place.folder / "pid"
    run = await app.start(steps.late, str(note))
    await asyncio.sleep(2.1)  # longer than the limit, and nobody has taken it yet
    place.worker()
    with pytest.raises(RunFailed, match="took longer than 2 s"):
        await run.result("90s")
    assert [attempt.status for attempt in await app.store.attempts(run.id)] == ["timeout"]
    await place.until(lambda: not note.exists() or not alive(int(note.read_text())))


@BOTH
async def test_a_job_longer_than_the_visibility_timeout_is_delivered_once(place):
    """Its message was acknowledged when it was claimed: nothing is left that a broker could deliver again."""
    place.worker()
    app = await place.app()
    file, note = place.folder / "go", place.folder / "note"
    run = await app.start(steps.held_up, str(file), str(note))
    await place.until(note.exists)
    await place.until(lambda: unacknowledged(place) == 0)
    assert place.broker.waiting(place.queue) == 0
    file.touch()
    assert await run.result("90s") == 1
    assert len(note.read_text().splitlines()) == 1


async def test_a_killed_worker_loses_its_attempts_and_another_goes_on(place):
    first = place.worker()
    app = await place.app()
    file, note = place.folder / "go", place.folder / "note"
    run = await app.start(steps.held_up, str(file), str(note))
    await place.until(note.exists)
    os.killpg(first.pid, signal.SIGKILL)
    place.worker()
    await place.until(lambda: len(note.read_text().splitlines()) == 2)
    pids = [int(line.split()[1]) for line in note.read_text().splitlines()]
    assert not alive(pids[0])
    file.touch()
    assert await run.result("90s") == 2
    lost = (await app.store.attempts(run.id))[0]
    assert lost.status == "lost"
    assert "sign of life" in lost.error


@BOTH
async def test_wiping_the_broker_in_mid_run_loses_nothing(place):
    app = await place.app()
    file, note = place.folder / "go", place.folder / "note"
    held_up = await app.start(steps.held_up, str(file), str(note))
    many = await app.start(steps.many, 12)
    await place.until(lambda: place.broker.waiting(place.queue) >= 13)
    place.broker.wipe()  # before anybody has taken anything
    worker = place.worker()
    await place.until(note.exists)
    place.broker.wipe()  # while one is under way
    file.touch()
    assert await held_up.result("90s") == 1
    assert await many.result("90s") == list(range(1, 13))
    assert worker.poll() is None
    assert all(attempt.status != "lost" for attempt in await app.store.attempts(many.id))


@BOTH
async def test_messages_that_come_twice_or_name_nothing_are_absorbed(place):
    """Every task is sent three times, among messages that no worker can make sense of."""
    app = await place.app()
    runtime = app._opening.runtimes["celery"]
    carry = runtime.carry
    runtime.carry = lambda queue, tasks: carry(queue, [*tasks, "0" * 32, *tasks, "no id", *tasks, "x" * 100_000])
    run = await app.start(steps.many, 20)
    poison(place)
    place.worker()
    assert await run.result("90s") == list(range(1, 21))
    lines = [line.text for _, line in await app.store.logs(run.id)]
    assert sorted(lines) == sorted(f"adding {number} and 1" for number in range(20))
    await place.until(lambda: place.broker.waiting(place.queue) == 0)
    runtime.carry = carry
    again = await app.start(steps.sum_of, [5])
    assert await again.result("90s") == 5


async def test_a_cancelled_run_ends_the_work(place):
    place.worker()
    app = await place.app()
    note = place.folder / "note"
    run = await app.start(steps.held_up, str(place.folder / "never"), str(note))
    await place.until(note.exists)
    await app.cancel(run)
    with pytest.raises(RunCancelled):
        await run.result("90s")
    pid = int(note.read_text().split()[1])
    await place.until(lambda: not alive(pid))
    assert await app.store.tasks() == []


async def test_the_next_engine_takes_in_what_was_reported_meanwhile(place):
    place.worker()
    app = await place.app()
    file, note = place.folder / "go", place.folder / "note"
    done, going = place.folder / "done", place.folder / "going"
    run = await app.start(steps.held_up, str(file), str(note))
    other = await app.start(steps.held_up, str(done), str(going))
    await place.until(lambda: note.exists() and going.exists())
    await app.crash()
    done.touch()  # one ends while no engine is there
    async with open_store(place.store) as store:
        await until_async(place, lambda: any_reported(store))
    app = await place.app()
    file.touch()
    for ref in (run.id, other.id):
        assert await (await app.get(ref)).result("90s") == 1
    assert len(note.read_text().splitlines()) == len(going.read_text().splitlines()) == 1


async def test_a_late_report_is_refused(place):
    """A worker that stood still past its lease finds its task given up, and another's outcome stands."""
    first = place.worker()
    app = await place.app()
    file, note = place.folder / "go", place.folder / "note"
    run = await app.start(steps.held_up, str(file), str(note))
    await place.until(note.exists)
    os.kill(first.pid, signal.SIGSTOP)
    place.worker()
    await place.until(lambda: len(note.read_text().splitlines()) == 2)
    file.touch()
    assert await run.result("90s") == 2
    os.kill(first.pid, signal.SIGCONT)
    await place.until(lambda: "was taken back" in place.logs() or "is refused" in place.logs())
    assert await (await app.get(run.id)).result("90s") == 2


async def test_a_worker_that_is_told_to_end_lets_its_work_end(place):
    worker = place.worker()
    app = await place.app()
    file, note = place.folder / "go", place.folder / "note"
    run = await app.start(steps.held_up, str(file), str(note))
    await place.until(note.exists)
    told = json.loads(await place.command("workers", "-o", "json"))
    assert [one["pid"] for one in told["workers"]] == [worker.pid]
    (task,) = told["tasks"]
    assert (task["run"], task["step"], task["state"]) == (run.id, "waits_for", "running")
    assert task["worker"] == told["workers"][0]["name"]
    worker.send_signal(signal.SIGTERM)
    await place.until(lambda: "tasks are under way" in place.logs())
    file.touch()
    assert await run.result("90s") == 1
    await place.until(lambda: worker.poll() is not None)
    assert await app.store.workers() == []


async def test_a_worker_that_starts_while_its_store_is_out_of_reach_waits_for_it(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/runs.db"
    tries = []

    def hard_to_reach(asked):
        store = stores.open_store(asked)
        opens = store.open

        async def tried():
            tries.append(asked)
            if len(tries) < 3:
                raise StoreUnavailable("it is starting up")
            await opens()

        store.open = tried
        return store

    monkeypatch.setattr(worker, "open_store", hard_to_reach)
    starting = worker.TaskWorker(url, CelerySettings(), name="early", slots=1)
    await asyncio.to_thread(starting.start)
    async with open_store(url) as store:
        assert [one.name for one in await store.workers()] == ["early"]
    await asyncio.to_thread(starting.stop, 0.0)
    assert tries == [url] * 3


async def test_work_that_is_ended_before_it_begins_does_not_begin(tmp_path):
    one = worker.TaskWorker(f"sqlite:///{tmp_path}/runs.db", CelerySettings(), name="one", slots=1)
    await asyncio.to_thread(one.start)
    begun = []

    class Runtime:
        async def run(self, work):
            begun.append(work)
            await asyncio.Event().wait()

    one._work = lambda doing, told: (Runtime(), told)
    doing = worker._Doing(Task("t", "r", "work", 1, "work", "celery", "q", '{"limit_s": null}', 0), "token")
    doing.end("the worker was told to end")
    outcome = asyncio.run_coroutine_threadsafe(one._outcome(doing), one._loop)
    assert await asyncio.wait_for(asyncio.wrap_future(outcome), 60) == {"lost": "the worker was told to end"}
    assert begun == []
    await asyncio.to_thread(one.stop, 0.0)


# --- what they look at ------------------------------------------------------------------------------------------------


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def unacknowledged(place):
    if place.broker.name == "redis":
        return int(place.broker._ask("HLEN unacked").strip(":\r\n"))
    rows = place.broker.control("-q", "list_queues", "name", "messages_unacknowledged")
    return sum(int(row.split()[1]) for row in rows.splitlines() if row.startswith(place.queue))


def poison(place):
    """Messages of other kinds: not JSON, an unknown task, another protocol."""
    with Connection(place.broker.url()) as connection:
        producer = connection.Producer()
        for body, options in (
            (b"\x80\x04K\x01.", {"content_type": "application/x-python-serialize", "content_encoding": "binary"}),
            (b"{", {"content_type": "application/json", "content_encoding": "utf-8"}),
            ('{"a": 1}', {"content_type": "application/json", "content_encoding": "utf-8"}),
            ("[[], {}, {}]", {"content_type": "application/json", "headers": {"task": "rm", "id": "1"}}),
        ):
            producer.publish(body, routing_key=place.queue, exchange="", **options)


@contextlib.asynccontextmanager
async def open_store(url):
    store = stores.open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def any_reported(store):
    return any(state.outcome is not None for state in await store.tasks())


async def until_async(place, is_so):
    async with asyncio.timeout(90):
        while not await is_so():  # noqa: ASYNC110 - it is in a database
            await asyncio.sleep(0.02)
