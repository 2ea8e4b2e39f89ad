"""Fetching JSON of a secret store over HTTP: no redirects, no proxies, a limited answer in limited time.

A redirect would carry the token to whoever it names.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from ripresa.runtimes.secrets.unavailable import SecretUnavailable

TIMEOUT_S: Final = 15.0
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(url: str, headers: Mapping[str, str], *, ca_file: str | None) -> dict[str, Any]:
    """The JSON object at `url`.  Raises SecretUnavailable; never tells what was sent or answered."""
    if not url.startswith(("https://", "http://")):
        raise SecretUnavailable("the secret store's address does not begin with https://")
    try:
        context = ssl.create_default_context(cafile=ca_file)
        handlers = (
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            _NoRedirects(),
        )
        asked = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - the scheme was looked at
        with urllib.request.build_opener(*handlers).open(asked, timeout=TIMEOUT_S) as answer:
            told = json.loads(answer.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(error.code) from None
    except (OSError, ValueError) as error:  # a URLError is an OSError
        why = getattr(error, "reason", None) or type(error).__name__
        raise SecretUnavailable(f"the secret store cannot be asked: {why}", for_now=True) from None
    if not isinstance(told, dict):
        raise SecretUnavailable("the secret store's answer is no JSON object", for_now=True)
    return told


def _refused(status: int) -> SecretUnavailable:
    if status == 404:
        return SecretUnavailable("the secret store has no such secret")
    if status in (401, 403):
        return SecretUnavailable(f"the secret store refuses it ({status}): may the engine's account read it?")
    if 300 <= status < 400:
        return SecretUnavailable(f"the secret store answers with a redirect ({status}): configure its own address")
    return SecretUnavailable(f"the secret store answers with HTTP {status}", for_now=status >= 500 or status == 429)
