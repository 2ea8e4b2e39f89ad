"""Explaining: what a definition file comes to – when it starts, in which order, how often and how long at the most.

Everything here is a pure function of the definition and a moment that is handed in.

    schedule   the starts to come, and what clock changes do to them     cron_words
    attempts   every wait between attempts, exactly, and the longest that all of them take
    starting   what a job waits for, and what its failure does, in words
    jobs       one entry of the file
    workflow   the whole: layers, the longest way, secrets, targets
"""

from ripresa.author.explaining.schedule import ScheduleTold, explain_schedule
from ripresa.author.explaining.targets import TargetTold, explain_targets
from ripresa.author.explaining.workflow import WorkflowTold, explain_job, explain_workflow, to_json

__all__ = [
    "ScheduleTold",
    "TargetTold",
    "WorkflowTold",
    "explain_job",
    "explain_schedule",
    "explain_targets",
    "explain_workflow",
    "to_json",
]
