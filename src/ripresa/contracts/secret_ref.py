"""Secret references: where a secret lies, never what it is.

`env:NAME` is a variable of the process that starts the job, `file:/path` a file there, `secret:path#key` an
entry of the secret store that `ripresa.toml` names (Kubernetes, Vault, AWS Secrets Manager).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9_.@+-]+(?:/[A-Za-z0-9_.@+-]+)*", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_.@ /+-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A reference; `key` is set for `secret:` references that name an entry."""

    kind: Literal["env", "file", "secret"]
    path: str
    key: str | None = None

    @classmethod
    def parse(cls, text: str, *, where: str = "secrets") -> Self:
        """Read a reference.  Raises ValueError naming `where` and the forms there are, never the text itself.

        What stands there may be the secret: people put it there by mistake.
        """
        kind, colon, rest = str(text).partition(":")
        if colon and "\0" not in rest:
            if kind == "env" and _NAME.fullmatch(rest):
                return cls("env", rest)
            if kind == "file" and rest.startswith("/"):
                return cls("file", rest)
            if kind == "secret":
                path, hash_, key = rest.partition("#")
                dots = any(part in (".", "..") for part in path.split("/"))
                if _PATH.fullmatch(path) and not dots and (not hash_ or _KEY.fullmatch(key)):
                    return cls("secret", path, key or None)
        raise ValueError(f"{where}: this is no reference to a secret (write env:NAME, file:/path or secret:path#key)")

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}" + (f"#{self.key}" if self.key else "")
