"""Events to webhooks: signed as Standard Webhooks has it, and sent to nowhere but where the address says.

The name is resolved once; unless the target is `private`, every address that it has must be a global one and the
connection encrypted, and the connection goes to just that address.  So a name that changes its mind, or points into our
own network, gets nothing.  No redirect is followed, no proxy used, and little of the answer read.

See <https://www.standardwebhooks.com> for the signature.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from ripresa.contracts.events import MEDIA_TYPE, CloudEvent
from ripresa.ports.bus import Delivered

_ANSWER_S: Final = 15.0
_ANSWER_BYTES_MAX: Final = 1 << 20
_FAILURES: Final = 5
"""After so many the other side is not well."""
_PREFIX: Final = "whsec_"
_MAY_PASS: Final = (408, 425, 429)
"""Answers of 4xx that ask for another try."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class _Refused(Exception):
    """The other side will not take it, however often it comes."""


class WebhookSink:
    """Sends one event after the other; `secret` is a text, or `whsec_` and base64.  Raises ValueError."""

    def __init__(self, url: str, *, secret: str | None = None, private: bool = False) -> None:
        at = urlsplit(url)
        if not at.hostname or at.username or (at.scheme != "https" and not private):
            raise ValueError(
                f"events.publish: a webhook's address is https://host/path, or private = true: {at.hostname}"
            )
        self._at = at
        self.name = f"{at.scheme}://{at.netloc}{at.path}"
        self._private = private
        self._key = None if secret is None else _key(secret)
        self._line: socket.socket | None = None
        """The connection of the call that is under way."""

    async def send(self, events: Sequence[CloudEvent]) -> Delivered:
        """Each is taken when the other side has answered 2xx.

        After one that may be taken later its run has to wait, and all have if the other side is not well; one that is
        refused holds up none.
        """
        taken: set[str] = set()
        refused: dict[str, str] = {}
        failed: dict[str, str] = {}
        waits: set[str | None] = set()
        for event in events:
            if event.subject is not None and event.subject in waits:
                continue
            try:
                await asyncio.to_thread(self._post, event)
            except _Refused as error:
                refused[event.id] = str(error)
            except (OSError, http.client.HTTPException, ValueError) as error:
                failed[event.id] = str(error) or type(error).__name__
                waits.add(event.subject)
                if isinstance(error, OSError) or len(failed) == _FAILURES:  # so it is for the others
                    break
            else:
                taken.add(event.id)
        why = next(iter(failed.values()), None)
        return Delivered(frozenset(taken), None if why is None else f"{self.name}: {why}", refused, failed)

    async def close(self) -> None:
        """Cut off the call that is under way: its event comes again."""
        line = self._line
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _post(self, event: CloudEvent) -> None:
        at = self._at
        body = event.to_json().encode()
        headers = {"Content-Type": MEDIA_TYPE, "User-Agent": "ripresa", **self._signed(event.id, body)}
        port = at.port or (443 if at.scheme == "https" else 80)
        connection = http.client.HTTPConnection(at.hostname or "", port, timeout=_ANSWER_S)
        with contextlib.closing(connection):
            self._line = connection.sock = self._connected(port)
            target = (at.path or "/") + (f"?{at.query}" if at.query else "")
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            with contextlib.closing(answer):
                answer.read(_ANSWER_BYTES_MAX)
            if 200 <= answer.status < 300:
                return
            if answer.status >= 500 or answer.status in _MAY_PASS:
                raise ValueError(f"it answered {answer.status}")
            raise _Refused(f"it answered {answer.status}")

    def _connected(self, port: int) -> socket.socket:
        """A connection to an address that may be connected to; encrypted for the name, if it is to be."""
        host = self._at.hostname or ""
        address = self._address(host, port)
        line = socket.create_connection((address, port), timeout=_ANSWER_S)
        if self._at.scheme != "https":
            return line
        return ssl.create_default_context().wrap_socket(line, server_hostname=host)

    def _address(self, host: str, port: int) -> str:
        found = [str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not self._private:
            for address in found:
                if not is_global(address):
                    raise ValueError(f"{host} has the address {address}, which is not a public one: say private = true")
        return found[0]

    def _signed(self, id: str, body: bytes) -> dict[str, str]:
        moment = str(int(time.time()))
        headers = {"webhook-id": id, "webhook-timestamp": moment}
        if self._key is not None:
            mark = hmac.new(self._key, b".".join((id.encode(), moment.encode(), body)), hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(mark).decode()}"
        return headers


def is_global(text: str) -> bool:
    """Whether this is an address of the public internet, also behind the ways to write one within another."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_global(str(inner))
    return address.is_global and not address.is_multicast


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("events.publish: secret: what follows whsec_ is not base64") from None
