"""What a job is promised wherever it runs: one contract, run by each runtime.

Who runs it has the fixtures `runtime`, `log`, and `box`: `box(script, **fields)` is the Work of a job that runs a shell
script.
"""

from __future__ import annotations

import json

import pytest

from ripresa.contracts.status import FailureClass
from ripresa.runtimes import JobFailed, WorkerLost
from tests.support.jobs import left_running, resumed


async def failure_of(runtime, work):
    """How the work failed."""
    with pytest.raises(JobFailed) as caught:
        await runtime.run(work)
    return caught.value.failure


class OutputContract:
    """What it is given, and what it leaves."""

    async def test_a_job_gets_its_variables_and_leaves_its_output(self, runtime, box, log):
        work = box(
            """
            echo "source $PARAM_SOURCE, attempt $ATTEMPT of $JOB in $RUN_ID on $DS for $CORRELATION_ID"
            echo "{\\"key\\": \\"$IDEMPOTENCY_KEY\\", \\"level\\": \\"$LEVEL\\"}" > $JOB_OUTPUT
            """,
            params={"source": "sales_db"},
            env={"LEVEL": "info"},
            dates={"ds": "2024-01-01"},
            outputs={"key": "string"},
            attempt=2,
        )
        told = json.loads(await runtime.run(work))
        assert told == {"key": work.context.idempotency_key, "level": "info"}
        assert log.texts() == ["source sales_db, attempt 2 of extract in order-7 on 2024-01-01 for c-1"]

    @pytest.mark.parametrize(
        ("left", "says"),
        [
            ("{}", "'rows' is missing (declared as integer)"),
            ('{"rows": "3"}', "'rows' is declared as integer and is string"),
            ("[1]", "it holds a JSON array"),
            ("nonsense", "cannot be used"),
        ],
    )
    async def test_an_output_that_is_not_as_declared_is_the_jobs_fault(self, runtime, box, left, says):
        work = box('printf %s "$LEFT" > $JOB_OUTPUT', env={"LEFT": left}, outputs={"rows": "integer"})
        failure = await failure_of(runtime, work)
        assert (failure.code, failure.failure_class) == ("output_invalid", FailureClass.TERMINAL)
        assert says in failure.message

    async def test_an_exit_code_may_mean_that_the_job_skipped_itself(self, runtime, box):
        work = box("exit 99", exit_codes={"skip": [99]}, outputs={"rows": "integer"})
        assert json.loads(await runtime.run(work)) == {"ripresa.skipped": 99}


class EndContract:
    """What its end means."""

    @pytest.mark.parametrize(
        ("code", "wanted", "failure_class"),
        [
            (1, "exit_1", FailureClass.RETRYABLE),
            (2, "exit_2", FailureClass.TERMINAL),
            (42, "exit_42", FailureClass.QUARANTINE),
            (125, "cannot_start", FailureClass.TERMINAL),
            (126, "cannot_start", FailureClass.TERMINAL),
            (127, "cannot_start", FailureClass.TERMINAL),
            (137, "exit_137", FailureClass.RETRYABLE),
            (255, "exit_255", FailureClass.RETRYABLE),
        ],
    )
    async def test_exit_codes_mean_what_the_contract_says(self, runtime, box, code, wanted, failure_class):
        meanings = {"terminal": [2], "quarantine": [42], "skip": [99]}
        failure = await failure_of(runtime, box(f"echo why >&2; exit {code}", exit_codes=meanings))
        assert (failure.code, failure.failure_class) == (wanted, failure_class)
        assert failure.message.endswith(": why")


class ElsewhereContract:
    """What holds where a job outlives its engine; `there(work)` tells whether anything of its attempt is there."""

    SILENT_S = 2
    """How long a job may say nothing: more than its start takes."""

    async def test_a_job_that_falls_silent_is_ended_and_may_be_tried_again(self, runtime, box, log):
        script = "for i in 1 2 3; do echo beat; sleep 0.3; done; sleep 600"
        failure = await failure_of(runtime, box(script, limits={"heartbeat_s": self.SILENT_S, "grace_s": 0}))
        assert (failure.code, failure.failure_class) == ("timeout", FailureClass.RETRYABLE)
        assert log.texts() == ["beat"] * 3

    async def test_an_earlier_attempt_that_came_back_is_removed_before_the_next(self, runtime, box, log, there):
        work = box("echo up; exec sleep 600", limits={"grace_s": 1})
        await left_running(runtime, work, log)
        assert there(work)
        later = box("echo next", run=work.context.run_uuid, attempt=2)
        await runtime.run(later)
        assert there(later)
        assert not there(work)

    async def test_what_is_not_there_any_more_is_lost_and_not_started_again(self, runtime, box, log, there):
        work = resumed(box("echo up"), {})
        with pytest.raises(WorkerLost, match="somebody removed it, or it is"):
            await runtime.run(work)
        assert not log
        assert not there(work)
