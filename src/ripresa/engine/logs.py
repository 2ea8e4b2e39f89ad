"""Logs of steps: what step code says through `logging` is kept with the run."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from ripresa.contracts.step_context import step_context
from ripresa.ports.rows import LogLine

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine


class StepLogHandler(logging.Handler):
    """Keeps records that were made inside a step of its engine, inline or in a thread; others are not ours."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    @classmethod
    def attach(cls, engine: Engine) -> Self:
        """Listen at the root logger."""
        import asyncio  # noqa: PLC0415 - only here

        handler = cls(engine)
        handler._loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
        logging.getLogger().addHandler(handler)
        return handler

    def detach(self) -> None:
        """Stop listening."""
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        context = step_context()
        if context is None or context.run_uuid not in self._engine.held:  # of no step, or of another App's
            return
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - logging's own rule: a bad record must not break the caller
            self.handleError(record)
            return
        line = LogLine(
            context.run_uuid,
            context.operation,
            context.attempt,
            self._engine.now(),
            "log",
            record.levelname.lower(),
            text,
        )
        with suppress(RuntimeError):  # the loop was closed under an App that was not
            self._loop.call_soon_threadsafe(self._engine.watching.log, line)  # type: ignore[attr-defined]
