"""A file of the draft 0.9 becomes one of 1.0, and nothing else in it changes."""

import json

import pytest

from ripresa.contracts.migration import RENAMES, migrate
from ripresa.contracts.spec import load

OLD = """\
contract: "0.9"   # a draft
workflow:
  name: w
  schedule_interval: 0 2,3 * * *   # nightly
  default_args: {retry: {backoff: true}}
  tasks:
    # the first
    - job:
        name: a
        image: b:1
        retries: 3  # four in total
        environment: {A: "b"}
        'cmd': [x]
    - job: {name: c, image: d, retries: 2, parameters: {x: 1}}
      depends: [a]
"""
NEW = """\
contract: "1.0"   # a draft
workflow:
  name: w
  schedule: {cron: "0 2,3 * * *"}   # nightly
  defaults: {retry: {exponential_backoff: true}}
  jobs:
    # the first
    - job:
        name: a
        image: b:1
        retry: {max_retries: 3}  # four in total
        env: {A: "b"}
        'command': [x]
    - job: {name: c, image: d, retry: {max_retries: 2}, params: {x: 1}}
      depends_on: [a]
"""


def test_keys_are_renamed_where_they_stand_and_comments_stay():
    found = migrate(OLD)
    assert found.text == NEW
    assert found.left == ()
    assert "workflow.tasks[0].job.retries is now retry.max_retries" in found.done
    spec = load(found.text).spec
    assert spec.retry_of(spec.jobs[0]).attempts == 4


def test_what_is_migrated_stays_as_it_is():
    assert migrate(NEW).text == NEW
    assert migrate(NEW).done == ()


def test_json_is_migrated_too():
    old = json.dumps(
        {"workflow": {"name": "w", "schedule_interval": "1h", "tasks": [{"job": {"name": "a", "image": "b"}}]}}
    )
    spec = load(migrate(old, "x.json").text, "x.json").spec
    assert (spec.schedule.interval, spec.jobs[0].name) == ("1h", "a")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("job: {name: a, image: b, cmd: [x], command: [y]}", "job.cmd: command is there too; keep one of them"),
        ("job: {name: a, image: b, retries: [1]}", "job.retries: write it as retry:"),
    ],
)
def test_what_cannot_be_renamed_is_left_to_a_person(text, left):
    found = migrate(text)
    assert found.left == (left,)
    assert found.text == text


def test_every_rename_leads_to_a_field_that_there_is():
    from ripresa.contracts.spec.entries import Entry, JobSpec
    from ripresa.contracts.spec.policies import RetrySpec
    from ripresa.contracts.spec.schedule import Schedule
    from ripresa.contracts.spec.shape import fields_of
    from ripresa.contracts.spec.workflow import WorkflowSpec

    models = {"workflow": WorkflowSpec, "schedule": Schedule, "entry": Entry, "job": JobSpec, "retry": RetrySpec}
    for rename in RENAMES:
        assert rename.new in fields_of(models[rename.where])
        assert rename.old not in fields_of(models[rename.where])
