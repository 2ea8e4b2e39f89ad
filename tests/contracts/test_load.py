"""Definitions in order are loaded, and their resolved body loads as the same definition."""

import pytest

from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.spec import load_job, load_workflow
from tests.docs.pages import ROOT

CONTRACT = ROOT / "tests" / "data" / "contract.yaml"


def test_the_contracts_example_is_refused_only_for_showing_all_alternatives_at_once():
    with pytest.raises(SpecInvalid) as caught:
        load_workflow(CONTRACT.read_bytes(), "contract.yaml")
    assert {one.path for one in caught.value.problems} >= {"workflow.schedule.trigger"}


def test_a_body_loads_again_as_the_same_definition():
    text = (
        CONTRACT.read_text("utf-8")
        .replace("    trigger:", "    # trigger:")
        .replace("    source: s3", "    # source: s3")
    )
    loaded = load_workflow(text, "contract.yaml")
    again = load_workflow(loaded.body, "body.json")
    assert again.spec == loaded.spec
    assert again.version == loaded.version
    assert again.body == loaded.body


def test_comments_spacing_and_the_order_of_keys_make_no_version():
    one = load_job("job: {name: a, image: b, env: {X: '1', Y: '2'}}")
    two = load_job("# hello\njob:\n  image: b\n  env:\n    Y: '2'\n    X: '1'\n  name: a\n")
    three = load_job("job: {name: a, image: b, env: {X: '1', Y: '3'}}")
    assert one.version == two.version != three.version
