"""Output: what a job left in `$JOB_OUTPUT`, from its termination message or from the courier's log.  Pure decisions.

Kubernetes keeps the last 4,096 bytes of a termination message.  One of that size may be cut off, and is refused rather
than read; the end of a JSON object is never one itself, so no wrong output could come of it in any case.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
from typing import Final

from ripresa.contracts.job_order import JobOrder
from ripresa.contracts.status import FailureClass
from ripresa.runtimes import JobFailed
from ripresa.runtimes.job_outcome import OUTPUT_FILE_BYTES_MAX, failed

MESSAGE_BYTES_MAX: Final = 4096
PACKED_BYTES_MAX: Final = 2 * OUTPUT_FILE_BYTES_MAX
"""More than an output is packed, even one that cannot be packed."""


def of_message(order: JobOrder, message: str) -> bytes | None:
    """The output in a termination message; None: there is none.  Raises JobFailed if it may be cut off."""
    data = message.encode("utf-8", "surrogatepass")
    if len(data) >= MESSAGE_BYTES_MAX:
        raise _cannot(
            order,
            f"it has {MESSAGE_BYTES_MAX:,} bytes or more, which is all that Kubernetes hands on by itself;"
            " for more, set runtimes.kubernetes.output_image",
        )
    return data or None


def of_log(order: JobOrder, log: bytes) -> bytes | None:
    """The output in the courier's log; None: there is none.  Raises JobFailed if some of it is missing."""
    body, _, last = log.rstrip(b"\n").rpartition(b"\n")
    if last == b"none" and not body:
        return None
    try:
        word, digest, _ = last.split(None, 2)
        data = _unpacked(base64.b64decode(body, validate=False))
    except (ValueError, binascii.Error, OSError, EOFError):
        raise _lost_some(order) from None
    if word != b"sha256" or hashlib.sha256(data).hexdigest().encode() != digest:
        raise _lost_some(order)
    return data


def _unpacked(packed: bytes) -> bytes:
    """Up to one byte more than an output may have: what is packed small may be large."""
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        return file.read(OUTPUT_FILE_BYTES_MAX + 1)


def _lost_some(order: JobOrder) -> JobFailed:
    return _cannot(
        order,
        "some of it is missing from the log that carries it; packed it has to fit the size at which the cluster's"
        " nodes rotate logs (containerLogMaxSize, 10 MiB unless set)",
    )


def _cannot(order: JobOrder, why: str) -> JobFailed:
    message = f"job {order.name!r}: the output in $JOB_OUTPUT cannot be used: {why}"
    return failed(message, code="output_invalid", failure_class=FailureClass.TERMINAL)
