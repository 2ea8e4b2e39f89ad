"""Advanced branching and merging: WCP-6 to WCP-8, WCP-33, WCP-37, WCP-38, WCP-41, WCP-42."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import DAG, child, sleep, step, task, wait_for_signal, workflow
from ripresa.testing import app_fixture
from tests.patterns.story import completed, hours, hours_of, statuses

pytestmark = pytest.mark.also_on_postgres


@step
async def emergency(call: str) -> list[str]:
    return call.split(" and ")


@step
async def police(call: str) -> str:
    return "police"


@step
async def fire_engine(call: str) -> str:
    return "fire engine"


@step
async def ambulance(call: str) -> str:
    return "ambulance"


@step
async def report(police: str = "", fire_engine: str = "", ambulance: str = "") -> list[str]:
    return [one for one in (police, fire_engine, ambulance) if one]


# --8<-- [start:wcp-6-7]
with DAG("dispatch") as dispatch:
    called = task(emergency)
    sent = [
        task(police).when(lambda emergency: "theft" in emergency),
        task(fire_engine).when(lambda emergency: "fire" in emergency),
        task(ambulance).when(lambda emergency: "injury" in emergency),
    ]
    called >> sent >> task(report, run_if="none_failed")


# --8<-- [end:wcp-6-7]
@pytest.mark.parametrize(
    ("call", "sent_out"),
    [
        ("theft", ["police"]),
        ("fire and injury", ["fire engine", "ambulance"]),
        ("theft and fire and injury", ["police", "fire engine", "ambulance"]),
        ("nothing", []),
    ],
)
async def test_wcp_06_and_07_any_branches_are_chosen_and_the_merge_waits_for_just_these(call, sent_out):
    async with app_fixture(dispatch, evict_after=0) as app:
        run = await app.start(dispatch, {"call": call})

        assert await run.result() == sent_out
        did = await completed(app, run)
        assert (did[0], did[-1]) == ("emergency", "report")
        assert sorted(did[1:-1]) == sorted(one.replace(" ", "_") for one in sent_out)


@step
async def examine(side: str) -> str:
    return f"{side} examined"


@step
async def file_away(sheet: str) -> str:
    return f"{sheet}, filed"


# --8<-- [start:wcp-8]
async def one_side(side: str, takes_hours: int) -> str:
    await sleep(hours=takes_hours)
    sheet = await examine(side)
    return await file_away(sheet)  # what comes after the merge, once for each branch that reaches it


@workflow
async def audit() -> list[str]:
    return await asyncio.gather(one_side("income", 1), one_side("expenses", 4))


# --8<-- [end:wcp-8]
async def test_wcp_08_multi_merge_each_branch_that_arrives_starts_what_follows():
    async with app_fixture(audit, evict_after=0) as app:
        run = await app.start(audit)

        assert await run.result() == ["income examined, filed", "expenses examined, filed"]
        assert await hours_of(app, run, "file_away") == [1, 4]


@step
async def assemble(frame: str, wheels: str) -> str:
    return f"{frame}+{wheels}"


# --8<-- [start:wcp-33]
@workflow
async def bicycles(count: int) -> list[str]:
    made = []
    for _ in range(count):  # signals queue up: the n-th frame meets the n-th pair of wheels
        frame = await wait_for_signal("frame", str)
        wheels = await wait_for_signal("wheels", str)
        made.append(await assemble(frame, wheels))
    return made


# --8<-- [end:wcp-33]
async def test_wcp_33_generalised_and_join_a_branch_that_is_ahead_is_not_forgotten():
    async with app_fixture(bicycles, evict_after=0) as app:
        run = await app.start(bicycles, 2)
        for name, data in (("frame", "f1"), ("frame", "f2"), ("wheels", "w1"), ("wheels", "w2")):
            await app.signal(run, name, data)

        assert await run.result() == ["f1+w1", "f2+w2"]


@step
async def triage(patient: str) -> str:
    return patient


@step
async def x_ray(triage: str) -> str:
    return "bones"


@step
async def blood(triage: str) -> str:
    return "blood"


@step
async def allergy(blood: str) -> str:
    return "allergy"


@step
async def vitamins(blood: str) -> str:
    return "vitamins"


@step
async def letter(x_ray: str = "", allergy: str = "", vitamins: str = "") -> str:
    return ", ".join(filter(None, (x_ray, allergy, vitamins)))


# --8<-- [start:wcp-37]
with DAG("examination") as examination:
    first = task(triage)
    bones = task(x_ray).when(lambda triage: "leg" in triage)
    drawn = task(blood).when(lambda triage: "rash" in triage or "tired" in triage)
    further = [
        task(allergy).when(lambda triage: "rash" in triage),
        task(vitamins).when(lambda triage: "tired" in triage),
    ]
    first >> [bones, drawn]
    drawn >> further
    [bones, *further] >> task(letter, run_if="none_failed")


# --8<-- [end:wcp-37]
@pytest.mark.parametrize(
    ("patient", "said"),
    [("leg", "bones"), ("rash", "allergy"), ("leg, tired", "bones, vitamins"), ("rash, tired", "allergy, vitamins")],
)
async def test_wcp_37_acyclic_synchronizing_merge_what_was_not_chosen_upstream_is_not_waited_for(patient, said):
    async with app_fixture(examination, evict_after=0) as app:
        run = await app.start(examination, {"patient": patient})

        assert await run.result() == said
        became = await statuses(app, run)
        assert became["letter"] == "succeeded"
        assert (became["x_ray"] == "succeeded") == ("leg" in patient)
        assert (became["blood"] == "skipped") == (patient == "leg")


@step
async def visit(page: str) -> list[str]:
    return {"home": ["news", "shop"], "news": ["home", "weather"], "shop": ["cart"]}.get(page, [])


@step
async def draw_map(pages: list[str]) -> str:
    return " ".join(pages)


# --8<-- [start:wcp-38]
@workflow
async def map_site(start: str) -> str:
    seen = {start}

    async def follow(page: str) -> None:
        for link in await visit(page):
            if link not in seen:  # links lead round in circles
                seen.add(link)
                branches.create_task(follow(link))

    async with asyncio.TaskGroup() as branches:
        branches.create_task(follow(start))
    # Here no branch is under way, so none can come any more.
    return await draw_map(sorted(seen))


# --8<-- [end:wcp-38]
async def test_wcp_38_general_synchronizing_merge_the_merge_waits_until_no_branch_can_come_any_more():
    async with app_fixture(map_site, evict_after=0) as app:
        run = await app.start(map_site, "home")

        assert await run.result() == "cart home news shop weather"
        assert await completed(app, run) == ["visit"] * 5 + ["draw_map"]


@step
async def knead(loaf: int) -> str:
    return f"loaf {loaf}"


@step
async def bake(loaves: list[str]) -> str:
    return f"{len(loaves)} loaves"


# --8<-- [start:wcp-41]
@workflow
async def bakery() -> str:
    kneading = [asyncio.create_task(knead(loaf)) for loaf in range(4)]
    dough = [await one for one in kneading]  # four threads become one
    return await bake(dough)


# --8<-- [end:wcp-41]
async def test_wcp_41_thread_merge_so_many_threads_become_one():
    async with app_fixture(bakery, evict_after=0) as app:
        run = await app.start(bakery)

        assert await run.result() == "4 loaves"
        did = await completed(app, run)
        assert (len(did), did[-1], did.count("bake")) == (5, "bake", 1)


# --8<-- [start:wcp-42]
@workflow
async def inspect(sample: int) -> int:
    await sleep(hours=sample)
    return sample


@workflow
async def laboratory(samples: int) -> list[int]:
    return await asyncio.gather(*(child(inspect, number) for number in range(samples)))  # one thread becomes many


# --8<-- [end:wcp-42]
async def test_wcp_42_thread_split_one_thread_becomes_so_many():
    async with app_fixture(laboratory, inspect, evict_after=0) as app:
        run = await app.start(laboratory, 3)

        assert await run.result() == [0, 1, 2]
        assert await hours(app, run) == 2
        assert len(await app.list(workflow="inspect", parent=run)) == 3
