"""Templates: what they give, of which type, and what is refused where."""

from datetime import UTC, datetime

import pytest

from ripresa import TemplateError, TemplateForbidden, TemplateSyntax, TemplateUndefined, TemplateValue
from ripresa.author.templates import Template, is_template, render_tree, templates_in

VARIABLES = {
    "execution_date": datetime(2024, 2, 29, 7, 5, tzinfo=UTC),
    "prev_execution_date": None,
    "ds": "2024-02-29",
    "ts": "2024-02-29T07:05:00+00:00",
    "run_id": "r-1",
    "params": {
        "region": "eu",
        "n": 3,
        "share": 0.5,
        "yes": True,
        "no": False,
        "nothing": None,
        "empty": "",
        "names": ["a", "b"],
        "none_named": [],
        "nested": {"list": [{"key": "k"}]},
        "items": "a key like a method",
        "digits": "12",
    },
    "steps": {"extract": {"output": {"rows": 5, "files": ["f0", "f1"]}}},
    "item": {"key": "region"},
    "index": 0,
}


def render(text, **variables):
    return Template.parse(text).render(VARIABLES | variables)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("{{ ds }}", "2024-02-29"),
        ("--date={{ ds }} --n={{ params.n }}", "--date=2024-02-29 --n=3"),
        ("{{ params.n }}", 3),
        ("  {{ params.names }}\n", ["a", "b"]),
        ("{# why #}{{ params.n }}", 3),
        ("{# only a comment #}", ""),
        ("{{ params.n }}{{ params.n }}", "33"),
        ("line\n{{ params.n }}\n", "line\n3\n"),
        ("{{ params.nothing }}", None),
        ("{{ execution_date }}", "2024-02-29T07:05:00+00:00"),
        ("at {{ execution_date }}", "at 2024-02-29T07:05:00+00:00"),
        ("{{ execution_date | date }}", "2024-02-29"),
        ("{{ execution_date | date('%Y%m%d') }}", "20240229"),
        ("{{ execution_date | date('%d %B %Y, %H:%M %p, day %j of %%') }}", "29 February 2024, 07:05 AM, day 060 of %"),
        ("{{ '2024-12-30' | date('%G-W%V-%u') }}", "2025-W01-1"),
        ("x{{ params.yes }}{{ params.no }}", "xtruefalse"),
        ("x{{ params.names }}", 'x["a","b"]'),
        ("x{{ params.nested }}", 'x{"list":[{"key":"k"}]}'),
        ("{{ params.nested.list[0].key }}", "k"),
        ("{{ params['nested']['list'][-1]['key'] }}", "k"),
        ("{{ params[item.key] }}", "eu"),
        ("{{ params.names[index] }}", "a"),
        ("{{ params.names.1 }}", "b"),
        ("{{ params.items }}", "a key like a method"),
        ("{{ steps.extract.output.rows >= 5 }}", True),
        ("{{ 1 < params.n < 3 }}", False),
        ("{{ params.region in ['eu', 'us'] and not params.no }}", True),
        ("{{ 'k' not in params.nested }}", True),
        ("{{ params.empty or params.region }}", "eu"),
        ("{{ params.empty and params.missing }}", ""),
        ("{{ 'a' if params.no else 'b' }}", "b"),
        ("{{ 'a' ~ params.n ~ -1 ~ params.yes }}", "a3-1true"),
        ("{{ (params.n) }}", 3),
        ("{{ -1 }}", -1),
        ("{{ [1, 'a', [none, true], {'k': -2}] }}", [1, "a", [None, True], {"k": -2}]),
        ("{{ {} }}", {}),
        ("{{ '{{ ds }}' }}", "{{ ds }}"),
        (r"{{ 'it\'s \x41 \u00e4 \\' }}", "it's A ä \\"),
        ("{{ params.x | default('d') }}", "d"),
        ("{{ params.x.y.z | default(params.n) }}", 3),
        ("{{ params.x | default(params.y) | default(params.region) }}", "eu"),
        ("{{ params.empty | default('d') }}", ""),
        ("{{ params.empty | default('d', true) }}", "d"),
        ("{{ params.x | default }}", ""),
        ("{{ steps.later.output | default(default_value=none) }}", None),
        ("{{ params.none_named | first | default('d') }}", "d"),
        ("{{ params.names | last }}", "b"),
        ("{{ params.names | join('-') | upper }}", "A-B"),
        ("{{ params.names | length }}", 2),
        ("{{ params.digits | int }}", 12),
        ("{{ '3.9' | int }}", 3),
        ("{{ 'abc' | int(0) }}", 0),
        ("{{ params.n | float }}", 3.0),
        ("{{ 'x' | float(none) }}", None),
        ("{{ 'off' | bool }}", False),
        ("{{ params.n | string }}", "3"),
        ("{{ ' a ' | trim }}", "a"),
        ("{{ '--a-' | trim('-') }}", "a"),
        ("{{ 'Ab' | lower }}", "ab"),
        ("{{ ds | replace('-', '') }}", "20240229"),
        ("{{ ds | replace('-', '', 1) }}", "202402-29"),
        ("{{ params.nested | tojson }}", '{"list":[{"key":"k"}]}'),
        ("{{ params.region | tojson }}", '"eu"'),
    ],
)
def test_a_template_gives(text, value):
    rendered = render(text)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("text", "error", "column", "says"),
    [
        ("{{ params.regoin }}", TemplateUndefined, 10, 'did you mean "region"'),
        ("{{ steps.extarct.output }}", TemplateUndefined, 9, "has not run"),
        ("{{ params.names[2] }}", TemplateUndefined, 16, "2 items"),
        ("{{ params.n.x }}", TemplateUndefined, 12, "is a number"),
        ("{{ next_execution_date }}", TemplateUndefined, 4, "has no value here"),
        ("{{ params.x | default(params.y) }}", TemplateUndefined, 29, "has no 'y'"),
        ("{{ params.none_named | first }}", TemplateUndefined, 24, "empty"),
        ("a {{ params.nothing }}", TemplateValue, 6, "null"),
        ("{{ 'abc' | int }}", TemplateValue, 12, "int(0)"),
        ("{{ params.n | join }}", TemplateValue, 15, "takes a list"),
        ("{{ params.n < params.region }}", TemplateValue, 4, "a number and a text"),
        ("{{ execution_date == ds }}", TemplateValue, 4, "compare `ds`"),
        ("{{ params[params.names] }}", TemplateValue, 10, "a list stands in"),
        ("{{ 'soon' | date }}", TemplateValue, 13, "no date"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_place(text, error, column, says):
    template = Template.parse(text, "jobs[0].args[1]")
    with pytest.raises(error, match=r"^jobs\[0\]\.args\[1\]: line 1, column ") as caught:
        template.render(VARIABLES)
    assert caught.value.column == column
    assert says in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("echo ${#names[@]}", 7, "no end; a comment ends with #}"),
        ("date +{%Y}", 7, 'a literal {% is written {{ "{%" }}'),
        ("docker ps --format {{.Names}}", 22, 'a literal {{ is written {{ "{{" }}'),
        ("{{ ds", 4, "expected `}}`"),
        ("{{ ds.strftime('%Y') }}", 15, "date(pattern)"),
        ("{{ params.get('a', 'b') }}", 14, "default(default_value, boolean)"),
        ("{{ 'a' + ds }}", 4, "joined by `~`"),
        ("{{ parms.region }}", 4, 'did you mean "params"'),
        ("{{ ds | uper }}", 9, 'did you mean "upper"'),
        ("{{ params.a is defined }}", 13, "default(none)"),
    ],
)
def test_a_refusal_says_what_to_write_instead(text, column, says):
    with pytest.raises(TemplateError) as caught:
        Template.parse(text)
    assert (caught.value.line, caught.value.column) == (1, column)
    assert says in str(caught.value)


