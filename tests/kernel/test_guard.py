"""The guard: what workflow code may not do is found before it runs, or stopped when it does."""

from __future__ import annotations

import functools
import gc
import itertools
import linecache
import logging
import os
import sys
import textwrap
import threading
import traceback
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from ripresa.contracts.errors import ForbiddenInWorkflow
from ripresa.kernel.guard import enter, guarded, install, leave, scan

numbers = itertools.count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module of its source; it has a file beside the others of the test."""

    def make(source, name=None):
        name = name or f"guarded_{next(numbers)}"
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))
        made = ModuleType(name)
        made.__file__ = str(file)
        made.__package__ = name.rpartition(".")[0]
        monkeypatch.setitem(sys.modules, name, made)
        exec(compile(file.read_text(), str(file), "exec"), vars(made))
        return made

    return make


# --- the scan: what it finds ----------------------------------------------------------------


FOUND_ANYWHERE = [
    ("import time", "time.time()", "ripresa.now()"),
    ("import time", "time.time_ns()", "ripresa.now()"),
    ("import time", "time.monotonic()", "ripresa.now()"),
    ("import time", "time.perf_counter()", "ripresa.now()"),
    ("import time", "time.process_time()", "ripresa.now()"),
    ("import time", "time.localtime()", "ripresa.now()"),
    ("import time", "time.gmtime()", "ripresa.now()"),
    ("import time", "time.ctime()", "ripresa.now()"),
    ("import time", "time.strftime('%Y')", "ripresa.now()"),
    ("import time", "time.sleep(1)", "ripresa.sleep()"),
    ("from time import time", "time()", "ripresa.now()"),
    ("from time import time as clock", "clock()", "ripresa.now()"),
    ("import time as t", "t.time()", "ripresa.now()"),
    ("import datetime", "datetime.datetime.now()", "ripresa.now()"),
    ("from datetime import datetime", "datetime.now()", "ripresa.now()"),
    ("from datetime import datetime, UTC", "datetime.now(UTC)", "ripresa.now()"),
    ("from datetime import datetime", "datetime.utcnow()", "ripresa.now()"),
    ("from datetime import datetime", "datetime.today()", "ripresa.now()"),
    ("from datetime import date", "date.today()", "ripresa.now()"),
    ("import random", "random.random()", "ripresa.random()"),
    ("import random", "random.choice([1])", "ripresa.random()"),
    ("import random", "random.shuffle([1])", "ripresa.random()"),
    ("from random import randint", "randint(1, 6)", "ripresa.random()"),
    ("import random", "random.SystemRandom()", "ripresa.random()"),
    ("import random", "random.Random()", "ripresa.random()"),
    ("import secrets", "secrets.token_hex(8)", "ripresa.random()"),
    ("import uuid", "uuid.uuid4()", "ripresa.uuid4()"),
    ("import uuid", "uuid.uuid1()", "ripresa.uuid4()"),
    ("import os", "os.urandom(8)", "ripresa.random()"),
    ("", "open('x')", "@step"),
    ("", "input()", "@step"),
    ("import os", "os.system('true')", "@step"),
    ("import os", "os.popen('true')", "@step"),
    ("import os", "os.listdir()", "@step"),
    ("import os", "os.path.exists('x')", "@step"),
    ("from os import path", "path.getsize('x')", "@step"),
    ("import shutil", "shutil.rmtree('x')", "@step"),
    ("import tempfile", "tempfile.mkdtemp()", "@step"),
    ("import tempfile", "tempfile.TemporaryDirectory()", "@step"),
    ("import subprocess", "subprocess.run(['true'])", "@step"),
    ("import subprocess", "subprocess.Popen(['true'])", "@step"),
    ("import socket", "socket.socket()", "@step"),
    ("import socket", "socket.create_connection(('h', 1))", "@step"),
    ("import threading", "threading.Thread(target=print)", "@step"),
    ("import threading", "threading.Timer(1, print)", "@step"),
    ("import concurrent.futures", "concurrent.futures.ThreadPoolExecutor()", "@step"),
    ("from concurrent.futures import ProcessPoolExecutor", "ProcessPoolExecutor()", "@step"),
    ("import multiprocessing", "multiprocessing.Process()", "@step"),
    ("import asyncio", "await asyncio.to_thread(print)", "@step"),
    ("import asyncio", "await asyncio.open_connection('h', 1)", "@step"),
    ("import asyncio", "await asyncio.create_subprocess_exec('true')", "@step"),
    ("import asyncio", "asyncio.run(None)", "await what you need"),
    ("import urllib.request", "urllib.request.urlopen('http://h')", "@step"),
    ("import sqlite3", "sqlite3.connect('x')", "@step"),
    ("from pathlib import Path", "list(map(Path.read_text, []))", "@step"),
    ("import time", "sorted([1], key=lambda _: time.time())", "ripresa.now()"),
    ("import time", "[time.time() for _ in range(3)]", "ripresa.now()"),
    ("import time", "f'{time.time()}'", "ripresa.now()"),
    ("import time", "list(map(time.sleep, [1]))", "ripresa.sleep()"),
    ("import time", "dict(at=time.time())", "ripresa.now()"),
    ("import time", "print(*[1], **{'end': time.ctime()})", "ripresa.now()"),
]
FOUND_AT_THE_TOP = [
    ("from datetime import datetime; now = datetime.now", "now()", "ripresa.now()"),
    ("from datetime import datetime\nclass Moment(datetime): pass", "Moment.now()", "ripresa.now()"),
    ("import random; dice = random.Random(7)", "dice.random()", "ripresa.random()"),
    ("from pathlib import Path; HERE = Path('.')", "HERE.read_text()", "@step"),
]


@pytest.mark.parametrize(
    ("imports", "expression", "remedy", "local"),
    [(*case, local) for case in FOUND_ANYWHERE for local in (False, True)]
    + [(*case, False) for case in FOUND_AT_THE_TOP],
)
def test_what_a_replay_cannot_repeat_is_found(module, imports, expression, remedy, local):
    at_top, inside = ("", imports) if local else (imports, "")
    made = module(at_top + "\nasync def flow():\n" + textwrap.indent(inside + "\n" + expression, "    "))
    (finding,) = scan(made.flow)
    assert remedy in finding.remedy
    assert finding.file == made.__file__
    line = Path(finding.file).read_text().splitlines()[finding.line - 1]
    assert finding.expression in line
    assert f"{finding.file}:{finding.line}: {finding.expression} in " in str(finding)


@pytest.mark.parametrize(
    "statements",
    [
        "import requests; requests.get('http://h')",
        "from requests import post; post('http://h')",
        "import httpx; httpx.AsyncClient()",
        "import psycopg.rows as r; import psycopg; psycopg.connect()",
        "import urllib.request as web; web.urlopen('http://h')",
        "import urllib.request; urllib.request.urlopen('http://h')",
        "import concurrent.futures.thread as pool; pool.ThreadPoolExecutor()",
        "import os.path as p; p.exists('x')",
        "t = time.time; return t()",
        "import time as t, os as o; o.urandom(3)",
        "from os import getcwd, urandom as noise, sep; noise(3)",
        "def inner():\n        time.time()\n    inner()",
        "import time as t\n    def inner():\n        return lambda: t.time()\n    inner()",
        "class Inner:\n        at = time.time()",
        "x = time.time() if flow else 0",
        "with open('x') as file: pass",
        "try: pass\n    finally: time.sleep(1)",
    ],
)
def test_it_is_found_however_it_is_reached(module, statements):
    assert len(scan(module(f"import time\ndef flow():\n    {statements}\n").flow)) == 1


def test_nothing_is_loaded_to_be_looked_at(module):
    code = "def flow():\n    import ftplib, requests\n    requests.get(ftplib.FTP('h'))\n"
    before = set(sys.modules)
    assert [finding.expression for finding in scan(module(code).flow)] == ["requests.get", "ftplib.FTP"]
    assert not {"requests", "ftplib"} & (set(sys.modules) - before)


def test_plain_helpers_of_the_module_are_followed_to_any_depth(module):
    made = module("""
        import functools, time
        def flow(): return first(3)
        def first(n): return second(n) if n else first(n)
        def second(n): return [Third.make(), Fourth(n).at, fifth(), *map(sixth, [1])]
        class Third:
            @staticmethod
            def make(): return time.time()
        class Fourth:
            def __init__(self, n): self.at = time.monotonic()
        @functools.lru_cache
        def fifth(): return time.perf_counter()
        def sixth(x): time.sleep(x)
        def unused(): return time.ctime()
    """)
    found = {finding.expression: finding.function for finding in scan(made.flow)}
    assert found == {
        "time.time": "Third.make",
        "time.monotonic": "Fourth.__init__",
        "time.perf_counter": "fifth",
        "time.sleep": "sixth",
    }


def test_helpers_of_the_project_are_followed_and_those_of_libraries_are_not(module, tmp_path):
    shop = module("", "shop")
    shop.clocks = module("import time\ndef now(): return time.time()", "shop.clocks")
    beside = module("import uuid\ndef name(): return uuid.uuid4()", "beside")
    elsewhere = module("import time\ndef now(): return time.time()", "elsewhere.clocks")
    made = module(
        """
        import textwrap, logging, json, uuid
        import shop.clocks
        from beside import name
        from elsewhere.clocks import now
        def flow():
            from .clocks import now as local
            logging.getLogger("x").info("hello %s", json.dumps(1))
            return textwrap.dedent("x"), shop.clocks.now(), now(), local()
        """,
        "shop.flows",
    )
    assert [Path(finding.file).name for finding in scan(made.flow)] == ["clocks.py"]
    assert scan(made.flow)[0].file == shop.clocks.__file__
    script = module("from beside import name\nfrom elsewhere.clocks import now\ndef flow(): return name(), now()")
    assert [finding.file for finding in scan(script.flow)] == [beside.__file__]
    assert scan(elsewhere.now)


def test_steps_and_workflows_are_not_followed(module):
    made = module("""
        import time
        class Step:
            __ripresa__ = "step"
            def __init__(self, function): self.function = self.__wrapped__ = function
            def __call__(self, *args): return self.function(*args)
            def start(self): return self()
        @Step
        def charge(): return time.time()
        def undo(): return time.time()
        def flow(saga):
            saga.add(undo)
            return charge(), charge.start(), map(charge, [1])
    """)
    assert scan(made.flow) == []


def test_closures_partials_methods_and_builtins_can_be_scanned(module):
    made = module("""
        import functools, time
        def outer(clock, helper):
            def flow(): return clock(), helper()
            return flow
        def helper(): return time.monotonic()
        flow = outer(time.time, helper)
        part = functools.partial(flow)
        class Flows:
            def flow(self): return time.time()
        method = Flows().flow
    """)
    assert [finding.expression for finding in scan(made.flow)] == ["clock", "time.monotonic"]
    assert len(scan(made.part)) == 2
    assert len(scan(made.method)) == 1
    assert scan(len) == []


# --- the scan: what it leaves alone -----------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "x: datetime = y",
        "isinstance(x, datetime)",
        "isinstance(x, (date, socket.socket, threading.Thread))",
        "datetime(2024, 1, 1)",
        "datetime.datetime.now",  # a value's attribute: `datetime` is the class here
        "datetime.fromisoformat('2024-01-01')",
        "datetime.fromtimestamp(0)",
        "datetime.min, date(2024, 1, 1), timedelta(days=1)",
        "await asyncio.sleep(1)",
        "await asyncio.gather(*x)",
        "await asyncio.wait(x)",
        "asyncio.create_task(x)",
        "asyncio.Event(), asyncio.Queue(), asyncio.Lock(), asyncio.Semaphore(3)",
        "async with asyncio.timeout(1), asyncio.TaskGroup() as group: pass",
        "asyncio.get_running_loop().time()",
        "ripresa.random().random()",
        "ripresa.now(), ripresa.uuid4(), ripresa.sleep(days=1)",
        "now(), uuid4(), sleep(3)",
        "random.Random(7).random()",
        "random.Random(x)",
        "random.Random(x=1)",
        "time.gmtime(0), time.strftime('%Y', time.gmtime(0)), time.struct_time(range(9))",
        "uuid.UUID(int=1), uuid.uuid5(uuid.NAMESPACE_URL, 'x')",
        "logging.getLogger('x').info('y')",
        "print('hello', flush=True)",
        "os.path.join('a', 'b'), os.sep, os.fspath('x'), os.environ.get('X')",
        "secrets.compare_digest('a', 'a')",
        "json.dumps({}), re.compile('x'), hashlib.sha256(b'x'), math.sqrt(2)",
        "pathlib.Path('x') / 'y'",
        "try: pass\n    except (subprocess.CalledProcessError, shutil.Error, socket.timeout): pass",
        "x.time(), x.now(), x.open(), x.random.choice()",
        "time = x; time.time()",
        "def inner(at: datetime) -> date: return at.date()",
        "def inner(time): return time.time()",
        "lambda datetime: datetime.now()",
        "[random.random() for random in x]",
        "settings.CLOCK.now()",
    ],
)
def test_what_a_replay_can_repeat_is_left_alone(module, statement):
    made = module(f"""
