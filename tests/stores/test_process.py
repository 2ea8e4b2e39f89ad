import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ripresa.stores.process import is_gone, this_process

HERE = this_process()

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times are told by /proc")


@pytest.fixture
def child():
    """A process that lives until it is told otherwise."""
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1)
    child.stdout.readline()
    yield child
    child.kill()
    child.communicate()


def of(child):
    started = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    return HERE._replace(pid=child.pid, started=started)


def test_this_process_is_not_gone():
    assert not is_gone(HERE, here=HERE)


@needs_proc
def test_a_process_is_gone_once_it_is_killed_even_before_its_parent_takes_note(child):
    process = of(child)
    assert not is_gone(process, here=HERE)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(process, here=HERE)
    child.wait()
    assert is_gone(process, here=HERE)


@needs_proc
def test_a_process_whose_number_another_one_has_now_is_gone(child):
    process = of(child)
    assert is_gone(process._replace(started=process.started - 1), here=HERE)


def test_every_process_of_an_earlier_boot_is_gone():
    assert is_gone(HERE._replace(boot="before"), here=HERE._replace(boot="now"))


def test_of_a_process_elsewhere_nothing_is_known(child):
    child.kill()
    child.wait()
    gone = HERE._replace(pid=child.pid)
    assert is_gone(gone, here=HERE)
    assert not is_gone(gone._replace(host="elsewhere"), here=HERE)
    assert not is_gone(gone._replace(namespace="another container"), here=HERE)


def test_without_a_start_time_the_number_alone_counts(child):
    process = HERE._replace(pid=child.pid, started=0)
    assert not is_gone(process, here=HERE)
    child.kill()
    child.wait()
    assert is_gone(process, here=HERE)
