"""Hostile templates: each is refused with its place and a remedy, or does no harm; none takes time or memory."""

import json
import subprocess
import sys
import textwrap

import pytest

from ripresa import TemplateError, TemplateForbidden, TemplateSyntax, TemplateUndefined, TemplateValue
from ripresa.author.templates import VARIABLES, Template
from ripresa.author.templates.filters import FILTERS

# What Jinja2's sandbox lets through, and what people have escaped it with.
FORBIDDEN = [
    # amplification
    "{{ 'a' * 10**9 }}",
    "{{ 'a' * 1000000000 }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ '%2000000000d' % 1 }}",
    "{{ '%2000000000d' | format(1) }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ 'x' | indent(1000000000) }}",
    "{{ 'x' | wordwrap(1) }}",
    "{{ range(1000000000) | list }}",
    "{{ range(10000) | sum }}",
    "{{ [params, params, params] }}",
    "{{ {'a': params} }}",
    "{{ (ds, ds) }}",
    "{{ ds, ds }}",
    "{{ params | map('upper') }}",
    "{{ params | batch(2) }}",
    "{{ params | slice(3) }}",
    "{{ lipsum(1000) }}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% for i in params recursive %}{{ loop(params) }}{% endfor %}",
    "{{ 'abc'[::-1] }}",
    "{{ ds[0:4] }}",
    # the way to the interpreter
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ params.__class__ }}",
    "{{ params['__class__'] }}",
    "{{ params.a.__init__.__globals__ }}",
    "{{ params._private }}",
    "{{ params | attr('__class__') }}",
    "{{ params | attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ params['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "{{ ()|attr('__class__')|attr('__base__') }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__ }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__dict__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ config.__class__.__init__.__globals__['os'] }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ request.application.__globals__.__builtins__ }}",
    "{{ dict.__base__ }}",
    "{{ caller() }}",
    "{{ varargs }}",
    "{{ kwargs }}",
    "{{ loop }}",
    "{{ super() }}",
    "{{ context }}",
    "{{ environment }}",
    "{{ _ }}",
    "{{ __builtins__ }}",
    "{{ __import__('os') }}",
    "{{ open('/etc/passwd').read() }}",
    "{{ eval('1') }}",
    # calls
    "{{ params.items() }}",
    "{{ params.keys() | list }}",
    "{{ params.pop('a') }}",
    "{{ params.clear() }}",
    "{{ params.update({'a': 1}) }}",
    "{{ ds.format() }}",
    "{{ '{0.__class__}'.format(params) }}",
    "{{ '{0.__class__}'.format_map(params) }}",
    "{{ execution_date.strftime('%Y') }}",
    "{{ execution_date.replace(year=1) }}",
    "{{ (params)() }}",
    "{{ params['a']() }}",
    "{{ params.a(*params) }}",
    "{{ params.a(**params) }}",
    "{{ macros.ds_add(ds, 1) }}",
    "{{ var.value.secret }}",
    "{{ conn.db.password }}",
    "{{ ti.xcom_pull('a') }}",
    "{{ env.HOME }}",
    "{{ secrets.db }}",
    # statements
    "{% if params.a %}x{% endif %}",
    "{% set x = 1 %}",
    "{% set x %}a{% endset %}",
    "{% include '/etc/passwd' %}",
    "{% include params.file ignore missing %}",
    "{% import 'os' as os %}",
    "{% from 'os' import popen %}",
    "{% extends 'base' %}",
    "{% block a %}{% endblock %}",
    "{% macro a() %}{{ a() }}{% endmacro %}",
    "{% call a() %}{% endcall %}",
    "{% filter upper %}a{% endfilter %}",
    "{% raw %}{{ ds }}{% endraw %}",
    "{%raw%}{%endraw%}",
    "{%- raw -%}x{%- endraw -%}",
    "{% with a = 1 %}{% endwith %}",
    "{% autoescape false %}{% endautoescape %}",
    "{% do params.clear() %}",
    "{% break %}",
    "{% debug %}",
    "{% trans %}x{% endtrans %}",
    "{% unknown %}",
    "{% %}",
    "{%",
    # arithmetic and tests
    "{{ params.n + 1 }}",
    "{{ 'a' + 'b' }}",
    "{{ params.n - 1 }}",
    "{{ params.n / 0 }}",
    "{{ params.n // 2 }}",
    "{{ params.n % 2 }}",
    "{{ -params.n }}",
    "{{ +params.n }}",
    "{{ params.a is defined }}",
    "{{ params.n is divisibleby 0 }}",
    "{{ params.a is sameas params }}",
    "{{ 1 is filter }}",
    # filters
    "{{ params | pprint }}",
    "{{ params | xmlattr }}",
    "{{ params | random }}",
    "{{ params | groupby('a') }}",
    "{{ ds | safe }}",
    "{{ ds | default('a', true, 1) }}",
    "{{ ds | default(x=1) }}",
    "{{ ds | default('a', default_value='b') }}",
    "{{ ds | upper(1) }}",
    "{{ ds | replace('a') }}",
    "{{ ds | replace(*params) }}",
    "{{ ds | replace(**params) }}",
    "{{ ds | replace(old='a') }}",
    "{{ params.l | join('-', 'name') }}",
    "{{ params.l | join(attribute='__class__') }}",
    "{{ params.l | first(1) }}",
    "{{ '10' | int(0, 36) }}",
    "{{ params | tojson(2000000000) }}",
    "{{ ds | string.upper }}",
    "{{ execution_date | date('%C') }}",
    "{{ execution_date | date('%') }}",
    "{{ execution_date | date('%-d') }}",
    "{{ execution_date | date(3) }}",
    # odds and ends
    "{{- ds }}",
    "{{ ds -}}",
    "{{-1}}",
    "{{+1}}",
    "{#- a #}",
    "{# a -#}",
    "{{ 1 if ds }}",
    "{{ {1: 2} }}",
    "{{ {ds: 2} }}",
    "{{ execution_date.year }}",
    "{{ execution_date['year'] }}",
    "{{ ds.upper }}",
    "{{ unknown }}",
    "{{ Params.a }}",
    "{{ \uff50arams.a }}",
    "{{" + "(" * 3000 + "1" + ")" * 1000 + "}}",
    "{{" + "(" * 1000 + "1" + ")" * 1000 + "}}",
    "{{" + "[" * 1000 + "]" * 1000 + "}}",
    "{{" + "not " * 900 + "ds }}",
    "{{" + "-" * 3000 + "1 }}",
    "{{ 1" + " if 1 else 1" * 200 + " }}",
    "{{ params" + "[params" * 100 + "]" * 100 + " }}",
    "{{ '" + "a" * 5000 + "' }}",
    "ä" * 2_040 + "{{ ds }}…………………",
]

