"""Templates, tried at random: nothing but our errors, and the same values as Jinja2 where that has them too."""

import json
from functools import cache

import jinja2
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import SandboxedEnvironment

from ripresa import TemplateError
from ripresa.author.templates import Template, is_template
from ripresa.author.templates.reading import NESTING_MAX
from ripresa.author.templates.values import TEXT_CHARS_MAX

JINJA = SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
VARIABLES = {
    "ds": "2024-02-29",
    "run_id": "r-1",
    "index": 2,
    "config": {"region": "us"},
    "params": {"region": "eu", "empty": "", "n": 3, "share": 0.5, "digits": " 12", "yes": True, "no": False,
               "nothing": None, "names": ["b", "a"], "numbers": [1, 2.5, 3], "none_named": [],
               "map": {"a": {"b": "c"}, "n": 1}},
}  # fmt: skip

WORDS = r"""
    {{ }} {{ }} {% %} {# #} {{- -}} { } ( ) [ ] . , : ; | ~ + - * / % = == != < <= ! 'a' "b" ' " \ \x41 \q
    ds params params.region params.map item index steps foo __class__ true none 1 0 1.5 1e5 0x1F 1_0 9223372036854775808
    not in and or if else is defined default upper int join replace('a','b') date('%Y') first tojson for set raw endraw
"""
PIECES = st.sampled_from([*WORDS.split(), "ä", "²", "\u202e", "\ud7ff", "\0", "\r"])
TEXTS = st.lists(PIECES, max_size=25).flatmap(
    lambda pieces: st.sampled_from(["", " ", "\n"]).map(lambda between: between.join(pieces))
)
EXPRESSIONS = TEXTS.map(lambda text: "{{ " + text + " }}")


def outcome(call, *arguments):
    """What it gives, or which of our errors; any other is the test's failure."""
    try:
        return call(*arguments), None
    except TemplateError as error:
        return None, error


def check_only_our_errors(text):
    template, refused = outcome(Template.parse, text)
    if refused is not None:
        assert refused.line
        assert refused.column
        assert refused.remedy
        return
    if is_template(text):
        JINJA.parse(text)  # what we take, Jinja2 takes
    value, refused = outcome(template.render, VARIABLES)
    if refused is None:
        assert json.loads(json.dumps(value)) == value
        assert template.render(VARIABLES) == value
        assert not is_template(text) or not isinstance(value, str) or len(value) <= TEXT_CHARS_MAX
    else:
        assert refused.line


@given(st.text(max_size=60) | TEXTS)
def test_any_text_gives_a_value_or_one_of_our_errors(text):
    check_only_our_errors(text)


