"""Secrets: values for a job's references, read when it starts and kept nowhere.

They go into the environment of the one job, and into its masker; never into the store, a log, a command line, a label
or an error.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from ripresa.contracts.secret_ref import SecretRef
from ripresa.contracts.status import FailureClass
from ripresa.runtimes.job_outcome import failed
from ripresa.runtimes.secrets.settings import SecretSettings
from ripresa.runtimes.secrets.unavailable import SecretUnavailable

VALUE_BYTES_MAX = 131_071
"""The longest text that Linux takes in an environment."""


async def resolved(references: Mapping[str, str], settings: SecretSettings) -> dict[str, str]:
    """Values by variable.  Raises JobFailed `secret_unavailable` that names variable and reference."""
    return {name: await _value(name, SecretRef.parse(text, where=name), settings) for name, text in references.items()}


async def _value(name: str, reference: SecretRef, settings: SecretSettings) -> str:
    try:
        return _fit(await asyncio.to_thread(_read, reference, settings))
    except SecretUnavailable as error:
        lasting = FailureClass.RETRYABLE if error.for_now else FailureClass.TERMINAL
        raise failed(
            f"secret {name} ({reference}): {error}", code="secret_unavailable", failure_class=lasting
        ) from None


def _fit(value: str) -> str:
    if len(value.encode()) > VALUE_BYTES_MAX:
        raise SecretUnavailable(f"it is longer than an environment takes ({VALUE_BYTES_MAX:,} bytes)")
    if "\0" in value:
        raise SecretUnavailable("it has NUL characters, which an environment cannot hold")
    return value


def _read(reference: SecretRef, settings: SecretSettings) -> str:
    """In a thread: files and secret stores take their time."""
    if reference.kind == "env":
        return _variable(reference.path)
    if reference.kind == "file":
        return _file(Path(reference.path))
    if settings.store == "vault":
        from ripresa.runtimes.secrets import vault

        return vault.read(settings.vault, reference.path, reference.key)
    if settings.store == "kubernetes":
        from ripresa.runtimes.secrets import kubernetes

        return kubernetes.read(settings.kubernetes, reference.path, reference.key)
    if settings.store == "aws":
        from ripresa.runtimes.secrets import aws

        return aws.read(settings.aws, reference.path, reference.key)
    raise SecretUnavailable("no secret store is configured; name one under [secrets] in ripresa.toml")


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SecretUnavailable(f"the engine's environment has no variable {name}")
    return value


def _file(path: Path) -> str:
    """The file's text without the newline at its end."""
    try:
        with path.open("rb") as file:
            data = file.read(VALUE_BYTES_MAX + 2)
    except OSError as error:
        raise SecretUnavailable(f"cannot read the file: {error.strerror}") from None
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretUnavailable("the file is not UTF-8 text") from None
