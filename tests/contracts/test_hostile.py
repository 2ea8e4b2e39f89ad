"""Hostile texts are refused, or read, within bounds of time and memory: each in a process that may not exceed them."""

import json
import resource
import subprocess
import sys

import pytest

CPU_S = 10
"""Some three times what the longest of them takes on a busy machine, far below what an explosion would."""
MEMORY_BYTES = 768 * 2**20
"""Of addresses, the program's own included; the largest texts are 16 MiB, and what is made of them 390 at the most."""

PROGRAM = """
import json, sys
from ripresa.author.templates import Template
from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.spec import load
try:
    load(sys.stdin.buffer.read(), sys.argv[1], templates=Template.parse)
    print(json.dumps(["ok"]))
except SpecInvalid as error:
    str(error)
    print(json.dumps(sorted({one.code for one in error.problems})))
"""

MIB = 2**20
JOB = "job:\n  name: a\n  image: b\n  "


def laughs():
    yield "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 30):
        yield f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"


def strides():
    yield "workflow:\n  name: w\n  jobs:\n"
    for number in range(10_000):
        needs = ", ".join(f"j{(number + stride) % 10_000}" for stride in range(1, 11))
        yield f"    - job: {{name: j{number}, image: b}}\n      depends_on: [{needs}]\n"


def choices():
    yield "workflow:\n  name: w\n  jobs:\n"
    for number in range(2_000):
        cases = f"[{{if: '{{{{ params.x }}}}', then: c{number + 1}}}]"
        yield f"    - choice: {{name: c{number}, cases: {cases}, else: c{number + 2}}}\n"


def credentials():
    yield f"{JOB}params:\n"
    for number in range(100_000):
        yield f"    k{number}: {{password: pw{number}}}\n"


def fields():
    yield JOB
    for number in range(100_000):
        yield f"f{number}: 1\n  "


HOSTILE = {
    "17 MiB": ("x.yaml", lambda: "a" * 17 * MIB, "too_large"),
    "16 MiB of one word": ("x.yaml", lambda: "a" * 16 * MIB, "type_wrong"),
    "16 MiB of one quoted text": ("x.yaml", lambda: 'job: "' + "a" * (16 * MIB - 20) + '"', "type_wrong"),
    "16 MiB of spaces": ("x.yaml", lambda: " " * 16 * MIB, "empty"),
    "16 MiB of comment": ("x.yaml", lambda: "#" * 16 * MIB, "empty"),
    "16 MiB of line breaks": ("x.yaml", lambda: "\n" * (16 * MIB - 8) + "a: b", "missing"),
    "a billion laughs": ("x.yaml", lambda: "".join(laughs()), "yaml_alias_forbidden"),
    "brackets": ("x.yaml", lambda: "[" * MIB, "too_deep"),
    "braces": ("x.yaml", lambda: "{" * MIB, "key_not_text"),
    "dashes": ("x.yaml", lambda: "- " * MIB, "too_deep"),
    "question marks": ("x.yaml", lambda: "? " * MIB, "key_not_text"),
    "colons": ("x.yaml", lambda: "a: " * MIB, "yaml_syntax"),
    "quotes": ("x.yaml", lambda: '"' * MIB, "yaml_syntax"),
    "flow items": ("x.yaml", lambda: "[" + "a," * 5 * MIB + "]", "too_many_values"),
    "block items": ("x.yaml", lambda: "- a\n" * 4_000_000, "too_many_values"),
    "keys": ("x.yaml", lambda: "".join(f"k{number}: 1\n" for number in range(600_000)), "too_many_values"),
    "one key, over and over": ("x.yaml", lambda: "a: 1\n" * 100_000, "duplicate_key"),
    "tags": ("x.yaml", lambda: "- !!str a\n" * 100_000, "yaml_tag_forbidden"),
    "documents": ("x.yaml", lambda: "---\na\n" * 100_000, "several_documents"),
    "brackets in JSON": ("x.json", lambda: "[" * MIB, "too_deep"),
    "objects in JSON": ("x.json", lambda: '{"a":' * MIB, "too_deep"),
    "items in JSON": ("x.json", lambda: "[" + "1," * 5 * MIB + "1]", "too_many_values"),
    "backslashes in JSON": ("x.json", lambda: '"' + "\\" * (16 * MIB - 10), "json_syntax"),
    "digits in JSON": ("x.json", lambda: '{"job": ' + "9" * 10 * MIB + "}", "number_refused"),
    "unknown fields": ("x.yaml", lambda: "".join(fields()), "unknown_field"),
    "wrong arguments": ("x.yaml", lambda: f"{JOB}args: [" + "1," * 300_000 + "]", "too_many"),
    "credentials": ("x.yaml", lambda: "".join(credentials()), "hardcoded_secret"),
    "almost credentials": (
        "x.yaml", lambda: f"{JOB}args: ['" + "curl -u a token= bearer 1a://b:" * 2_000 + "']", "ok"
    ),
    "almost an address": ("x.yaml", lambda: f"{JOB}args: ['" + "a" * 30_000 + "://" + "b:" * 15_000 + "']", "ok"),
    "almost keys": ("x.yaml", lambda: f"{JOB}description: '" + "eyJ.eyJ.sk-xox" * 4_000 + "'", "ok"),
    "open templates": ("x.yaml", lambda: f"{JOB}args: [" + "'{{'," * 9_000 + "]", "template_syntax"),
    "ten thousand jobs in a circle": ("x.yaml", lambda: "".join(strides()), "cycle"),
    "a ladder of choices": ("x.yaml", lambda: "".join(choices()), "unknown_entry"),
    "a pattern that explodes": (
        "x.yaml",
        lambda: "workflow:\n  name: w\n  input: {properties: {a: {pattern: '" + "(" * 90 + "a" + ")*" * 90 + "'}}}\n",
        "input_schema_invalid",
    ),
    "commas for a cron": (
        "x.yaml", lambda: "workflow: {name: w, jobs: [], schedule: {cron: '" + "," * MIB + "'}}", "cron_invalid"
    ),
    "combining marks": ("x.yaml", lambda: "job: {image: b, name: a" + "\u0301" * MIB + "}", "name_invalid"),
}  # fmt: skip


def limits():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


@pytest.mark.parametrize("name", HOSTILE)
def test_it_ends_within_its_bounds(name):
    file, text, expected = HOSTILE[name]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, file],
        input=text().encode(),
        capture_output=True,
        preexec_fn=limits,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == b""
    assert expected in json.loads(done.stdout)
