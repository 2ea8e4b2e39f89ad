"""What is written out of the models – schemas, the page of the contract – is what the models say."""

import json

import pytest
from jsonschema import Draft202012Validator

from ripresa.contracts.reading import read
from ripresa.contracts.spec.schema import FILES, json_schema
from ripresa.contracts.spec.shape import models_below
from tests.contracts.malformed import TABLE, chain
from tests.contracts.test_load import whole_example
from tools import write_contract


def test_schemas_and_tables_are_as_the_models_have_them():
    stale = [str(path) for path, text in write_contract.written().items() if path.read_text("utf-8") != text]
    assert stale == [], "run: python tools/write_contract.py"


@pytest.mark.parametrize("kind", FILES)
def test_every_field_says_what_it_is_for(kind):
    for model in models_below(FILES[kind]):
        assert model.__doc__, model
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert field.description.endswith("."), f"{model.__name__}.{name}"


def test_the_page_has_a_table_for_every_model():
    page = write_contract.PAGE.read_text("utf-8")
    models = {model.__name__ for kind in FILES.values() for model in models_below(kind)}
    missing = [name for name in models - {"WorkflowFile", "JobFile"} if f"<!-- fields: {name} -->" not in page]
    assert missing == []


@pytest.mark.parametrize("kind", FILES)
def test_the_schemas_are_schemas(kind):
    schema = json_schema(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:ripresa:contract:{kind}:1.0"
    assert json.loads(json.dumps(schema)) == schema


def test_what_the_reader_accepts_an_editor_accepts():
    validator = Draft202012Validator(json_schema("workflow"))
    assert list(validator.iter_errors(read(whole_example()).value)) == []


PLAIN = {"unknown_field", "type_wrong", "missing", "value_unknown", "out_of_range", "too_few"}


def rows():
    for context, text, code, path in TABLE:
        if code in PLAIN and context is not chain and path and "3.0" not in text:  # to a schema, 3.0 is an integer
            yield pytest.param(context(text), id=f"{code}-{text[:30]}".encode("ascii", "replace").decode())


@pytest.mark.parametrize("text", list(rows()))
def test_an_editor_refuses_a_field_that_is_wrong_by_itself(text):
    value = read(text).value
    validator = Draft202012Validator(json_schema("job" if "job" in value else "workflow"))
    assert list(validator.iter_errors(value)) != []
