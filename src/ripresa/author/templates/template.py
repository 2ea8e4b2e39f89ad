"""Template: a text of a definition with `{{ … }}` in it, read once and rendered for each run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Self

from ripresa.author.templates.problem import Problem, with_plain_line_ends
from ripresa.author.templates.values import concatenated, result_of, truth_of
from ripresa.contracts.errors import TemplateForbidden

TREE_DEPTH_MAX = 100
_CACHED_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Reference:
    """A variable that a template reads: its `path` as far as it is constant, `("steps", "extract", "output")`.

    `line` and `column` (from 1) say where in the text; `optional` that a `default` covers it.
    """

    path: tuple[str, ...]
    line: int
    column: int
    optional: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """What a text was read as; shared by all templates of that text."""

    render: Callable[[Mapping[str, Any]], Any]
    names: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()
    is_expression: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A text that may hold templates; `where` names its field in errors.

    Rendering is pure and gives the same value for the same variables.  Texts that a template makes have at most 65,536
    characters; a value that is passed whole is neither copied nor limited, so do not change what `render` gives.
    """

    text: str
    where: str | None
    _read: _Read

    @classmethod
    def parse(cls, text: str, where: str | None = None) -> Self:
        """Read `text`, which may hold no template at all.

        Raises TemplateSyntax for what Jinja2 cannot read and TemplateForbidden for what templates here do not have,
        each with line, column and remedy.  The last few thousand texts are remembered.
        """
        try:
            return cls(text, where, _read(text))
        except Problem as problem:
            raise problem.located(text, where) from None

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """What the template reads, each once: `(("ds",), ("steps", "extract", "output"))`."""
        return self._read.names

    @property
    def references(self) -> tuple[Reference, ...]:
        """What the template reads, in order of the text, each with its place."""
        return self._read.references

    @property
    def is_expression(self) -> bool:
        """Whether the text is one whole expression, whose value keeps its type."""
        return self._read.is_expression

    def render(self, variables: Mapping[str, Any]) -> Any:
        """The text with its templates replaced; for one whole expression its value, as JSON data.

        Raises TemplateUndefined for a name or key without a value and TemplateValue for a value that does not fit.
        """
        try:
            return self._read.render(variables)
        except Problem as problem:
            raise problem.located(self.text, self.where) from None

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Whether a condition (`when`, `if`) is true.

        False are false, null, 0, and an empty text, list or object; the texts `true` and `false` mean what they say.
        Raises what `render` does, and TemplateValue for any other text.
        """
        value = self.render(variables)
        try:
            return truth_of(value)
        except Problem as problem:
            raise problem.located(self.text, self.where) from None


def is_template(text: str) -> bool:
    """Whether the text has anything for `Template` to do."""
    return "{{" in text or "{%" in text or "{#" in text


def render_tree(value: Any, variables: Mapping[str, Any], where: str = "") -> Any:
    """`value` with every text in its lists and objects rendered; keys are left as they are.

    Raises what `Template.parse` and `Template.render` do, naming the field below `where`: `args[1]`.
    """
    return _rendered(value, variables, where, 0)


def templates_in(value: Any, where: str = "") -> Iterator[Template]:
    """Every template in the texts of `value`, read, with its field below `where`.  Raises as `Template.parse`."""
    yield from _templates(value, where, 0)


def _rendered(value: Any, variables: Mapping[str, Any], where: str, depth: int) -> Any:
    if isinstance(value, str):
        return Template.parse(value, where or None).render(variables) if is_template(value) else value
    if not isinstance(value, Mapping | list | tuple):
        return value
    _require_shallow(depth, where)
    if isinstance(value, Mapping):
        return {key: _rendered(item, variables, _below(where, key), depth + 1) for key, item in value.items()}
    return [_rendered(item, variables, f"{where}[{place}]", depth + 1) for place, item in enumerate(value)]


def _templates(value: Any, where: str, depth: int) -> Iterator[Template]:
    if isinstance(value, str):
        if is_template(value):
            yield Template.parse(value, where or None)
    elif isinstance(value, Mapping):
        _require_shallow(depth, where)
        for key, item in value.items():
            yield from _templates(item, _below(where, key), depth + 1)
    elif isinstance(value, list | tuple):
        _require_shallow(depth, where)
        for place, item in enumerate(value):
            yield from _templates(item, f"{where}[{place}]", depth + 1)


def _below(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _require_shallow(depth: int, where: str) -> None:
    if depth > TREE_DEPTH_MAX:
        raise TemplateForbidden(
            f"the value is nested more than {TREE_DEPTH_MAX} deep", remedy="flatten it", what="nesting", where=where
        )


@lru_cache(maxsize=_CACHED_MAX)
def _read(text: str) -> _Read:
    if not is_template(text):
        return _Read(lambda _: text)
    from jinja2.nodes import TemplateData  # noqa: PLC0415 - heavy; only where there are templates

    from ripresa.author.templates.reading import read  # noqa: PLC0415 - heavy
    from ripresa.author.templates.shape import start_of  # noqa: PLC0415 - heavy
    from ripresa.author.templates.walking import Walk, texts  # noqa: PLC0415 - heavy

    plain = with_plain_line_ends(text)
    walk = Walk()
    parts = [(part, walk.value(part)) for part in read(plain)]
    places = [
        (path, *_line_and_column(plain, offset), optional)
        for path, offset, optional in sorted(walk.references, key=itemgetter(1))
    ]
    references = tuple(Reference(path, line, column, optional) for path, line, column, optional in places)
    names = tuple(dict.fromkeys(reference.path for reference in references))
    solid = [
        (part, evaluate) for part, evaluate in parts if not (isinstance(part, TemplateData) and part.data.isspace())
    ]
    if len(solid) == 1 and not isinstance(solid[0][0], TemplateData):
        whole = solid[0][1]
        return _Read(lambda variables: result_of(whole(variables)), names, references, is_expression=True)
    operands = [(evaluate, start_of(part)) for part, evaluate in parts]
    return _Read(lambda variables: concatenated(texts(operands, variables)), names, references)


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
