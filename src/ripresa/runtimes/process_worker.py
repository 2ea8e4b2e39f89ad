"""The worker's own end: a process that runs one attempt after another until its engine hangs up.

The step runs in the main thread, so that a signal reaches it: SIGTERM raises `SystemExit` in the step,
whose `finally` blocks may tidy up until the engine's grace is over.  The line to the engine is a
socket of its own; stdout and stderr belong to the step.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import functools
import importlib
import importlib.util
import inspect
import io
import json
import os
import re
import signal
import socket
import sys
import zlib
from collections.abc import Awaitable
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any, NoReturn

from ripresa.author.code import Step, as_step
from ripresa.contracts.errors import Terminal
from ripresa.contracts.failure import Failure
from ripresa.contracts.status import FailureClass
from ripresa.contracts.step_context import STEP_CONTEXT, StepContext
from ripresa.runtimes import StepExited
from ripresa.runtimes.process_wire import Message, Unpacker, pack

SCRIPT_PREFIX = "_ripresa_script_"
_SCRIPT_NAME = re.compile(SCRIPT_PREFIX + r"[0-9a-f]{8}_\w*\.")
PR_SET_PDEATHSIG = 1


class _Stopped(SystemExit):
    """The engine asked this process to end."""


def main(descriptor: int, engine: int) -> None:
    """Serve the engine of process id `engine` over the socket `descriptor`."""
    worker = os.getpid()
    signal.signal(signal.SIGTERM, _stop)
    _die_with(engine)
    _lines_at_once()
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - its own signature
    with socket.socket(fileno=descriptor) as line:
        incoming = Unpacker()
        while data := line.recv(1 << 16):
            for message in incoming.feed(data):
                if "path" in message:
                    sys.path[:] = message["path"]
                    continue
                answer = _answer(message)
                if os.getpid() != worker:  # a fork that the step let slip: its answer is not the step's
                    os._exit(0)
                line.sendall(pack(answer))


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Stopped(128 + signal.SIGTERM)


def _die_with(engine: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != engine:  # it was gone before we asked
        os._exit(1)


def _lines_at_once() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")


def _answer(message: Message) -> Message:
    signal.signal(signal.SIGTERM, _stop)  # an earlier step may have set its own
    answer: Message
    try:
        answer = {"output": contextvars.copy_context().run(_attempt, message)}
    except _Stopped:
        raise
    except (SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
        answer = {"failure": _failure(StepExited(error))}
    except BaseException as error:  # noqa: BLE001 - whatever it is, the engine decides what to make of it
        answer = {"failure": _failure(error)}
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError, AttributeError):  # the step may have closed or replaced it
            stream.flush()  # the engine reads what is there when it has the answer
    return answer


def _attempt(message: Message) -> str:
    STEP_CONTEXT.set(StepContext.from_json(message["context"]))
    step = _resolve(message["target"], message["file"])
    args, kwargs = _arguments(step, message["input"])
    value = step.function(*args, **kwargs)
    if inspect.isawaitable(value):
        value = asyncio.run(_finish(value))
    return step.dump(value)


def _arguments(step: Step[..., Any], text: str) -> tuple[Any, Any]:
    """A step writes its arguments by name; those of a bare function, as the port has it, are a list of two."""
    if text.startswith("["):
        args, kwargs = json.loads(text)
        return args, kwargs
    return step.decode_input(text)


async def _finish(value: Awaitable[Any]) -> Any:
    return await value


# --- from a target to the function --------------------------------------------------------


@functools.cache
def _resolve(target: str, file: str | None) -> Step[..., Any]:
    """The step at `target`, or the plain function there as a step, with its types to read and write by."""
    place, _, qualname = target.rpartition(":")
    found: Any = _module(place, file)
    for name in qualname.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise Terminal(
                f"cannot find {target!r} in the worker process: a step that runs there is defined at the "
                "top of a module, not inside a function"
            ) from None
    return found if hasattr(found, "decode_input") else as_step(found)


def _module(place: str, file: str | None) -> ModuleType:
    """By its name; a module that has none here, or not the one that the engine knows, by its file."""
    if place.endswith(".py"):
        return _script(Path(place))
    if place == "__main__":
        if file is None:
            raise Terminal("a step that was typed in at a prompt cannot run in a worker process: keep it in a file")
        return _script(Path(file))
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if file is None or (missing != place and not place.startswith(f"{missing}.")):
            raise
        return _script(Path(file))
    return module if file is None or _is_at(module, file) else _script(Path(file))


def _is_at(module: ModuleType, file: str) -> bool:
    known = getattr(module, "__file__", None)
    return known is None or Path(known).resolve() == Path(file).resolve()


def _script(file: Path) -> ModuleType:
    """The module of a file, loaded once, under a name that keeps its `__main__` block still."""
    path = file.resolve()
    name = f"{SCRIPT_PREFIX}{zlib.crc32(os.fsencode(path)):08x}_" + re.sub(r"\W", "_", path.stem)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Terminal(f"cannot load {str(file)!r} as a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# --- from an exception to a failure -------------------------------------------------------


def _failure(error: BaseException) -> dict[str, Any]:
    known = getattr(error, "failure_class", None)
    failure_class = known if isinstance(known, FailureClass) else FailureClass.RETRYABLE
    error.__traceback__ = _of_the_step(error.__traceback__)
    try:
        failure = Failure.of(error, failure_class).to_json()
    except Exception as broken:  # noqa: BLE001 - an exception whose text cannot be had is still a failure
        failure = Failure(type=type(error).__qualname__, message=f"<{broken!r}>", failure_class=failure_class).to_json()
    return {key: _clean(value) for key, value in failure.items()}


def _of_the_step(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without our own frames at its head; all of it if there is nothing else."""
    step = trace
    while step is not None and step.tb_frame.f_code.co_filename == __file__:
        step = step.tb_next
    return step or trace


def _clean(value: Any) -> Any:
    """Text that can be written anywhere: without half surrogates and without our name for a script."""
    if not isinstance(value, str):
        return value
    return _SCRIPT_NAME.sub("", value.encode("utf-8", "backslashreplace").decode())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
