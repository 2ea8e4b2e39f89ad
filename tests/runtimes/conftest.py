from __future__ import annotations

import pytest
from pydantic_core import to_json

from ripresa.contracts.errors import PayloadError
from ripresa.contracts.step_context import StepContext
from ripresa.ports.runtime import Work


def dump(value):
    try:
        return to_json(value, inf_nan_mode="strings").decode()
    except ValueError as error:
        raise PayloadError(str(error)) from error


class Log(list):
    """Lines of output as `(stream, level, text)`."""

    def __call__(self, stream, level, text, at=None, /):
        self.append((stream, level, text))

    def texts(self, stream):
        return [text for name, _, text in self if name == stream]


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def make_work(log):
    def make(function, *args, target=None, dump=dump, step="charge", options=None, **kwargs):
        return Work(
            function=function,
            target=target or f"{function.__module__}:{function.__qualname__}",
            args=args,
            kwargs=kwargs,
            input=to_json([args, kwargs]).decode(),
            dump=dump,
            context=StepContext(
                run_id="order-7",
                run_uuid="0190a3c0-0000-7000-8000-000000000000",
                workflow="fulfil",
                step=step,
                operation=step,
                attempt=1,
                idempotency_key=f"order-7:{step}",
                correlation_id="c-1",
            ),
            log=log,
            options=options or {},
        )

    return make
