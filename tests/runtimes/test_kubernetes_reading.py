"""What a cluster sends, read: lines with times in front, outputs in messages and logs, and what pods mean."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.contracts.job_order import JobOrder
from ripresa.runtimes import JobFailed
from ripresa.runtimes.kubernetes import output
from ripresa.runtimes.kubernetes.seen import Ended, Lost, Running, TooLong, Waiting, failed_job, seen
from ripresa.runtimes.kubernetes.stamped_lines import PART_BYTES, StampedLines
from ripresa.runtimes.remote import Unreachable

ORDER = JobOrder(name="extract", image="lakehouse/extract:1.0")
STAMP = b"2026-11-21T17:35:34.072688972Z "
AT = 1_795_282_534_072_688


def read(pieces):
    cut = StampedLines()
    told = [one for piece in pieces for one in cut.feed(piece)] + list(cut.end())
    return b"".join(data for _, data in told), {at for at, _ in told}


def cut_up(data, places):
    places = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(
    st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=8),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_lines_are_the_same_however_they_come(lines, places):
    data = b"".join(STAMP + line + b"\n" for line in lines)
    told, times = read(cut_up(data, places))
    assert told == b"".join(line + b"\n" for line in lines)
    assert times <= {AT}


@given(st.integers(1, 3 * PART_BYTES + 5), st.lists(st.integers(0, 200_000), max_size=12), st.booleans())
def test_long_lines_are_one_whether_each_part_has_a_time_or_not(size, places, each):
    """Kubelets before 1.21 put a time in front of each part of 16 KiB, newer ones do not."""
    line = b"x" * size
    parts = [line[at : at + PART_BYTES] for at in range(0, size, PART_BYTES)]
    data = b"".join(STAMP + part for part in parts) if each else STAMP + line
    told, times = read(cut_up(data + b"\n" + STAMP + b"next\n", places))
    assert (told, times) == (line + b"\nnext\n", {AT})


@given(st.lists(st.integers(0, 10_000), max_size=12), st.booleans(), st.booleans())
def test_what_the_kubelet_says_in_the_place_of_output_is_no_output(places, output_before, ended):
    """It found no file of the container's yet, or no more: what it says has no time in front."""
    said = b'failed to try resolving symlinks in path "/var/log/pods/x/job/0.log": no such file or directory'
    data = (STAMP + b"a line\n" if output_before else b"") + said + (b"\n" if ended else b"")
    with pytest.raises(Unreachable, match="the kubelet says: f"):
        read(cut_up(data, places))


def test_a_time_in_the_jobs_own_words_stays():
    told, _ = read([STAMP + b"said " + STAMP + b"\n"])
    assert told == b"said " + STAMP + b"\n"


# --- outputs -----------------------------------------------------------------------------------


def carried(data):
    return base64.encodebytes(gzip.compress(data)) + b"sha256 %s  -\n" % hashlib.sha256(data).hexdigest().encode()


@given(st.binary(max_size=500))
def test_what_the_courier_carries_arrives(data):
    assert output.of_log(ORDER, carried(data)) == data


@given(st.binary(min_size=1, max_size=500), st.integers(1, 400))
def test_a_log_of_which_some_is_missing_is_no_output(data, missing):
    whole = carried(data)
    with pytest.raises(JobFailed, match="some of it is missing"):
        output.of_log(ORDER, whole[missing:] if missing < len(whole) - 5 else b"")


def test_no_file_is_no_output():
    assert output.of_log(ORDER, b"none\n") is None
    assert output.of_message(ORDER, "") is None


def test_a_message_that_may_be_cut_off_is_not_read():
    assert output.of_message(ORDER, "x" * 4095) == b"x" * 4095
    for text in ("x" * 4096, "ü" * 2048):
        with pytest.raises(JobFailed, match="output_image"):
            output.of_message(ORDER, text)