@given(EXPRESSIONS)
def test_any_expression_gives_a_value_or_one_of_our_errors(text):
    check_only_our_errors(text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


@given(JSON)
def test_a_value_goes_through_a_template_unchanged_and_is_json_in_a_text(value):
    variables = {"params": {"x": value}}
    assert Template.parse("{{ params.x }}").render(variables) == value
    text = Template.parse("{{ params.x | tojson }}").render(variables)
    assert json.loads(text) == value
    if isinstance(value, list | dict):
        assert Template.parse("={{ params.x }}").render(variables) == f"={text}"


@given(st.text(), st.text(), st.text())
def test_what_comes_out_of_a_variable_is_only_data(a, b, c):
    rendered = Template.parse("{{ params.a }}<{{ params.b | string }}>{{ params.c }}").render(
        {"params": {"a": a, "b": b, "c": c}}
    )
    assert rendered == f"{a}<{b}>{c}"


# -- the same as Jinja2 -----------------------------------------------------------------------------------------------


def joined(form, *parts):
    return st.tuples(*parts).map(lambda values: form.format(*values))


LIST = st.sampled_from(["params.names", "['x', 'y']", "params.none_named", "[]", "['b', ['c']][1]"])
NUMBERS = ["params.n", "index", "params.map.n", "params.digits | int", "params.names | length", "0x1F", "1_0", "-7",
           "params.share", "1.5", "-2.5e3", "params.n | float", "params.numbers[1]", "'3.9' | int"]  # fmt: skip
TEXTUAL = ["ds", "run_id", "params.region", "params.empty", "params['region']", "config.region", "'a'", "''", '"It\'s"',
           r"'\x41\n'", "params.map.a.b", "params.map['a'].b"]  # fmt: skip
CHANGED = st.sampled_from(["upper", "lower", "trim", "string", "trim('a')", "first", "last"])
OTHER = st.sampled_from(["params.map", "params.nothing", "none", "params.missing", "params.map.x.y", "params.names[2]"])


@cache
def number(depth):
    """Expressions that are numbers, `depth` operations deep."""
    plain = st.sampled_from(NUMBERS)
    if not depth:
        return plain
    inner, text = number(depth - 1), textual(depth - 1)
    return plain | joined("(({}) | length)", text) | joined("({} if {} else {})", inner, boolean(depth - 1), inner)


@cache
def textual(depth):
    """Expressions that are texts."""
    plain = st.sampled_from(TEXTUAL)
    if not depth:
        return plain
    inner = textual(depth - 1)
    return st.one_of(
        plain,
        joined("({} ~ {})", inner, inner | st.sampled_from(["1", "params.n"])),
        joined("({}) | {}", inner, CHANGED),
        joined("({}) | replace({}, {})", inner, inner, inner),
        joined("({}) | replace('a', {}, {})", inner, inner, st.integers(0, 3)),
        joined("{} | join({})", LIST, inner),
        joined("({} if {} else {})", inner, boolean(depth - 1), inner),
        joined("params.missing | default({})", inner),
        joined("({}) | default({}, true)", inner, inner),
        joined("({} or {})", inner, inner),
    )


@cache
def boolean(depth):
    """Expressions that are true or false."""
    plain = st.sampled_from(["true", "False", "params.yes", "params.no"])
    if not depth:
        return plain
    inner, one, text = boolean(depth - 1), number(depth - 1), textual(depth - 1)
    return st.one_of(
        plain,
        joined("({} {} {})", one, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), one),
        joined("({} {} {} {} {})", one, st.sampled_from(["<", "=="]), one, st.sampled_from([">=", "!="]), one),
        joined("({} {} ({}))", text, st.sampled_from(["==", "!=", "<", "in", "not in", "=="]), text),
        joined("({} {} {})", text, st.sampled_from(["in", "not in"]), LIST),
        joined("(not ({}))", inner | text | one | LIST),
        joined("({} {} {})", inner, st.sampled_from(["and", "or"]), inner),
        joined("({} {} {})", text, st.sampled_from(["==", "<"]), one),
    )


VALUE = textual(3) | number(3) | boolean(3) | LIST | OTHER


def of_jinja(expression):
    """Jinja2's value, or None in a list if it has none."""
    try:
        value = JINJA.compile_expression(expression, undefined_to_none=False)(VARIABLES)
    except (jinja2.UndefinedError, TypeError):
        return []
    return [] if isinstance(value, jinja2.Undefined) else [value]


def of_ours(text):
    try:
        return [Template.parse(text).render(VARIABLES)]
    except TemplateError:
        return []


def is_shallow(text):
    """Whether our limit of nesting cannot be what refuses it."""
    return sum(text.count(one) for one in ("(", "[", "if", "not", "-")) <= NESTING_MAX


def check_same(ours, theirs, text):
    if theirs or "default" not in text:  # Jinja2 evaluates its argument even if there is nothing to do for it
        assert ours == theirs
        assert [type(one) for one in ours] == [type(one) for one in theirs]


@given(VALUE.filter(is_shallow))
def test_an_expression_has_the_value_that_jinja_gives_it(expression):
    check_same(of_ours("{{ " + expression + " }}"), of_jinja(expression), expression)


PARTS = st.sampled_from(["a ", "\n", "{", "}", "{# c #}", "{{ '{{' }}"]) | textual(2).map("{{{{ {} }}}}".format)


@given(st.lists(PARTS, max_size=5).map(lambda parts: "".join(["=", *parts])).filter(is_shallow))
def test_a_text_is_the_text_that_jinja_makes(text):
    try:
        theirs = [JINJA.from_string(text).render(VARIABLES)]
    except (jinja2.UndefinedError, jinja2.TemplateSyntaxError, TypeError):
        theirs = []
    check_same(of_ours(text), theirs, text)
