"""Names: which keys promise a credential, and which values keep the promise."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LAST = frozenset((
    "password", "passwd", "pwd", "passphrase", "passcode", "pass", "pw", "secret", "token", "credential", "credentials",
    "apikey", "authtoken", "accesstoken", "accesskey", "secretkey", "privatekey", "bearer", "jwt",
))  # fmt: skip
_KEY_OF = frozenset((
    "api", "access", "secret", "private", "signing", "encryption", "auth", "master", "account", "storage", "shared",
    "service", "ssh", "subscription", "app", "hmac", "webhook", "deploy", "decryption", "license", "rsa", "gpg", "pgp",
))  # fmt: skip
_OTHER_KEYS = frozenset((
    "cache", "partition", "sort", "primary", "foreign", "object", "public", "row", "group", "join", "dedup", "unique",
    "idempotency", "routing", "hash", "range", "business", "natural", "surrogate", "map", "s3",
))  # fmt: skip
_OTHER_TOKENS = frozenset((
    "max", "min", "num", "stop", "start", "end", "next", "page", "pad", "eos", "bos", "unk", "special", "prompt",
    "mask", "total", "continuation", "sync", "delta", "per", "sep", "cls", "placeholder",
))  # fmt: skip
_OTHER_SECRETS = frozenset(("pull", "kubernetes", "k"))
_ENDINGS = ("password", "passwd", "passphrase", "apikey", "secretkey", "accesskey", "authtoken", "accesstoken")
_REFERENCES = (
    "secret:", "secret://", "env:", "file:", "vault:", "vault://", "aws-sm://", "arn:aws:", "projects/", "$", "{{", "<",
    "/", "./", "***", "•••", "op://", "ref+",
)  # fmt: skip
_WORDS = frozenset(("", "none", "null", "true", "false", "required", "optional", "disabled", "enabled", "default"))
_URL = re.compile(r"https?://[^\s@]*", re.IGNORECASE)
_DENSE = re.compile(r"[A-Za-z0-9+/=_.~-]{20,200}")


@lru_cache(maxsize=4096)
def promises_credential(name: str) -> bool:
    """Whether a key of this name holds a credential: `DB_PASSWORD`, `clientSecret`, `api_key`; not `max_tokens`."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    while parts and parts[-1].isdigit():
        parts.pop()
    if not parts:
        return False
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    if last == "key":
        return before in _KEY_OF
    if last == "token":
        return before not in _OTHER_TOKENS
    if last == "secret":
        return before not in _OTHER_SECRETS
    if last == "pass":
        return len(parts) > 1 and before in {
            "db",
            "user",
            "mysql",
            "postgres",
            "pg",
            "smtp",
            "ftp",
            "admin",
            "redis",
            "api",
        }
    return last in _LAST or last.endswith(_ENDINGS)


@lru_cache(maxsize=4096)
def hints_at_credential(name: str) -> bool:
    """Whether a key of this name may hold one, so that a random-looking value is taken for one: `STRIPE_KEY`."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not parts or (len(parts) > 1 and parts[-1] == "key" and parts[-2] in _OTHER_KEYS):
        return False
    return parts[-1] in {"key", "auth", "authorization", "signature", "cookie", "session", "pat", "sid"}


def is_literal(value: object) -> bool:
    """Whether a value is a credential itself, rather than a reference, a path, a template, or a word for none."""
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int | float):
        return True
    if not isinstance(value, str):
        return False
    text = value.strip()
    if text.lower() in _WORDS or text.startswith(_REFERENCES) or "{{" in text:
        return False
    return not _URL.fullmatch(text)


def is_random(value: object) -> bool:
    """Whether a text looks drawn by lot: long, dense, of several kinds of characters.

    Plain hexadecimal does not count: digests, commits and UUIDs look like that too.
    """
    if not isinstance(value, str) or not _DENSE.fullmatch(value):
        return False
    kinds = (any(map(str.isupper, value)), any(map(str.islower, value)), any(map(str.isdigit, value)))
    return all(kinds) and entropy(value) >= 3.8 and "." not in value


def entropy(text: str) -> float:
    """Shannon's entropy of the text's characters, in bits."""
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values()) if total else 0.0
