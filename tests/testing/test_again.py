"""What a report names as its rerun is a command that runs, and sees the same."""

import re
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from ripresa import sleep, step, workflow
from ripresa.testing.again import fault_called, scenario_called
from ripresa.testing.enumeration import enumerate_faults
from ripresa.testing.faults import NO_FAULTS, Fault, Faults, Kind, Plan
from ripresa.testing.scenarios import ALL, mixed
from ripresa.testing.simulation import Scenario, Simulation


@step
async def remind(order: str) -> None:
    """Nothing to do."""


@workflow
async def fulfil(order: str) -> str:
    await remind(order)
    await sleep(seconds=1)
    return order


async def _drive(client):
    await client.start(fulfil, "coffee", id="order-7")
    await client.result("order-7", expected="coffee")


async def _drive_impatiently(client):
    await _drive(client)
    if client.asked("start", "order-7") + client.asked("result", "order-7") > 2:
        raise AssertionError("it had to be asked twice")


shop = Scenario(name="shop", workflows=[fulfil], drive=_drive)
hasty_shop = Scenario(name="hasty_shop", workflows=[fulfil], drive=_drive_impatiently)

OUTSIDE = """
from ripresa import sleep, workflow
from ripresa.testing import Scenario, Simulation

@workflow
async def nap() -> int:
    await sleep(seconds=1)
    return 7

async def drive(client):
    await client.start(nap, id="nap")
    await client.result("nap", expected=7)

naps = Scenario(name="naps", workflows=[nap], drive=drive)

if __name__ == "__main__":
    print(Simulation(3).run(naps))
"""


def again(command, cwd=None):
    words = shlex.split(command)
    assert words[0] == "python"
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_a_scenario_of_ones_own_is_run_again_by_module_and_name():
    report = Simulation(3).run(shop)
    assert report.rerun == f"python -m ripresa.testing --scenario {__name__}:shop --seed 3"
    assert report.trace_hash in again(report.rerun)


def test_a_scenario_of_a_script_is_run_again_by_file_and_name(tmp_path):
    file = tmp_path / "naps.py"
    file.write_text(OUTSIDE)
    told = subprocess.run([sys.executable, "naps.py"], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    rerun = re.search("rerun: (.*)", told)[1]
    assert rerun == "python -m ripresa.testing --scenario naps.py:naps --seed 3"
    trace = re.search(r"trace \w+", told)[0]
    once_more = again(rerun, cwd=tmp_path)
    assert trace in once_more
    assert rerun in once_more


def test_one_of_ours_is_run_again_by_name():
    report = Simulation("a seed of words").run(mixed)
    assert report.rerun == "python -m ripresa.testing --scenario mixed --seed 'a seed of words'"
    assert report.trace_hash in again(report.rerun)


def test_an_exact_plan_is_told_fault_by_fault():
    plan = Plan([Fault(Kind.CRASH_AFTER, 2, "commit"), Fault(Kind.DUPLICATE, 5)])
    report = Simulation(1, plan=plan).run(shop)
    assert report.rerun.endswith(" --seed 1 --fault crash_after@commit2 --fault duplicate@5")
    assert report.trace_hash in again(report.rerun)


def test_a_failure_of_an_enumeration_is_run_again_with_its_fault_and_its_eviction():
    found = enumerate_faults(replace(hasty_shop, evict_after=("200ms", 0)), [Kind.CRASH_AFTER], points=range(5, 12))
    report = found.failures[0]
    [fault] = report.again.plan.faults
    assert report.rerun == (
        f"python -m ripresa.testing --scenario {__name__}:hasty_shop --seed 0 --fault {fault} --evict-after 200ms"
    )
    told = again(report.rerun)
    assert report.trace_hash in told
    assert f"{len(report.violations)} violations" in told


def test_what_no_command_can_tell_is_told_in_python():
    nameless = replace(shop, name="nameless", workflows=[])
    assert "where … is the scenario 'nameless'" in Simulation(1, NO_FAULTS).run(nameless).rerun
    faults = Faults(count=1, crashes=0)
    assert Simulation(1, faults).run(shop).rerun.startswith(f"Simulation(1, {faults!r}).run(")
    told = Simulation(1, plan=Plan([Fault(Kind.CRASH_AFTER, 2)], trouble=0.5)).run(shop).rerun
    assert told.startswith("Simulation(1, plan=Plan([Fault(kind=<Kind.CRASH_AFTER")
    assert "trouble=0.5" in told


@pytest.mark.parametrize("name", ALL)
def test_every_scenario_of_ours_has_its_name(name):
    assert scenario_called(name) is ALL[name]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere", "there is no scenario 'nowhere': say file.py:name, module:name, or one of account, "),
        ("nowhere:x", "there is no module 'nowhere'"),
        ("nowhere.py:x", "there is no file nowhere.py"),
        (f"{__name__}:fulfil", r"has no scenario 'fulfil' \(it has: .*shop, hasty_shop"),
    ],
)
def test_what_cannot_be_found_is_told(target, why):
    with pytest.raises(ValueError, match=why):
        scenario_called(target)


@pytest.mark.parametrize("text", ["crash_after@12", "error_before@claim_due3"])
def test_a_fault_is_read_as_it_is_written(text):
    assert str(fault_called(text)) == text


@pytest.mark.parametrize("text", ["", "crash_after", "crash_after@", "boom@3", "crash_after@commit"])
def test_what_is_no_fault_is_told(text):
    with pytest.raises(ValueError, match="is not a fault: write kind@12 or kind@commit3, where kind is one of crash_b"):
        fault_called(text)


def test_the_command_says_what_is_wrong_with_its_words():
    command = [sys.executable, "-m", "ripresa.testing", "--scenario", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no scenario 'nowhere'" in done.stderr