def test_a_literal_brace_can_be_written():
    assert render("{{ '{{' }}.Names}} ${{ '{#' }}a} {{ '{%' }}") == "{{.Names}} ${#a} {%"


def test_a_place_counts_lines_as_they_are_written():
    with pytest.raises(TemplateUndefined) as caught:
        render("a\r\nb\r\n  {{ params.x }}")
    assert (caught.value.line, caught.value.column) == (3, 12)


def test_what_a_variable_holds_is_never_read_as_a_template():
    hostile = {"a": "{{ params.b }}{% for x in y %}{# c", "b": "secret"}
    assert render("<{{ params.a }}>", params=hostile) == "<{{ params.b }}{% for x in y %}{# c>"
    assert render("{{ params.a }}", params=hostile) == hostile["a"]


def test_a_template_tells_what_it_reads():
    template = Template.parse("{{ steps.a.output.files[0] ~ params[item.key] ~ (steps.b.output | default('')) ~ ds }}")
    assert template.names == (
        ("steps", "a", "output", "files"), ("params",), ("item", "key"), ("steps", "b", "output"), ("ds",),
    )  # fmt: skip
    assert [one.path[1] for one in template.references if one.optional] == ["b"]
    assert template.references[-1].column == 82


@pytest.mark.parametrize(
    ("text", "whole"), [("{{ ds }}", True), (" {{ ds }}\n", True), ("a{{ ds }}", False), ("a", False)]
)
def test_a_template_tells_whether_it_is_one_expression(text, whole):
    assert Template.parse(text).is_expression is whole


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("{{ params.yes }}", True),
        ("{{ params.nothing }}", False),
        ("{{ params.n }}", True),
        ("{{ index }}", False),
        ("{{ params.none_named }}", False),
        ("{{ params.empty }}", False),
        ("{{ params.region == 'eu' }}", True),
        ("{{ 'False' }}", False),
        (" {{ params.yes }}{# text #} ", True),
    ],
)
def test_a_condition_holds(text, holds):
    assert Template.parse(text).holds(VARIABLES) is holds