SYNTAX = [
    "{{",
    "{{ }}",
    "{{ ds",
    "{{ ds }",
    "{{ {{ ds }} }}",
    "{{ ds }} {{",
    "{{ 'unclosed }}",
    "{{ ds | }}",
    "{{ ds | | upper }}",
    "{{ params. }}",
    "{{ params[ }}",
    "{{ params] }}",
    "{{ (ds }}",
    "{{ ds) }}",
    "{{ ds ds }}",
    "{{ == 1 }}",
    "{{ 1 = 1 }}",
    "{{ a; b }}",
    "{{ $ds }}",
    "{{ ds! }}",
    "{{ `id` }}",
    "{{ 'a' 'b' 3 }}",
    "{{ 1__0 }}",
    "{{ 99999999999999999999 }}",
    "{{ 1e999 }}",
    "{{ '\\ud800' }}",
    "{{ '\\x00' }}",
    "{{ '\\N{BULLET}' }}",
    "{{ '\\777' }}",
    "{{ '\\U00110000' }}",
    "{{ ds \x00 }}",
    "{{ ٣ٌ }}",
    "{{ x² }}",
    "{# never closed",
    "{{ ds {# #} }}",
    "{{ 1 if }}",
    "{{ in ds }}",
    "{{ params.a.b.}}",
    "{{ .a }}",
]

