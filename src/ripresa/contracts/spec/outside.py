"""What a job has of the world: its image, volumes, environment, and references to secrets – checks and patterns."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from ripresa.contracts.secret_ref import SecretRef as Reference
from ripresa.contracts.spec.base import refuse

# --- images, volumes, secrets --------------------------------------------------------------------

_IMAGE = re.compile(
    r"(?:(?P<host>(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*(?::[0-9]{1,5})?)/)?"
    r"(?P<path>[a-z0-9]+(?:(?:\.|_{1,2}|-{1,9})[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-{1,9})[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?",
    re.ASCII,
)


def check_image(value: str) -> str:
    """An image reference: `[registry/]path[:tag][@digest]`."""
    if len(value) <= 512 and _IMAGE.fullmatch(value):
        return value
    remedy = "write registry.example.com/team/name:1.0 – path in lower case, tag after a colon"
    if "://" in value:
        raise refuse("image_invalid", "an image has no scheme", f"write {value.partition('://')[2][:60]!r}")
    if value.startswith("-"):
        raise refuse("image_invalid", f"{value[:60]!r} is an option, not an image", remedy)
    if value != value.lower() and _IMAGE.fullmatch(value.lower()):
        raise refuse("image_invalid", "the path of an image is in lower case", f"write {value.lower()[:60]}")
    raise refuse("image_invalid", f"{value[:60]!r} is no image reference", remedy)


Image = Annotated[
    str,
    AfterValidator(check_image),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$", "maxLength": 512}),
]

_VOLUME = re.compile(
    r"(?P<source>[A-Za-z0-9_.-]+|\.?/[^:\0]*|\./[^:\0]*):(?P<target>/[^:\0]*)(?::(?P<mode>ro|rw))?", re.ASCII
)
_ENGINE_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock", "crio.sock")


def check_volume(value: str) -> str:
    """A volume: `name:/inside`, `./beside:/inside` or `/outside:/inside`, with `:ro` to read only."""
    found = _VOLUME.fullmatch(value)
    if not found or len(value) > 1000:
        raise refuse("volume_invalid", f"{value[:60]!r} is no volume", "write name:/inside, or ./folder:/inside:ro")
    if ".." in found["source"].split("/") or ".." in found["target"].split("/"):
        raise refuse("volume_invalid", f"{value[:60]!r} climbs out with ..", "write the path itself")
    if found["source"].endswith(_ENGINE_SOCKETS):
        raise refuse("volume_invalid", "a job may not have the container engine's socket", "remove this volume")
    return value


Volume = Annotated[
    str, AfterValidator(check_volume), WithJsonSchema({"type": "string", "pattern": r"^[^:]+:/[^:]*(:(ro|rw))?$"})
]

SECRET_PATTERN = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|secret:[A-Za-z0-9_.@+/-]+(#[A-Za-z0-9_.@ /+-]+)?)$"  # noqa: S105 - a shape


def check_secret(value: str) -> str:
    """A reference to a secret, never the secret itself; the message does not repeat it."""
    try:
        Reference.parse(value)
    except ValueError:
        remedy = "write env:NAME, file:/path or secret:path#key"
        raise refuse("secret_reference_invalid", "this is no reference to a secret", remedy) from None
    return value


SecretRef = Annotated[str, AfterValidator(check_secret), WithJsonSchema({"type": "string", "pattern": SECRET_PATTERN})]

# --- environment ---------------------------------------------------------------------------------

OURS = frozenset((
    "EXECUTION_DATE", "DS", "TS", "DATA_INTERVAL_START", "DATA_INTERVAL_END",
    "RUN_ID", "JOB", "ATTEMPT", "IDEMPOTENCY_KEY", "CORRELATION_ID", "JOB_OUTPUT",
))  # fmt: skip
"""What every job finds in its environment."""
_HARMLESS = frozenset((
    "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING",
))  # fmt: skip
_LOADERS = ("LD_", "DYLD_", "PYTHON")


def check_env_key(value: str) -> str:
    """A variable of the environment that is free for a job to set."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,199}", value, re.ASCII):
        remedy = "use letters, digits and _, not a digit first"
        raise refuse("env_key_invalid", f"{value[:60]!r} is no name of a variable", remedy)
    if value in OURS or value.startswith(("RIPRESA_", "PARAM_")):
        remedy = (
            "choose another name; a PARAM_NAME comes from `params`"
            if value.startswith("PARAM_")
            else "choose another name"
        )
        raise refuse("env_key_reserved", f"{value} is set by ripresa itself", remedy)
    if value in {"PATH", "BASH_ENV"} or (value.startswith(_LOADERS) and value not in _HARMLESS):
        raise refuse("env_key_reserved", f"{value} changes which code runs", "set it in the image")
    return value


EnvKey = Annotated[
    str, AfterValidator(check_env_key), WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]{0,199}$"})
]
