"""`Step`: makes the steps of a `Workflow`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from ripresa.author.steps.frozen import NOTHING
from ripresa.author.steps.kinds import (
    END,
    ChoiceStep,
    Condition,
    Handler,
    Items,
    LambdaStep,
    MapStep,
    PipelineStep,
    WaitStep,
)
from ripresa.author.steps.policy import ErrorPolicy, RetryPolicy
from ripresa.contracts.durations import Duration
from ripresa.contracts.quality import QualityThresholds
from ripresa.contracts.quality_trend import QualityTrend
from ripresa.kernel.retry import Retry


class Step:
    """Makes the steps of a `Workflow`: `Step.lambda_`, `pipeline`, `choice`, `wait`, `map`.  Never made itself."""

    END = END
    """As `next_step`, `then_step` or `else_step`: the workflow ends here."""

    def __new__(cls) -> Self:
        msg = "Step makes steps: write Step.lambda_(…), Step.pipeline(…), Step.choice(…), Step.wait(…) or Step.map(…)"
        raise TypeError(msg)

    @staticmethod
    def lambda_(
        name: str,
        handler: Handler,
        *,
        config: Mapping[str, Any] = NOTHING,
        retry: RetryPolicy | Retry | None = None,
        timeout: Duration | None = None,
        on_error: ErrorPolicy = ErrorPolicy.STOP,
        quality_thresholds: QualityThresholds | None = None,
        quality_trend: QualityTrend | None = QualityTrend(),  # noqa: B008 - a frozen value
        next_step: str | None = None,
    ) -> LambdaStep:
        """A function of the context: `handler(context)` or `handler(context, config)`, `def` or `async def`.

        It returns a `StepResult`, or a plain output.  Raises ValueError or TypeError for what does not fit.
        """
        return LambdaStep(
            name,
            handler,
            config=config,
            retry=retry,
            timeout=timeout,
            on_error=on_error,
            quality_thresholds=quality_thresholds,
            quality_trend=quality_trend,
            next_step=next_step,
        )

    @staticmethod
    def pipeline(
        name: str,
        pipeline: Any,
        *,
        params: Mapping[str, Any] = NOTHING,
        config: Mapping[str, Any] = NOTHING,
        retry: RetryPolicy | Retry | None = None,
        timeout: Duration | None = None,
        on_error: ErrorPolicy = ErrorPolicy.STOP,
        quality_thresholds: QualityThresholds | None = None,
        quality_trend: QualityTrend | None = QualityTrend(),  # noqa: B008 - a frozen value
        next_step: str | None = None,
    ) -> PipelineStep:
        """A pipeline, by its registered name or its class; its parameters are the context's, with `params` over them.

        Raises ValueError or TypeError for what does not fit.
        """
        return PipelineStep(
            name,
            pipeline,
            params=params,
            config=config,
            retry=retry,
            timeout=timeout,
            on_error=on_error,
            quality_thresholds=quality_thresholds,
            quality_trend=quality_trend,
            next_step=next_step,
        )

    @staticmethod
    def choice(
        name: str,
        condition: Condition,
        *,
        then_step: str | None = None,
        else_step: str | None = None,
        on_error: ErrorPolicy = ErrorPolicy.STOP,
    ) -> ChoiceStep:
        """Go on with `then_step` if the condition holds, else with `else_step`; None: with the next in the list.

        The condition is a function of the context, the name of one of the workflow's `conditions`, or an expression
        over the context, as `"params.region == 'eu'"`.  Raises ValueError or TypeError for what does not fit.
        """
        return ChoiceStep(name, condition, then_step=then_step, else_step=else_step, on_error=on_error)

    @staticmethod
    def wait(
        name: str,
        duration: Duration | None = None,
        *,
        until: datetime | str | None = None,
        next_step: str | None = None,
    ) -> WaitStep:
        """Wait, durably: `Step.wait("cool_down", "10m")`, `until="2026-01-31T08:00:00+01:00"`.

        Raises ValueError for what is neither, or both.
        """
        return WaitStep(name, duration, until=until, next_step=next_step)

    @staticmethod
    def map(
        name: str,
        items: Items,
        step: LambdaStep | PipelineStep | Handler,
        *,
        max_parallel: int | None = None,
        on_error: ErrorPolicy = ErrorPolicy.STOP,
        next_step: str | None = None,
    ) -> MapStep:
        """Run `step` (a lambda or pipeline step, or a function) for each item, `max_parallel` at a time.

        `items` is a function of the context, the items themselves, or an expression over the context, as
        `"steps.list.output.files"`.  Raises ValueError or TypeError for what does not fit.
        """
        return MapStep(name, items, step, max_parallel=max_parallel, on_error=on_error, next_step=next_step)
