"""The text of a definition: bytes that are UTF-8, of a size that can be parsed, without characters that hide others."""

from __future__ import annotations

import re

from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.problems import Problem

BYTES_MAX = 16 * 1024 * 1024
"""A definition of 10,000 jobs has 5 MB."""

_BOMS = {
    b"\xef\xbb\xbf": "UTF-8 with a byte order mark",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x00\x00\xfe\xff": "UTF-32",
}
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters, NEL among them
    "\u2028\u2029"  # line breaks to YAML 1.1, text to YAML 1.2
    "\u202a-\u202e\u2066-\u2069"  # they show text in another order than it is read
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)


def decoded(data: bytes | str, file: str) -> str:
    """`data` as text.  Raises SpecInvalid if it is too large, no UTF-8, or has characters that nobody sees."""
    size = len(data)
    if size > BYTES_MAX:
        raise _invalid(
            "too_large",
            f"the file has {size:,} bytes, and the limit is {BYTES_MAX:,}",
            "split the workflow, and start its parts with `workflow:` entries",
            file,
        )
    text = _utf8(data, file) if isinstance(data, bytes) else data
    found = _FORBIDDEN.search(text)
    if found:
        raise _hidden(text, found.start(), file)
    if not text.strip():
        raise _invalid("empty", "the file is empty", "begin with `workflow:` or `job:`", file)
    return text


def _utf8(data: bytes, file: str) -> str:
    for bom, encoding in _BOMS.items():
        if data.startswith(bom):
            raise _invalid(
                "not_utf8", f"the file is {encoding}", "save it as UTF-8 without a byte order mark", file, at=(1, 1)
            )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8")) + 1
        byte = data[error.start]
        raise _invalid(
            "not_utf8", f"byte 0x{byte:02x} is not UTF-8", "save the file as UTF-8", file, at=(line, column)
        ) from None


def _hidden(text: str, at: int, file: str) -> SpecInvalid:
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    code = ord(text[at])
    spelled = f'"\\u{code:04x}"' if code else "nothing at all"
    return _invalid(
        "character_forbidden",
        f"the character U+{code:04X} may not stand in a definition as it is",
        f"remove it, or write {spelled} in double quotes" if code else "remove it",
        file,
        at=(line, column),
    )


def _invalid(
    code: str, message: str, remedy: str, file: str, *, at: tuple[int, int] | tuple[None, None] = (None, None)
) -> SpecInvalid:
    line, column = at
    return SpecInvalid([Problem(code=code, message=message, remedy=remedy, file=file, line=line, column=column)])
