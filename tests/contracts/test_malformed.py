"""Every malformed definition is refused with the right code, a place, and a remedy; none crashes or hangs."""

import pytest

from ripresa.author.templates import Template
from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.spec import load
from tests.contracts.malformed import JSON, TABLE, chain

NO_PLACE = {"empty"}


def problems_of(data, file="x.yaml"):
    with pytest.raises(SpecInvalid) as caught:
        load(data, file, templates=Template.parse)
    return caught.value.problems


def require(problems, code, path):
    told = [(one.code, one.path) for one in problems]
    assert (code, path) in told, f"{told}\n{[str(one) for one in problems]}"
    for one in problems:
        assert one.remedy or one.did_you_mean, one
        assert "Error" not in one.message, one
        assert one.code in NO_PLACE or (one.line is not None and one.column is not None), one
        assert "\n".join(one.lines())
    (problem, *_) = [one for one in problems if (one.code, one.path) == (code, path)]
    return problem


def name_of(row):
    context, text, code, _ = row
    return f"{context.__name__}-{code}-{str(text)[:30]}".encode("ascii", "replace").decode().replace("\n", " ")


@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_it_is_refused_where_it_is_wrong(row):
    context, text, code, path = row
    data = context(*text) if context is chain else context(text)
    require(problems_of(data), code, path.replace("@", "workflow.jobs[0]").replace("~", "workflow."))


@pytest.mark.parametrize(("text", "code", "path"), JSON, ids=lambda value: str(value)[:30])
def test_json_is_refused_where_it_is_wrong(text, code, path):
    require(problems_of(text, "x.json"), code, path)


def test_there_are_enough_of_them():
    assert len(TABLE) + len(JSON) >= 300
