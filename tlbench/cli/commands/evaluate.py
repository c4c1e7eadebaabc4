"""``tlbench evaluate``: run what is missing of a method on a suite, then show its score."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tlbench.cli.api import Evaluation, Request

INTERRUPTED = "stopped: finished runs are kept; the same command goes on from there"


def command(
    method: Annotated[str, typer.Option(help="Id or alias (see `tlbench methods`), or path/to/file.py[:Class].")],
    suite: Annotated[str, typer.Option(help="Id or name (see `tlbench suites`), or a TOML file.")] = "classic",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs"),
    seeds: Annotated[str | None, typer.Option(help="Run seeds, such as 0,3,5-7; a subset is incomplete.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Transfer tasks, comma-separated; a subset is incomplete.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; by default all usable cores, or the cluster's.")] = None,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the method; learner.key=value of its learner.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="2 seeds, few tasks, a tenth of the budgets; not submittable.")] = False,
    executor: Annotated[str, typer.Option(help="Where runs go: local, or ray (a cluster).")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="host:port of a Ray cluster; by default the one on this machine, or a new one.")
    ] = None,
    runs_per_gpu: Annotated[int, typer.Option(help="Runs that share a GPU (--executor ray --device cuda).")] = 1,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Minutes between checkpoints of a run under way; 0 for none. Not with ray.")
    ] = 10.0,
    dry_run: Annotated[bool, typer.Option(help="Show what would run and how long it would take.")] = False,
) -> None:
    """Evaluate a method on a suite. Finished runs are kept: the same command goes on where it was stopped."""
    from tlbench.cli.api import prepare, run
    from tlbench.cli.report import print_summary
    from tlbench.execution.selection import parse_settings
    from tlbench.protocol.errors import TlbenchError

    request = prepare(
        method,
        suite,
        out=out,
        seeds=seeds,
        tasks=tasks,
        jobs=jobs,
        device=device,
        quick=quick,
        settings=parse_settings(set_ or []),
        executor=executor,
        ray_address=ray_address,
        runs_per_gpu=runs_per_gpu,
        checkpoint_minutes=checkpoint_minutes,
        read_only=dry_run,
    )
    if dry_run:
        _show_plan(request)
        return
    evaluation = run(request)
    try:
        summary, notes = evaluation.results()
        print_summary(evaluation.suite, summary, [*evaluation_notes(evaluation), *notes])
    except TlbenchError as error:
        typer.echo(f"no table: {error}", err=True)
    _tell_failures(evaluation)


def evaluation_notes(evaluation: Evaluation) -> list[str]:
    """What a reader of the table must know of what was asked for: an old version, a part of it, the quick form."""
    from tlbench.protocol.discovery import newer_version

    newer = newer_version(evaluation.suite)
    notes = [f"{newer.id} corrects this version of the suite"] if newer else []
    if not evaluation.suite.submittable:
        notes.append("quick form: a picture, not a result; it can't be submitted")
    elif not evaluation.plan.complete:
        notes.append("incomplete: not all seeds and transfer tasks of the suite were asked for; it can't be submitted")
    return notes


def _show_plan(request: Request) -> None:
    from tlbench.cli.api import usable_cores
    from tlbench.cli.clock import duration
    from tlbench.execution.plan import ExpertNode, KnowledgeNode

    plan, estimator = request.plan, request.estimator()
    missing = {node.key for node in request.todo}
    for name, nodes in (
        ("experts", plan.experts),
        ("knowledge", plan.knowledge),
        ("controls", plan.controls),
        ("runs", plan.runs),
    ):
        todo = sum(node.key in missing for node in nodes)
        typer.echo(f"{name:10} {todo:4} to do, {len(nodes) - todo:4} cached or not needed")
    for node in request.todo:
        kind = "expert" if isinstance(node, ExpertNode) else "knowledge" if isinstance(node, KnowledgeNode) else "run"
        typer.echo(f"  {kind:9} {node.label}")
    jobs = request.jobs or usable_cores()
    seconds = estimator.total(request.todo, jobs)
    typer.echo(f"about {duration(seconds)} with {jobs} processes; records go to {request.store.folder}")


def _tell_failures(evaluation: Evaluation) -> None:
    from tlbench.cli.api import FAILURES

    outcome = evaluation.outcome
    if not outcome.failed:
        return
    for label, error in outcome.failed.items():
        print(f"failed: {label}: {error}", file=sys.stderr)
    skipped = f", {len(outcome.skipped)} more left out because they need these" if outcome.skipped else ""
    log = evaluation.store.folder / FAILURES
    where = f"; tracebacks are in {log}" if log.exists() else ""
    print(
        f"error: {len(outcome.failed)} failed{skipped}{where}; all others are kept, the same command runs the rest",
        file=sys.stderr,
    )
    raise typer.Exit(1)
