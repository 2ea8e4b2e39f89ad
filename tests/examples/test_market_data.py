"""The market data example: what its gate sets aside is released, and what failed goes on from its checkpoint."""

import json
from datetime import date

import feed
import pytest
from market_data import SYMBOLS, monthly_prices, story

from ripresa import PartitionKey, RunStatus, WorkflowContext, WorkflowRunner


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return story(tmp_path_factory.mktemp("market") / "data")


def published(desk):
    return {str(path.relative_to(desk.warehouse)) for path in desk.warehouse.rglob("*.json")}


def test_every_partition_is_published_in_the_end(desk):
    assert published(desk) == {
        f"symbol={symbol}/{month}.json" for symbol in SYMBOLS for month in ("2010-02-01", "2010-03-01")
    }


def test_the_gate_set_the_bad_partition_aside_and_its_release_read_a_better_one(desk):
    runs = [one for one in desk.measured() if one[0] == "GOOG-2010-03"]

    assert runs == [("GOOG-2010-03", 24, pytest.approx(16 / 24)), ("GOOG-2010-03", 24, 1.0)]
    assert desk.runner.resume("GOOG-2010-03").completed_steps == ("read", "measure", "wild", "publish")


def test_the_trend_warns_of_what_the_gate_lets_pass(desk):
    assert desk.published("IBM-2010-03") == ["quality_degraded", "prices_published"]
    assert desk.published("MSFT-2010-03") == ["prices_published"]


def test_a_run_from_a_checkpoint_reads_nothing_again(desk):
    assert desk.runner.checkpoint("AMZN-2010-03").next_step == "publish"
    assert [one[0] for one in desk.measured() if one[0].startswith("AMZN-2010-03")] == ["AMZN-2010-03"]
    facts = json.loads((desk.warehouse / "symbol=AMZN" / "2010-03-01.json").read_text("utf-8"))
    assert facts["wildest"] == {"month": "2009-10-01", "change": 0.2726}


def test_a_delivery_that_is_not_there_fails_at_the_first_attempt(tmp_path):
    context = WorkflowContext.new(
        {"feed": str(tmp_path), "warehouse": str(tmp_path)},
        partition=PartitionKey(symbol="IBM"),
        as_of_date="2010-03-01",
    )
    result = WorkflowRunner().execute(monthly_prices, context)

    assert result.status is RunStatus.FAILED
    assert result.error.startswith("there is no delivery at ")
    assert result.execution("read").error_category == "not_found"


def test_a_delivery_without_its_damage_is_the_source_as_it_is(tmp_path):
    feed.deliver(tmp_path, "GOOG", date(2010, 3, 1), damaged=False)
    rows = feed.path_of(tmp_path, "GOOG", date(2010, 3, 1)).read_text("utf-8").splitlines()

    assert rows[0] == "month,price"
    assert len(rows) == 1 + feed.MONTHS
    assert rows[-1] == "2010-03-01,560.19"
