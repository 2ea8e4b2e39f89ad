"""What workflow code may not do, and what to do instead: the table behind the guard.

Names only: nothing here is called, and nothing is imported for being named.  `module.*` stands for
every public function and class of the module that `SPARED` does not name.
"""

from __future__ import annotations

CLOCK = "use ripresa.now(), which a replay repeats"
SLEEP = "use ripresa.sleep() or asyncio.sleep(), which survive a restart"
DICE = "use ripresa.random(), which a replay repeats"
IDENTITY = "use ripresa.uuid4(), which a replay repeats"
WORLD = "move it into a @step"
THREAD = "call a def @step, which runs in a thread, and .start() it to run several at once"
LOOP = "workflow code runs in a loop already: await what you need"


def _named(module: str, names: str, remedy: str) -> dict[str, str]:
    return {f"{module}.{name}": remedy for name in names.split()}


FORBIDDEN: dict[str, str] = {
    **_named("time", "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns", CLOCK),
    **_named("time", "process_time process_time_ns thread_time thread_time_ns clock_gettime clock_gettime_ns", CLOCK),
    **_named("time", "localtime gmtime ctime asctime strftime", CLOCK),
    **_named("time", "sleep", SLEEP),
    **_named("datetime.datetime", "now utcnow today", CLOCK),
    **_named("datetime.date", "today", CLOCK),
    **_named("random", "SystemRandom Random *", DICE),
    **_named("secrets", "*", DICE),
    **_named("os", "urandom getrandom", DICE),
    **_named("uuid", "uuid1 uuid4 uuid6 uuid7 getnode", IDENTITY),
    **_named("builtins", "open input", WORLD),
    **_named("io", "open open_code FileIO", WORLD),
    **_named("codecs", "open", WORLD),
    **_named("os", "system popen fork forkpty kill killpg getpid open read write", WORLD),
    **_named("os", "execl execle execlp execlpe execv execve execvp execvpe posix_spawn posix_spawnp", WORLD),
    **_named("os", "spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe", WORLD),
    **_named("os", "listdir scandir walk fwalk stat lstat access chdir chmod chown link symlink readlink", WORLD),
    **_named("os", "mkdir makedirs rmdir removedirs remove unlink rename renames replace truncate utime", WORLD),
    **_named("os.path", "exists lexists isfile isdir islink ismount getsize getmtime getatime getctime", WORLD),
    **_named("pathlib.Path", "open read_text read_bytes write_text write_bytes exists is_file is_dir", WORLD),
    **_named("pathlib.Path", "iterdir glob rglob stat mkdir rmdir unlink rename replace touch", WORLD),
    **_named("shutil", "*", WORLD),
    **_named("tempfile", "*", WORLD),
    **_named("glob", "glob iglob", WORLD),
    **_named("subprocess", "Popen run call check_call check_output getoutput getstatusoutput", WORLD),
    **_named("socket", "socket socketpair create_connection create_server getaddrinfo getnameinfo", WORLD),
    **_named("socket", "gethostname gethostbyname gethostbyname_ex gethostbyaddr getfqdn", WORLD),
    **_named("urllib.request", "urlopen urlretrieve", WORLD),
    **_named("http.client", "HTTPConnection HTTPSConnection", WORLD),
    **_named("smtplib", "SMTP SMTP_SSL", WORLD),
    **_named("ftplib", "FTP FTP_TLS", WORLD),
    **_named("requests", "get post put patch delete head options request Session session", WORLD),
    **_named("httpx", "get post put patch delete head options request stream Client AsyncClient", WORLD),
    **_named("aiohttp", "ClientSession request", WORLD),
    **_named("urllib3", "PoolManager request", WORLD),
    **_named("sqlite3", "connect", WORLD),
    **_named("psycopg", "connect", WORLD),
    **_named("psycopg2", "connect", WORLD),
    **_named("asyncpg", "connect create_pool", WORLD),
    **_named("threading", "Thread Timer", THREAD),
    **_named("_thread", "start_new_thread", THREAD),
    **_named("concurrent.futures", "ThreadPoolExecutor ProcessPoolExecutor", THREAD),
    **_named("concurrent.futures.thread", "ThreadPoolExecutor", THREAD),
    **_named("concurrent.futures.process", "ProcessPoolExecutor", THREAD),
    **_named("multiprocessing", "Process Pool Queue Pipe Manager", THREAD),
    **_named("asyncio", "to_thread", THREAD),
    **_named("asyncio", "open_connection open_unix_connection start_server start_unix_server", WORLD),
    **_named("asyncio", "create_subprocess_exec create_subprocess_shell", WORLD),
    **_named("asyncio", "run Runner new_event_loop run_coroutine_threadsafe", LOOP),
}

SPARED = frozenset({"secrets.compare_digest", "shutil.get_terminal_size", "tempfile.template"})
"""What a `module.*` does not stand for."""

ONLY_WITHOUT_ARGUMENTS = frozenset({"random.Random", "time.localtime", "time.gmtime", "time.ctime", "time.asctime"})
"""Forbidden as `gmtime()`, fine as `gmtime(seconds)`: with a time, or a seed, they only compute."""

ONLY_WITH_ONE_ARGUMENT = frozenset({"time.strftime"})
"""Forbidden as `strftime(format)`, fine as `strftime(format, time)`."""


def _calls(module: str, names: str) -> dict[str, tuple[str, str]]:
    return {name: (name, remedy) for name, remedy in _named(module, names, WORLD).items()}


EVENTS: dict[str, tuple[str, str]] = {
    "open": ("open", WORLD),
    "builtins.input": ("input", WORLD),
    "time.sleep": ("time.sleep", SLEEP),
    "_thread.start_new_thread": ("starting a thread", THREAD),
    "_thread.start_joinable_thread": ("starting a thread", THREAD),
    "sqlite3.connect": ("sqlite3.connect", WORLD),
    "urllib.Request": ("urllib.request", WORLD),
    "http.client.connect": ("http.client", WORLD),
    "subprocess.Popen": ("subprocess.Popen", WORLD),
    **_calls("os", "chdir chflags chmod chown exec fork forkpty getxattr kill killpg link listdir listdrives lockf"),
    **_calls("os", "listmounts listvolumes listxattr mkdir posix_spawn remove removexattr rename rmdir scandir"),
    **_calls("os", "setxattr spawn startfile symlink system truncate utime walk fwalk"),
}
"""Audit events (https://docs.python.org/3/library/audit_events.html): what was called, and the remedy."""

EVENT_FAMILIES: dict[str, str] = dict.fromkeys(
    ("ftplib", "glob", "imaplib", "pathlib", "poplib", "pty", "shutil", "smtplib", "socket", "tempfile", "webbrowser"),
    WORLD,
)
"""Whole families of audit events, by what stands before the first dot."""