# What is read, and then has no value that fits.
LATER = [
    ("{{ params[params.key] }}", TemplateForbidden),
    ("{{ params[params.l] }}", TemplateValue),
    ("{{ params[none] }}", TemplateValue),
    ("{{ params[1.5] }}", TemplateUndefined),
    ("{{ params.l[99999999999] }}", TemplateUndefined),
    ("{{ params.l[true] }}", TemplateUndefined),
    ("{{ params.n.real }}", TemplateUndefined),
    ("{{ params.s.upper }}", TemplateUndefined),
    ("{{ params.l.append }}", TemplateUndefined),
    ("{{ params.get }}", TemplateUndefined),
    ("{{ config.keys }}", TemplateUndefined),
    ("{{ params.big ~ params.big }}", TemplateValue),
    ("{{ params.huge | upper }}", TemplateValue),
    ("{{ params.huge | trim }}", TemplateValue),
    ("x{{ params.huge }}", TemplateValue),
    ("{{ params.huge | tojson }}", TemplateValue),
    ("x{{ params.many }}", TemplateValue),
    ("{{ params.many | join(params.big) }}", TemplateValue),
    ("{{ params.many | join }}{{ params.many | join }}", TemplateValue),
    ("{{ params.big | replace('a', params.big) }}", TemplateValue),
    ("{{ params.big | replace('', params.big) }}", TemplateValue),
    ("{{ params.s | replace('s', 's', 'x') }}", TemplateValue),
    ("x{{ params.deep }}", TemplateValue),
    ("{{ params.deep | tojson }}", TemplateValue),
    ("{{ params.cycle | tojson }}", TemplateValue),
    ("{{ params.cycle == params.cycle2 }}", TemplateValue),
    ("x{{ params.nan }}", TemplateValue),
    ("x{{ params.object }}", TemplateValue),
    ("{{ params.object | length }}", TemplateValue),
    ("{{ params.object.secret }}", TemplateUndefined),
    ("{{ params.object['secret'] }}", TemplateUndefined),
    ("x{{ params.integer }}", TemplateValue),
    ("{{ '9' | replace('9', params.digits) | int }}", TemplateValue),
    ("{{ params.l < params.n }}", TemplateValue),
    ("{{ params.n in params.n }}", TemplateValue),
    ("{{ params.l in params }}", TemplateValue),
    ("{{ params.l | bool }}", TemplateValue),
    ("{{ '2024-13-01' | date }}", TemplateValue),
    ("{{ params.big | date }}", TemplateValue),
    ("{{ ds | date(params.big) }}", TemplateValue),
]

# What looks bad and does no harm.
HARMLESS = [
    ("{{ '{{ ds }}' }}", "{{ ds }}"),
    ("{{ '{% raw %}' }}", "{% raw %}"),
    ("{{ params.template }}", "{{ params.s }}{% for %}"),
    ("-{{ params.template }}-", "-{{ params.s }}{% for %}-"),
    ("{{ params.template | lower }}", "{{ params.s }}{% for %}"),
    ("{{ '$(id)' ~ '`id`' }}", "$(id)`id`"),
    ("{{ params.shell }}", "; rm -rf / #"),
    ("$(id) {{ ds }}", "$(id) 2024-01-01"),
    ("}} {{ ds }}", "}} 2024-01-01"),
    ("%} #} {{ ds }}", "%} #} 2024-01-01"),
    ("{{ ds }}}", "2024-01-01}"),
    ("{ {{ ds }} }", "{ 2024-01-01 }"),
    ("${{ ds }}", "$2024-01-01"),
    ("{{ params.s | replace('s', '{{ ds }}') }}", "{{ ds }}"),
    ("{{ '\\u202e' }}", "\u202e"),
    ("{# {{ ds }} {% for %} #}x", "x"),
    ("{{ '' }}", ""),
    ("{{ params.huge | length }}", 2_000_000),
    ("{{ ds" + " | upper" * 500 + " }}", "2024-01-01"),
    ("{{ 1" + "|int" * 1_000 + " }}", 1),
    ("{{ params.x" + "|default(params.y)" * 200 + "|default(1) }}", 1),
    ("{{ ds" + "~ds" * 1_300 + " }}", "2024-01-01" * 1_301),
    ("{{ params" + "['nested']" * 400 + " | default(1) }}", 1),
    ("{{ 1" + "<2>1" * 900 + " }}", True),
    ("{{ ds" + " ~ ''" * 700 + " }}", "2024-01-01"),
    ("{{ 1" + " and 1" * 600 + " }}", 1),
    ("{{ 1" + " < 2 > 1" * 400 + " }}", True),
    ("{{ params" + ".x" * 1500 + " | default(1) }}", 1),
    ("{{" + " " * 4000 + "ds }}", "2024-01-01"),
    ("{{ ds }}" * 500, "2024-01-01" * 500),
]

CYCLE, CYCLE2 = [], []
CYCLE.append(CYCLE)
CYCLE2.append(CYCLE2)
DEEP = []
for _ in range(5_000):
    DEEP = [DEEP]


class Object:
    secret = "s3cret"

    def __getitem__(self, key):
        return self.secret

    def __str__(self):
        return self.secret