@given(
    st.recursive(
        st.text(alphabet='{}"\\a:,[]', max_size=6),
        lambda inner: st.dictionaries(st.text(alphabet='{}"\\a', max_size=3), inner, max_size=3),
    )
)
def test_the_end_of_an_object_is_never_an_object(value):
    """So a message that was cut off could never pass for a whole one."""
    text = json.dumps({"a": value})
    for at in range(1, len(text)):
        try:
            told = json.loads(text[at:])
        except ValueError:
            continue
        assert not isinstance(told, dict), text[at:]


# --- pods --------------------------------------------------------------------------------------


def pod(phase, state=None, courier=None, *, deleted=False, **status):
    told = {"phase": phase, **status}
    if courier is not None:
        told |= {"initContainerStatuses": [{"name": "job", "state": state}]}
        told |= {"containerStatuses": [{"name": "output", "state": courier}]}
    elif state is not None:
        told |= {"containerStatuses": [{"name": "job", "state": state}]}
    return {"metadata": {"deletionTimestamp": "now"} if deleted else {}, "status": told}


def ended(code, reason="Error", message=""):
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


WAITS = {"waiting": {"reason": "PodInitializing"}}
NO_NODE = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}]}
GIVES_WAY = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]}


@pytest.mark.parametrize(
    ("what", "means"),
    [
        (pod("Pending"), Waiting("it waits for a node")),
        (pod("Pending", **NO_NODE), Waiting("Unschedulable: no room")),
        (pod("Pending", {"waiting": {"reason": "ImagePullBackOff"}}), Waiting("ImagePullBackOff", image=True)),
        (pod("Pending", {"waiting": {"reason": "InvalidImageName"}}), Waiting("InvalidImageName", hopeless=True)),
        (pod("Pending", {"waiting": {"reason": "CreateContainerError"}}), Waiting("CreateContainerError", hardly=True)),
        (pod("Running", {"running": {}}), Running()),
        (pod("Running", ended(0, "Completed")), Running()),  # until the pod has ended as well
        (pod("Succeeded", ended(0, "Completed", "{}")), Ended(0, left="{}")),
        (pod("Failed", ended(3)), Ended(3)),
        (pod("Failed", ended(137, "OOMKilled")), Ended(137, oom=True)),
        (pod("Failed", ended(127, "ContainerCannotRun", "no such file")), Ended(127, not_started="no such file")),
        (pod("Failed", ended(128, "StartError", "denied")), Ended(128, not_started="denied")),
        (pod("Failed", ended(143), reason="Evicted"), Lost("Evicted")),
        (pod("Failed", ended(143), reason="DeadlineExceeded"), TooLong()),
        (pod("Failed", ended(0), **GIVES_WAY), Lost("EvictionByEvictionAPI: it had to give way")),
        (pod("Running", {"running": {}}, deleted=True), Lost("somebody deleted its pod")),
        (pod("Failed", ended(143), deleted=True), Lost("somebody deleted its pod")),
        (pod("Succeeded", ended(0, "Completed"), deleted=True), Ended(0)),
        (pod("Pending", ended(0, "Completed"), WAITS), Waiting("PodInitializing")),
        (pod("Pending", {"running": {}}, WAITS), Running()),
        (pod("Succeeded", ended(0, "Completed"), ended(0, "Completed")), Ended(0)),
        (pod("Failed", ended(5), WAITS), Ended(5)),
        (pod("Failed", ended(0), ended(1)), Lost("its output could not be carried: exit code 1")),
    ],
)
def test_what_a_pod_means(what, means):
    assert seen(what) == means


def test_what_a_job_without_a_pod_means():
    def job(**condition):
        return {"status": {"conditions": [{"status": "True", "type": "Failed", **condition}]}}

    assert failed_job({"status": {}}) is None
    assert failed_job(job(type="Complete")) is None
    assert failed_job(job(reason="DeadlineExceeded")) == TooLong()
    assert failed_job(job(reason="BackoffLimitExceeded")) == Lost("its pod is gone (BackoffLimitExceeded)")
