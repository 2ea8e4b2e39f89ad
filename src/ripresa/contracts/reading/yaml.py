"""YAML: libyaml's events, and of YAML only what a definition needs.

No anchors, aliases, merge keys, tags, directives, or second document: a definition is data, and says each thing once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from ripresa.contracts.reading.build import Builder
from ripresa.contracts.reading.scalars import NumberRefused, plain

try:
    from yaml._yaml import CParser as _Parser
except ImportError:  # built without libyaml: the same events, ten times as slow
    from yaml import SafeLoader as _Parser  # type: ignore[assignment]

_REMEDIES = (
    ("cannot start any token", "indent with spaces, and put a text that begins with @, % or ` in quotes"),
    (
        "mapping values are not allowed",
        "put a text that holds `: ` in quotes, and give the keys of a mapping one indent",
    ),
    ("could not find expected ':'", "write `key: value`, and give the keys of a mapping one indent"),
    ("did not find expected key", "give the keys of a mapping one indent, and close every quote"),
    ("did not find expected '-' indicator", "give the dashes of a list one indent"),
    ("did not find expected ',' or", "close the bracket, and put commas between its items"),
    ("end of stream", "close the quote or bracket that is open"),
    ("document indicator", "close the quote that is open"),
    ("unknown escape character", "write each backslash twice, or put the text in single quotes"),
    ("did not find expected hexdecimal number", "write each backslash twice, or put the text in single quotes"),
    ("invalid Unicode character", "write the character itself, or \\\\UXXXXXXXX"),
    ("block sequence entries are not allowed", "begin the list on a line of its own"),
    (
        "did not find expected <document start>",
        "one file holds one document, and a scalar of it is not followed by more",
    ),
    ("did not find expected comment", "put a space before #"),
    ("did not find expected node content", "put a value there, or quotes around it"),
)
_IN_LIST, _AT_KEY, _AT_VALUE = range(3)


def parse(text: str, builder: Builder) -> None:
    """Hand the text's values to `builder`.  Raises SpecInvalid."""
    _Composer(builder).take(_events(text, builder))


def _events(text: str, builder: Builder) -> Iterator[Any]:
    parser = _Parser(text)
    while True:
        try:
            event = parser.get_event()
        except yaml.MarkedYAMLError as error:
            _broken(error, builder)
        except (yaml.YAMLError, RecursionError) as error:
            builder.stop("yaml_syntax", f"the text cannot be read: {error}", "mend its syntax", 0)
        if event is None:
            return
        yield event


def _broken(error: yaml.MarkedYAMLError, builder: Builder) -> NoReturn:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or "it cannot be read")
    remedy = next((remedy for part, remedy in _REMEDIES if part in problem), "mend the syntax around this place")
    context = f" {error.context}" if error.context and error.problem else ""
    since = f" (begun on line {error.context_mark.line + 1})" if error.context_mark else ""
    builder.stop("yaml_syntax", f"{problem}{context}{since}", remedy, mark.index if mark else 0)


class _Composer:
    """Follows the events; `_open` says for each open collection what comes next in it."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._open: list[int] = []
        self._documents = 0

    def take(self, events: Iterator[Any]) -> None:
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent:
                self._begin(event)
                self._builder.open_map(event.start_mark.index)
                self._open.append(_AT_KEY)
            elif kind is yaml.SequenceStartEvent:
                self._begin(event)
                self._builder.open_list(event.start_mark.index)
                self._open.append(_IN_LIST)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._open.pop()
                self._builder.close()
                self._placed()
            else:
                self._other(event)

    def _scalar(self, event: Any) -> None:
        if event.anchor or event.tag:
            self._refuse_properties(event)
        if self._open and self._open[-1] == _AT_KEY:
            self._key(event)
            self._open[-1] = _AT_VALUE
            return
        self._builder.scalar(self._value(event), event.start_mark.index)
        self._placed()

    def _value(self, event: Any) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            return plain(event.value)
        except NumberRefused as refused:
            self._builder.problem("number_refused", refused.message, refused.remedy, event.start_mark.index)
            return 0

    def _key(self, event: Any) -> None:
        at = event.start_mark.index
        name = event.value
        self._builder.key(name, at)
        if name == "<<" and event.implicit[0]:
            self._builder.problem("yaml_merge_forbidden", "merge keys (<<) are not allowed", "write the keys out", at)
        elif event.implicit[0] and not isinstance(self._value(event), str):
            said = f"the key {name!r} is not a text" if name else "a key is missing before the colon"
            self._builder.problem("key_not_text", said, f'write it in quotes: "{name}"', at)

    def _begin(self, event: Any) -> None:
        if event.anchor or event.tag:
            self._refuse_properties(event)
        if self._open and self._open[-1] == _AT_KEY:
            remedy = "put a text that begins with { or [ in quotes"
            self._builder.stop(
                "key_not_text", "a key is a text, not a mapping or a list", remedy, event.start_mark.index
            )

    def _placed(self) -> None:
        if self._open and self._open[-1] == _AT_VALUE:
            self._open[-1] = _AT_KEY

    def _refuse_properties(self, event: Any) -> None:
        at = event.start_mark.index
        if event.anchor:
            said = f"anchors (&{event.anchor}) are not allowed"
            self._builder.problem("yaml_alias_forbidden", said, "write the value where it is needed", at)
        if event.tag:
            said = f"tags ({event.tag[:60]}) are not allowed"
            self._builder.problem("yaml_tag_forbidden", said, "write a plain value; quotes make it a text", at)

    def _other(self, event: Any) -> None:
        at = event.start_mark.index
        if isinstance(event, yaml.AliasEvent):
            said = f"aliases (*{event.anchor}) are not allowed"
            remedy = "write the value out; put a text that begins with * in quotes"
            self._builder.problem("yaml_alias_forbidden", said, remedy, at)
            if self._open and self._open[-1] == _AT_KEY:
                self._builder.key(f"*{event.anchor}", at)
                self._open[-1] = _AT_VALUE
                return
            self._builder.scalar(None, at)
            self._placed()
        elif isinstance(event, yaml.DocumentStartEvent):
            self._document(event, at)
        elif isinstance(event, yaml.DocumentEndEvent) and event.explicit:
            self._builder.problem("yaml_document_end", "`...` is not needed", "remove it", at)

    def _document(self, event: Any, at: int) -> None:
        self._documents += 1
        if event.version or event.tags:
            self._builder.problem("yaml_directive_forbidden", "directives (%) are not allowed", "remove it", at)
        if self._documents > 1:
            said = "a second document begins here"
            self._builder.stop("several_documents", said, "put it into a file of its own", at)