DATA = {
    "ds": "2024-01-01",
    "config": {},
    "params": {
        "a": "a", "s": "s", "n": 1, "l": [1, 2], "key": "__class__", "big": "a" * 60_000, "huge": "a" * 2_000_000,
        "many": list(range(20_000)), "deep": DEEP, "cycle": CYCLE, "cycle2": CYCLE2, "nan": float("nan"),
        "object": Object(), "integer": 10**5_000, "digits": "9" * 100, "shell": "; rm -rf / #",
        "template": "{{ params.s }}{% for %}",
    },
}  # fmt: skip


def check_told(error, text):
    """It says where, what and what to do, and nothing of the values' secrets."""
    assert error.line >= 1
    assert error.column >= 1
    assert error.column <= len(text) + 1
    assert error.problem
    assert error.remedy
    assert len(str(error)) < 700
    assert "s3cret" not in str(error)


def name(value):
    return repr(value)[:50]


@pytest.mark.parametrize("text", FORBIDDEN, ids=name)
def test_what_is_forbidden_is_refused_when_it_is_read(text):
    with pytest.raises(TemplateForbidden) as caught:
        Template.parse(text)
    check_told(caught.value, text)
    assert caught.value.what


@pytest.mark.parametrize("text", SYNTAX, ids=name)
def test_what_is_no_template_is_refused_when_it_is_read(text):
    with pytest.raises(TemplateSyntax) as caught:
        Template.parse(text)
    check_told(caught.value, text)


@pytest.mark.parametrize(("text", "error"), LATER, ids=name)
def test_what_has_no_fitting_value_is_refused_when_it_is_rendered(text, error):
    template = Template.parse(text)
    with pytest.raises(error) as caught:
        template.render(DATA)
    assert type(caught.value) is error
    check_told(caught.value, text)


@pytest.mark.parametrize(("text", "value"), HARMLESS, ids=name)
def test_what_does_no_harm_is_rendered(text, value):
    assert Template.parse(text).render(DATA) == value


def test_there_are_more_than_a_hundred():
    assert len({*FORBIDDEN, *SYNTAX}) > 150


def test_no_template_takes_memory_or_time():
    """All of them in a process that may have little of either: it would die where the text is built first."""
    script = """
        import json, resource, sys
        from ripresa import TemplateError
        from ripresa.author.templates import Template

        texts, params = json.load(sys.stdin)
        Template.parse("{{ ds }}").render({"ds": "warm"})
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 20,) * 2)
        mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + 100 * 2**20,) * 2)
        refused = 0
        for text in texts:
            try:
                value = Template.parse(text).render({"ds": "2024-01-01", "params": params})
                assert not isinstance(value, str) or len(value) <= 65_536, text
            except TemplateError:
                refused += 1
        print(refused)
    """
    params = {key: DATA["params"][key] for key in ("a", "s", "n", "l", "big", "many", "shell", "digits")}
    grown = [
        "{{ " + " ~ ".join(["params.big"] * 300) + " }}",
        "{{ params.big" + " | replace('a', 'aa')" * 150 + " }}",
        "{{ params.s" + " | replace('s', 'ss')" * 150 + " }}",
        "{{ params.s" + " | replace('', 'ss')" * 150 + " }}",
        "{{ params.many | tojson" + " | tojson" * 300 + " }}",
        "{{ [" + "'" + "a" * 3000 + "'] | tojson" + " | tojson" * 60 + " }}",
        "{{ params.many | join(params.many | join(params.many | join)) }}",
        "{{ ('ß' | upper) ~ params.big | upper }}",
        "{{ params.big }}" * 250,
        "{{ params.many }}" * 200,
        "{{ ds | date('" + "%B" * 120 + "') }}",
    ]
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        input=json.dumps([[*FORBIDDEN, *SYNTAX, *(text for text, _ in LATER), *grown], params]),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stderr == ""
    assert int(found.stdout) > 200


def test_the_page_names_every_variable_and_filter():
    from tests.docs.pages import ROOT

    page = (ROOT / "docs" / "templates.md").read_text("utf-8")
    assert [one for one in VARIABLES if f"`{one}`" not in page] == []
    assert [one for one in FILTERS if f"`{one}" not in page] == []


def test_all_errors_are_of_one_tree():
    assert {TemplateSyntax, TemplateForbidden, TemplateUndefined, TemplateValue} == set(TemplateError.__subclasses__())
