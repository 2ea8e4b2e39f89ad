"""`ripresa explain`: what a field of a definition file means, and what a whole file comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ripresa.cli import completing
from ripresa.cli.exits import UsageProblem
from ripresa.cli.options import FormatGiven
from ripresa.cli.output import emit

if TYPE_CHECKING:
    from ripresa.author.explaining.jobs import JobTold


def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FIELD|FILE",
            help="A field, as workflow.jobs.job.retry; or a definition file.",
            show_default=False,
            autocompletion=completing.fields_and_files,
        ),
    ] = "",
    *,
    now: Annotated[
        str | None,
        typer.Option("--now", metavar="MOMENT", help="Tell of starts after this moment; UTC without offset."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="Tell what this orchestrator makes of it; may be repeated.",
            autocompletion=completing.targets,
        ),
    ] = None,
    job: Annotated[str | None, typer.Option("--job", metavar="NAME", help="Tell of this job only.")] = None,
    output: FormatGiven = None,
) -> None:
    """Tell what a field of a definition file means, or what a whole file comes to.

    For a file: when it starts, in which order its jobs run, how often each is attempted and how long it takes at the
    most, which secrets and variables it gets, and what other orchestrators make of it.
    """
    from ripresa.cli import explaining

    targets = target or []
    explaining.require_targets(targets)
    if not explaining.is_file(what):
        if targets or job is not None or now is not None:
            raise UsageProblem(f"--target, --job and --now go with a file, and {what or 'nothing'} is no file")
        _field(what, output)
        return
    if targets and job is not None:
        raise UsageProblem("--target tells of the whole file, and --job of one job: give one of them")
    loaded, told = explaining.definition(what, now=now)
    if job is not None:
        _job(explaining.only_job(told, job), output)
        return

    def text() -> None:
        from ripresa.cli.definition_page import write_definition, write_targets

        if targets:
            write_targets(told, targets, version=loaded.version, file=loaded.files[0])
        else:
            write_definition(told, version=loaded.version, file=loaded.files[0])

    emit(explaining.data(loaded, told, targets), output, text)


def _field(path: str, output: FormatGiven) -> None:
    from ripresa.cli import explaining
    from ripresa.contracts.spec.fields import to_json

    found = explaining.field(path)

    def text() -> None:
        from ripresa.cli.field_page import write_field

        write_field(found)

    emit(to_json(found), output, text)


def _job(job: JobTold, output: FormatGiven) -> None:
    from ripresa.author.explaining import to_json

    def text() -> None:
        from ripresa.cli.definition_page import write_one_job

        write_one_job(job)

    emit(to_json(job), output, text)
