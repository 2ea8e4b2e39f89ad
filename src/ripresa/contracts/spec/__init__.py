"""The YAML contract: what a workflow or job file may say, as models, and the way from a text to one of them.

loaded = load_workflow(data, "daily_sales.yaml", read=read_beside, templates=Template.parse)
loaded.spec.jobs[0].name, loaded.version, loaded.body
"""

from __future__ import annotations

from ripresa.contracts.spec.entries import (
    Case,
    ChildSpec,
    ChoiceSpec,
    DependsOn,
    Entry,
    JobSpec,
    PipelineSpec,
    PythonSpec,
    SignalSpec,
    WaitSpec,
)
from ripresa.contracts.spec.loading import Loaded, load, load_job, load_workflow
from ripresa.contracts.spec.policies import ExitCodes, QualitySpec, Resources, RetrySpec, TimeoutSpec
from ripresa.contracts.spec.schedule import CatchUp, Dependency, Dst, Schedule
from ripresa.contracts.spec.workflow import JobFile, WorkflowFile, WorkflowSpec

__all__ = [
    # Loading
    "Loaded",
    "load",
    "load_job",
    "load_workflow",
    # Files
    "JobFile",
    "WorkflowFile",
    # The workflow and its entries
    "Case",
    "ChildSpec",
    "ChoiceSpec",
    "DependsOn",
    "Entry",
    "JobSpec",
    "PipelineSpec",
    "PythonSpec",
    "SignalSpec",
    "WaitSpec",
    "WorkflowSpec",
    # Policies
    "CatchUp",
    "Dependency",
    "Dst",
    "ExitCodes",
    "QualitySpec",
    "Resources",
    "RetrySpec",
    "Schedule",
    "TimeoutSpec",
]
