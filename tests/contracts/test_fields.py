"""Every field of the contract can be asked about, by its path or the end of it."""

import pytest

from ripresa.contracts.spec.fields import FieldUnknown, all_paths, explain, to_json


def test_a_field_tells_its_type_default_and_meaning():
    field = explain("workflow.jobs.job.retry.max_delay").field
    assert (field.type, field.default, field.required, field.example) == ("duration", "1h", False, "30s")
    assert field.says == "No wait is longer."


def test_a_prefix_lists_its_fields_with_what_each_may_hold():
    found = explain("workflow.schedule")
    fields = {one.name: one for one in found.fields}
    assert fields["overlap"].values == ("skip", "queue", "allow", "cancel_running")
    assert fields["overlap"].default == "skip"
    assert fields["catchup"].has_fields
    assert "one of `cron`, `interval` and `trigger`" in found.abouts[0]
    assert {one.name for one in explain("workflow.schedule.catchup").fields} == {"max", "window"}


def test_the_top_is_what_a_file_holds():
    found = explain()
    assert found.field is None
    assert [one.name for one in found.fields] == ["contract", "workflow", "job"]


def test_the_path_of_an_error_message_can_be_asked_about():
    assert explain("workflow.jobs[0].job.retry").field.path == ("workflow", "jobs", "job", "retry")
    assert explain("workflow.jobs.3.job.retry").field.path == ("workflow", "jobs", "job", "retry")
    assert explain("workflow.jobs[0].job.env.PORT").field.path == ("workflow", "jobs", "job", "env")
    assert explain('workflow.jobs[0].job.env["A B"]').field.path == ("workflow", "jobs", "job", "env")


def test_the_end_of_a_path_is_enough_where_it_is_one_field():
    found = explain("max_delay")
    assert found.field.says == "No wait is longer."
    assert ("workflow", "jobs", "job", "retry", "max_delay") in found.also_at
    with pytest.raises(FieldUnknown, match=r"8 fields of this name: workflow\.name, job\.name"):
        explain("name")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("workflow.jbos.job", 'did you mean "workflow.jobs.job"?'),
        ("workflow.jobs.job.retri.delay", 'did you mean "workflow.jobs.job.retry.delay"?'),
        ("workflow.catchup", "did you mean workflow.schedule.catchup?"),
        ("workflow.priority.high", "workflow.priority"),
        ("exponentail_backoff", 'did you mean "job.retry.exponential_backoff"?'),
        ("qqqq", "`ripresa explain` lists what there is"),
    ],
)
def test_a_near_miss_is_told_what_was_meant(typed, meant):
    with pytest.raises(FieldUnknown) as caught:
        explain(typed)
    assert meant in str(caught.value)


def test_fields_that_take_templates_say_so():
    assert explain("workflow.jobs.job.args").field.templates
    assert explain("workflow.jobs.choice.cases.if").field.templates
    assert not explain("workflow.jobs.job.image").field.templates
    assert not explain("workflow.jobs.job.retry.delay").field.templates


def test_an_included_job_is_a_field_though_no_model_has_it():
    assert explain("workflow.jobs.job.from").field.example == "jobs/load.yaml"
    assert "from" in [one.name for one in explain("workflow.finally.job").fields]
    with pytest.raises(FieldUnknown):
        explain("job.from")


def test_every_field_has_a_type_and_a_meaning():
    paths = all_paths()
    assert len(paths) == len(set(paths)) > 250
    for path in paths:
        field = explain(path).field
        assert ".".join(field.path) == path
        assert field.says.endswith("."), path
        assert field.type, path
        assert to_json(explain(path))["field"] == path


def test_types_are_told_in_words():
    kinds = {path: explain(path).field.type for path in all_paths()}
    assert kinds["workflow.jobs.job.command"] == "list of texts"
    assert kinds["workflow.jobs.job.env"] == "mapping of texts"
    assert kinds["workflow.jobs.job.timeout"] == "duration or mapping"
    assert kinds["workflow.schedule.catchup"] == "boolean or last or mapping"
    assert kinds["workflow.notifications.on_failure.type"] == "email"
    assert explain("workflow.notifications.on_failure").fields[0].values == ("email", "slack", "webhook")
    assert explain("workflow.jobs.job.retry.max_attempts").field.limits == "1 to 100"