@pytest.mark.parametrize("text", ["{{ params.region }}", "{{ params.yes }} and {{ params.no }}", "params.n == 3"])
def test_a_condition_that_is_some_other_text_is_a_mistake(text):
    with pytest.raises(TemplateValue, match="compares"):
        Template.parse(text).holds(VARIABLES)


def test_a_tree_is_rendered_in_its_values_and_errors_name_the_field():
    tree = {"args": ["--n", "{{ params.n }}"], "{{ ds }}": {"deep": ("{{ ds }}", 7, None)}}
    assert render_tree(tree, VARIABLES) == {"args": ["--n", 3], "{{ ds }}": {"deep": ["2024-02-29", 7, None]}}
    with pytest.raises(TemplateUndefined, match=r"^jobs\[0\]\.env\.A\[1\]: line 1"):
        render_tree({"env": {"A": ["x", "{{ item.x }}"]}}, VARIABLES, "jobs[0]")
    assert [one.where for one in templates_in(tree, "job")] == ["job.args[1]", "job.{{ ds }}.deep[0]"]


def test_a_tree_that_is_too_deep_is_refused():
    deep = "{{ ds }}"
    for _ in range(200):
        deep = [deep]
    with pytest.raises(TemplateForbidden, match="nested"):
        render_tree(deep, VARIABLES)
    with pytest.raises(TemplateForbidden, match="nested"):
        list(templates_in(deep))


def test_a_constant_list_is_new_each_time():
    template = Template.parse("{{ [[1], {'a': []}] }}")
    template.render({})[0].append(2)
    template.render({})[1]["a"].append(2)
    assert template.render({}) == [[1], {"a": []}]


def test_a_text_without_braces_is_no_template():
    assert not is_template("a } b {")
    assert Template.parse("x" * 10_000).render({}) == "x" * 10_000


def test_every_error_of_templates_has_a_code_and_is_terminal():
    kinds = (TemplateSyntax, TemplateForbidden, TemplateUndefined, TemplateValue)
    assert len({kind.code for kind in kinds}) == 4
    assert all(issubclass(kind, TemplateError) and kind.failure_class == "terminal" for kind in kinds)