import asyncio, hashlib, json, logging, math, os, pathlib, random, re, secrets, shutil, socket, subprocess, threading
import time, uuid
from datetime import date, datetime, timedelta

class Proxy:
    @property
    def __class__(self): raise RuntimeError("not configured")
    def __getattr__(self, name): raise RuntimeError("not configured")

class ripresa:
    random = now = uuid4 = sleep = lambda *_, **__: None

settings = Proxy()
now, uuid4, sleep = ripresa.now, ripresa.uuid4, ripresa.sleep

async def flow(x, y, at: datetime = date.today()) -> datetime:
    {statement}
""")
    assert scan(made.flow) == []


# --- the hook: what it stops ------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def _installed():
    install()
    install()


ATTEMPTS = [
    ("from pathlib import Path", "Path('x').read_text()", "open('x')"),
    ("", "open('x', 'w')", "open('x')"),
    ("import os", "os.open('x', os.O_RDONLY)", "open('x')"),
    ("import os", "os.listdir('.')", "os.listdir('.')"),
    ("import os", "list(os.scandir('.'))", "os.scandir('.')"),
    ("import os", "os.mkdir('x')", "os.mkdir('x')"),
    ("import os", "os.rename('x', 'y')", "os.rename('x')"),
    ("from pathlib import Path", "Path('x').unlink()", "os.remove"),
    ("from pathlib import Path", "list(Path().glob('*'))", ""),
    ("import glob", "glob.glob('*')", "glob.glob('*')"),
    ("import shutil", "shutil.rmtree('x')", "shutil.rmtree('x')"),
    ("import tempfile", "tempfile.mkdtemp()", "tempfile.mkdtemp"),
    ("import tempfile", "tempfile.NamedTemporaryFile()", ""),
    ("import os", "os.system('true')", "os.system(b'true')"),
    ("import os", "os.fork()", "os.fork"),
    ("import os", "os.posix_spawn('/bin/true', ['true'], {})", "os.posix_spawn"),
    ("import subprocess", "subprocess.run(['true'])", "subprocess.Popen('true')"),
    ("import socket", "socket.socket()", "socket.__new__"),
    ("import socket", "socket.gethostbyname('localhost')", "socket.gethostbyname('localhost')"),
    ("import sqlite3", "sqlite3.connect(':memory:')", "sqlite3.connect(':memory:')"),
    ("import urllib.request", "urllib.request.urlopen('http://127.0.0.1:1')", "urllib.request('http://127.0.0.1:1')"),
]
if sys.version_info >= (3, 12):
    ATTEMPTS.append(("import threading", "threading.Thread(target=print).start()", "starting a thread"))
if sys.version_info >= (3, 13):
    ATTEMPTS.append(("import time", "time.sleep(0)", "time.sleep"))


@pytest.mark.parametrize(("imports", "expression", "call"), ATTEMPTS)
def test_what_the_scan_cannot_see_is_stopped_when_it_happens(module, imports, expression, call):
    made = module(f"{imports}\ndef flow():\n    {expression}\n")
    with guarded(), pytest.raises(ForbiddenInWorkflow) as caught:
        made.flow()
    message = str(caught.value)
    assert message.startswith(call)
    assert f" in workflow code at {made.__file__}:3 in flow: " in message
    assert "@step" in message or "ripresa.sleep()" in message


def test_only_the_guarded_thread_is_watched(tmp_path):
    begin = threading.Event()

    def elsewhere():
        begin.wait()
        (tmp_path / "x").touch()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with guarded():
        begin.set()
        thread.join()
    assert (tmp_path / "x").exists()


def test_outside_of_workflow_code_nothing_is_stopped(tmp_path):
    with guarded(), guarded():
        pass
    (tmp_path / "x").touch()


def test_the_end_of_an_inner_guard_is_not_the_end_of_the_outer(tmp_path):
    enter()
    with guarded():
        pass
    with pytest.raises(ForbiddenInWorkflow):
        os.open(tmp_path, os.O_RDONLY)
    leave()


# --- the hook: what it lets through -----------------------------------------------------------


def test_imports_work(tmp_path, monkeypatch):
    (tmp_path / "lately_imported.py").write_text("from pathlib import Path\nhere = Path(__file__).read_text()")
    monkeypatch.syspath_prepend(tmp_path)
    with guarded():
        import lately_imported

        with pytest.raises(ModuleNotFoundError):
            import this_module_does_not_exist  # noqa: F401
    assert lately_imported.here


def test_an_import_below_the_kernel_excuses_nothing():
    """A script that runs its workflow while it is imported has import frames below all it does."""
    look = functools.partial(os.open, ".", os.O_RDONLY)
    kernel = eval("lambda call: call()", {"__name__": "ripresa.kernel.live"})
    importer = eval("lambda call: call()", {"__name__": "importlib._bootstrap"})
    with guarded():
        os.close(importer(look))
        with pytest.raises(ForbiddenInWorkflow):
            importer(lambda: kernel(look))


def test_tracebacks_and_warnings_may_read_source():
    linecache.clearcache()
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    with guarded(), warnings.catch_warnings():
        text = "".join(traceback.format_exception(caught.value))
        linecache.clearcache()
        warnings.simplefilter("ignore")
        warnings.warn("careful", stacklevel=1)
    assert "_ = 1 / 0" in text


def test_logging_may_open_its_files(tmp_path):
    handler = logging.FileHandler(tmp_path / "log", delay=True)
    logger = logging.getLogger("test_guard")
    logger.addHandler(handler)
    with guarded():
        logger.warning("hello")
    logger.removeHandler(handler)
    handler.close()
    assert (tmp_path / "log").read_text() == "hello\n"


def test_time_zones_may_be_loaded():
    from zoneinfo import ZoneInfo

    with guarded():
        try:
            ZoneInfo.no_cache("Europe/Rome")
        except LookupError:
            (pytest.fail if os.environ.get("CI") else pytest.skip)("no time zone data here")


def test_printing_works(capsys):
    with guarded():
        print("hello")
    assert capsys.readouterr().out == "hello\n"


def test_finalizers_work(tmp_path):
    class Leftover:
        def __init__(self):
            self.me = self

        def __del__(self):
            (tmp_path / "left").unlink()

    (tmp_path / "left").touch()
    Leftover()
    with guarded():
        gc.collect()
    assert not (tmp_path / "left").exists()


# --- both, under a real engine ----------------------------------------------------------------


async def test_a_run_is_stopped_wherever_its_code_has_got_to(module, tmp_path, monkeypatch):
    """Also in the middle of a callback, on the greenlet that a plain call of a step came back to."""
    from ripresa.contracts.errors import RunFailed
    from ripresa.engine.app import App

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lately_needed.py").write_text("answer = 42")
    made = module("""
        import asyncio, logging, os, pathlib, time
        from ripresa.author.code import step, workflow

        @step
        def write(path: str) -> str:
            pathlib.Path(path).write_text(str(time.time()))
            return path

        @workflow
        def plain(path: str) -> int:
            read = getattr(pathlib.Path(write(path)), "read_text")
            return len(read())

        @workflow
        async def awaiting(path: str) -> int:
            await asyncio.sleep(0)
            write(path)
            return len(await asyncio.create_task(look(path)))

        async def look(path):
            return getattr(os, "listdir")(os.path.dirname(path))

        @workflow
        async def clocked(path: str) -> float:
            return time.time()

        @workflow
        async def fine(path: str) -> int:
            write(path)
            from lately_needed import answer
            try:
                raise ValueError("x")
            except ValueError:
                logging.getLogger("fine").exception("reads source")
            return answer
    """)
    flows = [made.plain, made.awaiting, made.clocked, made.fine]
    async with App(f"sqlite:///{tmp_path}/runs.db", workflows=flows) as app:
        for flow, message in [
            (made.plain, r"open\(.*written.*guarded_\d+\.py:13 in plain: .* move it into a @step"),
            (made.awaiting, r"os\.listdir\(.*guarded_\d+\.py:22 in look: "),
            (made.clocked, r"guarded_\d+\.py:26: time\.time in clocked: .* ripresa\.now\(\)"),
        ]:
            with pytest.raises(RunFailed, match=message):
                await (await app.start(flow, str(tmp_path / "written"))).result()
        assert await (await app.start(made.fine, str(tmp_path / "written"))).result() == 42


@pytest.mark.parametrize("name", ["pdb", "ipdb", "debugpy", "_pydevd_bundle.pydevd_frame"])
def test_debuggers_may_talk_to_whoever_sits_before_them(name, tmp_path):
    """An editor's debugger does so through a socket, from within the code that it has stopped."""
    debugger = ModuleType(name)
    exec("import socket\ndef talk():\n    socket.socket().close()", debugger.__dict__)
    with guarded():
        debugger.talk()
