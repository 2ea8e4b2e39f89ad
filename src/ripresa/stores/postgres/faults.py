"""What PostgreSQL and the way to it report, as errors that say whose move it is."""

from __future__ import annotations

import asyncio
import json

import asyncpg
from asyncpg.exceptions import TargetServerAttributeNotMatched

from ripresa.contracts.errors import (
    CommitUnknown,
    EngineFenced,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from ripresa.ports.lease import Lease

_SHOWN_MAX = 200  # characters of the server's own words

CONNECTION_ERRORS = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
)
ERRORS = (asyncpg.PostgresError, *CONNECTION_ERRORS)

RUNS_EXIST = "RP001"
"""Raised by `write_batch`: the detail names the runs that exist already."""

_CONFLICT = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_AGAIN = _CONFLICT | {"55P03"}  # lock timeout
_NO_TEXT = frozenset({"22021", "22P05", "22P02"})  # a NUL, in a text or in JSON; half a surrogate pair in JSON


def state_of(error: BaseException) -> str:
    """SQLSTATE; empty: the error is not the server's."""
    return getattr(error, "sqlstate", None) or ""


def is_conflict(error: BaseException) -> bool:
    """Whether the server took it back for the sake of another transaction at once, not after a long wait."""
    return state_of(error) in _CONFLICT


def is_transient(error: BaseException) -> bool:
    """Whether the server took it back for the sake of another transaction, so that trying again helps."""
    return state_of(error) in _AGAIN


def is_unstorable_text(error: BaseException) -> bool:
    """Whether a text holds a character that the server cannot keep."""
    return isinstance(error, ValueError) or state_of(error) in _NO_TEXT


def broke_connection(error: BaseException) -> bool:
    """Whether nobody knows what became of what was sent."""
    state = state_of(error)
    if isinstance(error, ValueError):
        return False  # the driver's: a parameter that it could not send
    return not state or state.startswith(("08", "57P", "25P03", "25P04"))  # the last: too long in a transaction


def is_read_only(error: BaseException) -> bool:
    """Whether the server takes no writes, so that it may be another's turn."""
    return state_of(error) == "25006"


def is_too_large(error: BaseException) -> bool:
    """Whether a value would be larger than the server can hold in its memory."""
    return state_of(error) == "54000" or (state_of(error) == "XX000" and "invalid memory alloc" in str(error))


def existing_runs(error: asyncpg.PostgresError) -> frozenset[str]:
    """The runs that a batch would have created although they exist."""
    return frozenset(json.loads(error.detail or "[]"))


_TOLD: tuple[tuple[tuple[str, ...], type[StoreError], str], ...] = (
    (tuple(_AGAIN), StoreBusy, "{} is busy ({}): another session holds rows or tables for long; nothing was written"),
    (("57014",), StoreBusy, "{} took too long ({}): see to its load; nothing was written"),
    (("53100",), StoreFull, "no space left on the server of {} ({}): free some; nothing was written"),
    (
        ("25006",),
        StoreUnavailable,
        "{} is read-only ({}): name the primary server, and see to default_transaction_read_only",
    ),
    (
        ("53300",),
        StoreUnavailable,
        "{} has no connection left for us ({}): raise the limit, of role, database or server; nothing was written",
    ),
    (("28000", "28P01"), StoreUnavailable, "{} refuses us ({}): see to user, password and pg_hba.conf"),
    (("3D000",), StoreUnavailable, "{} does not exist ({}): create the database"),
    (("42501",), StoreError, "{} refuses us this ({}): grant this user the right, or name another"),
    (("XX001", "XX002"), StoreCorrupt, "{} is damaged ({}): restore it from a backup"),
    (("23505",), StoreError, "{} already holds a row of this batch ({}); nothing was written"),
    (("", "08", "25P03", "25P04", "53", "57", "58"), StoreUnavailable, "{} is out of reach ({}); nothing was written"),
)
"""By SQLSTATE, or how it begins: the first that fits."""


def store_error(error: BaseException, where: str, *, committing: bool = False) -> StoreError:
    """The error to raise in its place; `committing`: it may have been committed all the same."""
    what = (str(error) or type(error).__name__).splitlines()[0][:_SHOWN_MAX]
    if isinstance(error, asyncpg.ClientConfigurationError):
        return StoreUnavailable(f"{where} cannot be connected to as its address says ({what}): change the address")
    if isinstance(error, TargetServerAttributeNotMatched):
        return StoreUnavailable(f"no server of {where} can be written ({what}): name the primary, or promote a standby")
    if committing and broke_connection(error):
        return CommitUnknown(f"the connection to {where} broke ({what}): whether it was written is not known")
    if isinstance(error, ValueError):
        return StoreError(f"{where} cannot keep this ({what})")
    state = state_of(error)
    for states, kind, told in _TOLD:
        if state in states or any(state.startswith(start) for start in states if start):
            return kind(told.format(where, what))
    return StoreError(f"{where}: {what} ({state})")


def fenced(lease: Lease) -> EngineFenced:
    """The error for a lease that is broken."""
    return EngineFenced(f"engine {lease.engine} lost its lease: another engine broke it, or it has let go")
