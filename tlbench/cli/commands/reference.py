"""``tlbench reference SUITE``: measures the reference returns and times that a suite's TOML freezes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlbench.cli.show import print_table

INTERRUPTED = "stopped: finished runs are kept; the same command goes on from there"


def command(
    suite: Annotated[str, typer.Argument(help="A suite's id, name or TOML file.")],
    learners: Annotated[str, typer.Option(help="Reference learners, comma-separated.")] = "vpg,ppo",
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, comma-separated.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per learner, their own (from 1000 on).")] = 10,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; all usable cores by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the reference runs.")] = Path("runs/reference"),
    factor: Annotated[float, typer.Option(help="Budget of a reference run, in target budgets.")] = 5.0,
    points: Annotated[int, typer.Option(help="Evaluations of a reference run, of 5 episodes each.")] = 100,
) -> None:
    """Measure a suite's references.

    Random: the uniform policy over 1,000 episodes. Expert: the best reference learner at a multiple of the target
    budget, its best checkpoint on fresh episodes, mean over its own seeds. Time to threshold: from scratch, in units.
    """
    from tlbench.cli.references import measure
    from tlbench.protocol.discovery import find_suite

    names = [name.strip() for name in tasks.split(",")] if tasks else None
    found = measure(find_suite(suite), learners.split(","), names, seeds, jobs, out, factor, points)
    rows = [
        [
            r.task,
            f"{r.random:.4g} ± {r.random_error:.2g}",
            r.learner,
            f"{r.expert:.5g} ± {r.expert_error:.2g}",
            f"{(r.expert - r.random) / max(r.random_error, r.expert_error, 1e-12):.0f}",
            "never" if r.median_steps is None else f"{r.median_steps:,}",
            f"{r.share_reached:.2f}",
            "-" if r.median_steps is None else f"{r.budget / r.median_steps:.1f}",
        ]
        for r in found
    ]
    header = [
        "task",
        "random",
        "learner",
        "expert",
        "head-room / s.e.",
        "median steps to threshold",
        "reached",
        "budget / median",
    ]
    print_table(f"{suite}: references, {seeds} seeds per learner", header, rows)
