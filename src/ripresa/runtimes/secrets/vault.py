"""Secrets in HashiCorp Vault, key-value engine of version 2."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from ripresa.runtimes.secrets.fetching import fetch
from ripresa.runtimes.secrets.settings import VaultSettings
from ripresa.runtimes.secrets.unavailable import SecretUnavailable, entry


def read(settings: VaultSettings, path: str, key: str | None) -> str:
    """The value of an entry; in a thread.  Raises SecretUnavailable."""
    address = settings.address or os.environ.get("VAULT_ADDR")
    if not address:
        raise SecretUnavailable("Vault's address is not known; set secrets.vault.address or VAULT_ADDR")
    headers = {"X-Vault-Token": _token(settings), "X-Vault-Request": "true"}
    if settings.namespace:
        headers["X-Vault-Namespace"] = settings.namespace
    url = f"{address.rstrip('/')}/v1/{quote(settings.mount.strip('/'))}/data/{quote(path)}"
    told = fetch(url, headers, ca_file=settings.ca_file).get("data") or {}
    entries = told.get("data")
    if not isinstance(entries, dict):
        raise SecretUnavailable("this version of it was deleted")
    value = entry(entries, key)
    if not isinstance(value, str):
        raise SecretUnavailable("the entry is not a text")
    return value


def _token(settings: VaultSettings) -> str:
    if settings.token_file:
        try:
            return Path(settings.token_file).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise SecretUnavailable(f"Vault's token cannot be read from {settings.token_file}") from error
    if token := os.environ.get("VAULT_TOKEN"):
        return token
    raise SecretUnavailable("there is no token for Vault; set secrets.vault.token_file or VAULT_TOKEN")
