"""Times for people: spans as `3.2 s`, moments in the terminal's own zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def span(micros: int) -> str:
    """A span in the two units that matter: `120 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `29 d 23 h`."""
    seconds = max(0, micros) / 1e6
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, lesser, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // lesser
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def ticking(micros: int) -> str:
    """A span that is shown while it grows or shrinks: never in milliseconds, which flicker."""
    return f"{max(0, micros) / 1e6:.1f} s" if micros < 1_000_000 else span(micros)


def local(micros: int) -> datetime:
    """The moment in the terminal's zone."""
    return (_EPOCH + timedelta(microseconds=micros)).astimezone()


def clock_time(micros: int) -> str:
    """Hours, minutes, seconds."""
    return local(micros).strftime("%H:%M:%S")


def moment(micros: int | None) -> str:
    """Date and time, to the second; nothing for a time that has not come."""
    return "" if micros is None else local(micros).strftime("%Y-%m-%d %H:%M:%S")


def until(micros: int) -> str:
    """The time of a moment to come; with its date if that is not today."""
    then, today = local(micros), datetime.now().astimezone().date()
    return then.strftime("%H:%M:%S" if then.date() == today else "%Y-%m-%d %H:%M")
