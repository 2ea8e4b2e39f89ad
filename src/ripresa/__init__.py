"""Workflows that survive anything: the public face.

Names are loaded when they are first used, so that importing ripresa is cheap; type checkers see them all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ripresa.author.code import (
        ChildHandle,
        StepHandle,
        child,
        continue_as_new,
        now,
        patched,
        publish,
        random,
        send_signal,
        sleep,
        sleep_until,
        start_child,
        step,
        uuid4,
        wait_for_signal,
        wait_until,
        workflow,
    )
    from ripresa.author.context import context
    from ripresa.author.fan_out import map_
    from ripresa.author.graph.dag import DAG, Task, task
    from ripresa.author.groups import ExecutionPlan, PipelineGroup, PlannedPipeline, PlanResolver
    from ripresa.author.handlers import on_query, on_signal, on_update
    from ripresa.author.job import Job, job
    from ripresa.author.job_step import JobOutput
    from ripresa.author.pipelines import (
        Dispatcher,
        Pipeline,
        PipelineRegistry,
        PipelineResult,
        PipelineStatus,
        register_pipeline,
    )
    from ripresa.author.sagas import saga
    from ripresa.author.steps.context import PartitionKey, WorkflowContext
    from ripresa.author.steps.dry_run import PlannedStep
    from ripresa.author.steps.factory import Step
    from ripresa.author.steps.fold import CheckpointState
    from ripresa.author.steps.kinds import ChoiceStep, LambdaStep, MapStep, PipelineStep, WaitStep
    from ripresa.author.steps.policy import ErrorPolicy, RetryPolicy
    from ripresa.author.steps.result import ErrorCategory, StepResult
    from ripresa.author.steps.workflow import Workflow
    from ripresa.author.transaction import transaction
    from ripresa.contracts.errors import (
        ChildFailed,
        CommitUnknown,
        EffectConflict,
        EngineFenced,
        ForbiddenInWorkflow,
        GraphError,
        NotInWorkflow,
        NoTransactions,
        PayloadError,
        Quarantine,
        Retryable,
        RipresaError,
        RunBlocked,
        RunCancelled,
        RunConflict,
        RunError,
        RunFailed,
        RunFinished,
        RunNotFinished,
        RunNotFound,
        RunQuarantined,
        SpecInvalid,
        StepFailed,
        StepInterrupted,
        StepResultFailed,
        StoreBusy,
        StoreCorrupt,
        StoreError,
        StoreFull,
        StoreInUse,
        StoreTooNew,
        StoreUnavailable,
        TemplateError,
        TemplateForbidden,
        TemplateSyntax,
        TemplateUndefined,
        TemplateValue,
        Terminal,
        UnknownDefinition,
        UnknownHandler,
        UnknownPool,
        UpdateRejected,
    )
    from ripresa.contracts.events import EventSettings, EventSource, EventTarget
    from ripresa.contracts.failure import Failure
    from ripresa.contracts.pools import Breaker, Pool
    from ripresa.contracts.quality import QualityBreach, QualityMetrics, QualityThresholds
    from ripresa.contracts.quality_trend import QualityDegradation, QualityTrend
    from ripresa.contracts.status import FailureClass, RunStatus, StepStatus
    from ripresa.engine.app import App
    from ripresa.engine.config import Config
    from ripresa.engine.group_runner import GroupResult, GroupRunner
    from ripresa.engine.handles import Run
    from ripresa.engine.run_once import run
    from ripresa.engine.workflow_result import StepExecution, WorkflowResult
    from ripresa.engine.workflow_runner import WorkflowRunner
    from ripresa.kernel.retry import Retry

__version__ = "0.1.0"

_HOMES = {
    "ripresa.author.code": (
        "ChildHandle StepHandle child continue_as_new now patched publish random send_signal sleep "
        "sleep_until start_child step uuid4 wait_for_signal wait_until workflow"
    ),
    "ripresa.author.context": "context",
    "ripresa.author.fan_out": "map_",
    "ripresa.author.graph.dag": "DAG Task task",
    "ripresa.author.groups": "ExecutionPlan PipelineGroup PlanResolver PlannedPipeline",
    "ripresa.author.handlers": "on_query on_signal on_update",
    "ripresa.author.job": "Job job",
    "ripresa.author.job_step": "JobOutput",
    "ripresa.author.pipelines": (
        "Dispatcher Pipeline PipelineRegistry PipelineResult PipelineStatus register_pipeline"
    ),
    "ripresa.author.sagas": "saga",
    "ripresa.author.steps.context": "PartitionKey WorkflowContext",
    "ripresa.author.steps.dry_run": "PlannedStep",
    "ripresa.author.steps.factory": "Step",
    "ripresa.author.steps.fold": "CheckpointState",
    "ripresa.author.steps.kinds": "ChoiceStep LambdaStep MapStep PipelineStep WaitStep",
    "ripresa.author.steps.policy": "ErrorPolicy RetryPolicy",
    "ripresa.author.steps.result": "ErrorCategory StepResult",
    "ripresa.author.steps.workflow": "Workflow",
    "ripresa.author.transaction": "transaction",
    "ripresa.contracts.errors": (
        "ChildFailed CommitUnknown EffectConflict EngineFenced ForbiddenInWorkflow GraphError NoTransactions "
        "NotInWorkflow PayloadError Quarantine Retryable RipresaError RunBlocked RunCancelled RunConflict RunError "
        "RunFailed RunFinished RunNotFinished RunNotFound RunQuarantined SpecInvalid StepFailed StepInterrupted "
        "StepResultFailed StoreBusy StoreCorrupt StoreError StoreFull StoreInUse StoreTooNew StoreUnavailable "
        "TemplateError TemplateForbidden TemplateSyntax TemplateUndefined TemplateValue Terminal UnknownDefinition "
        "UnknownHandler UnknownPool UpdateRejected"
    ),
    "ripresa.contracts.failure": "Failure",
    "ripresa.contracts.events": "EventSettings EventSource EventTarget",
    "ripresa.contracts.pools": "Breaker Pool",
    "ripresa.contracts.quality": "QualityBreach QualityMetrics QualityThresholds",
    "ripresa.contracts.quality_trend": "QualityDegradation QualityTrend",
    "ripresa.contracts.status": "FailureClass RunStatus StepStatus",
    "ripresa.engine.app": "App",
    "ripresa.engine.config": "Config",
    "ripresa.engine.group_runner": "GroupResult GroupRunner",
    "ripresa.engine.handles": "Run",
    "ripresa.engine.run_once": "run",
    "ripresa.engine.workflow_result": "StepExecution WorkflowResult",
    "ripresa.engine.workflow_runner": "WorkflowRunner",
    "ripresa.kernel.retry": "Retry",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    # Writing workflows
    "DAG",
    "Retry",
    "child",
    "context",
    "continue_as_new",
    "job",
    "map_",
    "now",
    "on_query",
    "on_signal",
    "on_update",
    "patched",
    "publish",
    "random",
    "saga",
    "send_signal",
    "sleep",
    "sleep_until",
    "start_child",
    "step",
    "task",
    "transaction",
    "uuid4",
    "wait_for_signal",
    "wait_until",
    "workflow",
    # Context-first workflows
    "CheckpointState",
    "ChoiceStep",
    "ErrorCategory",
    "ErrorPolicy",
    "LambdaStep",
    "MapStep",
    "PartitionKey",
    "PipelineStep",
    "PlannedStep",
    "RetryPolicy",
    "Step",
    "StepExecution",
    "StepResult",
    "WaitStep",
    "Workflow",
    "WorkflowContext",
    "WorkflowResult",
    "WorkflowRunner",
    # Pipelines and groups of them
    "Dispatcher",
    "ExecutionPlan",
    "GroupResult",
    "GroupRunner",
    "Pipeline",
    "PipelineGroup",
    "PipelineRegistry",
    "PipelineResult",
    "PipelineStatus",
    "PlanResolver",
    "PlannedPipeline",
    "register_pipeline",
    # Quality of data
    "QualityBreach",
    "QualityDegradation",
    "QualityMetrics",
    "QualityThresholds",
    "QualityTrend",
    # Running them
    "App",
    "Breaker",
    "EventSettings",
    "EventSource",
    "EventTarget",
    "ChildHandle",
    "Config",
    "Job",
    "JobOutput",
    "Pool",
    "Run",
    "StepHandle",
    "Task",
    "run",
    # Failures to raise, and to look at
    "Failure",
    "FailureClass",
    "Quarantine",
    "Retryable",
    "RunStatus",
    "StepStatus",
    "Terminal",
    # Errors
    "ChildFailed",
    "CommitUnknown",
    "EffectConflict",
    "EngineFenced",
    "ForbiddenInWorkflow",
    "GraphError",
    "NoTransactions",
    "NotInWorkflow",
    "PayloadError",
    "RipresaError",
    "RunBlocked",
    "RunCancelled",
    "RunConflict",
    "RunError",
    "RunFailed",
    "RunFinished",
    "RunNotFinished",
    "RunNotFound",
    "RunQuarantined",
    "SpecInvalid",
    "StepFailed",
    "StepInterrupted",
    "StepResultFailed",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreInUse",
    "StoreTooNew",
    "StoreUnavailable",
    "TemplateError",
    "TemplateForbidden",
    "TemplateSyntax",
    "TemplateUndefined",
    "TemplateValue",
    "UnknownDefinition",
    "UnknownHandler",
    "UnknownPool",
    "UpdateRejected",
]


def __getattr__(name: str) -> Any:
    if name == "blocking":
        return import_module("ripresa.blocking")
    home = _HOME_OF.get(name)
    if home is None:
        msg = f"module 'ripresa' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
