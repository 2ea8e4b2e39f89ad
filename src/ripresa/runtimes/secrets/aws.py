"""Secrets in AWS Secrets Manager, with the credentials that boto3 finds; needs `ripresa[aws]`."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from ripresa.runtimes.secrets.settings import AwsSettings
from ripresa.runtimes.secrets.unavailable import SecretUnavailable, entry

_NOT_THERE = ("ResourceNotFoundException", "InvalidRequestException", "DecryptionFailure")


def read(settings: AwsSettings, path: str, key: str | None) -> str:
    """The secret's text, or one entry of its JSON object; in a thread.  Raises SecretUnavailable."""
    text = _answer(settings, path).get("SecretString")
    if not isinstance(text, str):
        raise SecretUnavailable("it is binary, and only texts fit an environment")
    if key is None:
        return text
    try:
        entries = json.loads(text)
    except ValueError:
        entries = None
    if not isinstance(entries, dict):
        raise SecretUnavailable("it is no JSON object, so it has no entries; leave #key out")
    value = entry(entries, key)
    return value if isinstance(value, str) else json.dumps(value)


def _answer(settings: AwsSettings, path: str) -> dict[str, Any]:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError as error:
        raise SecretUnavailable(f"the package {error.name} is needed: pip install 'ripresa[aws]'") from None
    try:
        with contextlib.closing(
            boto3.session.Session().client(
                "secretsmanager",
                region_name=settings.region,
                endpoint_url=settings.endpoint,
                config=Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2}),
            )
        ) as client:
            told: dict[str, Any] = client.get_secret_value(SecretId=path)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "an error"))
        if code in _NOT_THERE:
            raise SecretUnavailable(f"Secrets Manager has no such secret, or not any more ({code})") from None
        lasting = code.startswith(("AccessDenied", "UnrecognizedClient", "InvalidSignature", "ExpiredToken"))
        raise SecretUnavailable(f"Secrets Manager answers with {code}", for_now=not lasting) from None
    except BotoCoreError as error:  # its message names an address, a region or a missing profile
        raise SecretUnavailable(f"Secrets Manager cannot be asked: {type(error).__name__}", for_now=True) from None
    return told
