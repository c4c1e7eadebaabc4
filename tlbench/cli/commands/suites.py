"""``tlbench suites [SUITE]``: the suites, or one suite's tasks, budgets, digest and estimated time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tlbench.cli.show import print_table

if TYPE_CHECKING:
    from tlbench.protocol.specs import SuiteSpec


def command(
    suite: Annotated[str | None, typer.Argument(help="A suite's id, name or TOML file; none for a list.")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Method whose time is estimated; by default spam, or one that fits."),
    ] = None,
) -> None:
    """List the suites, or show one suite's tasks, budgets, digest and estimated time."""
    from tlbench.execution.support import cannot_open
    from tlbench.protocol.discovery import find_suite, newer_version, suites
    from tlbench.protocol.errors import TlbenchError

    if suite is None:
        rows = []
        for each in suites().values():
            newer = newer_version(each)
            title = f"{each.title} (corrected by {newer.id})" if newer else each.title
            rows.append([each.id, title, str(len(each.transfers)), str(each.seeds), each.digest[:12]])
        print_table("", ["suite", "title", "transfer tasks", "seeds", "digest"], rows)
        return
    found = find_suite(suite)
    _show(found)
    newer = newer_version(found)
    if newer is not None:
        typer.echo(f"note: {newer.id} corrects this version")
    closed = cannot_open(found)
    if closed:
        raise TlbenchError(closed)
    typer.echo(_time(found, method or _typical(found)))


def _typical(suite: SuiteSpec) -> str:
    """spam, if the suite supports it; else one that does, fine-tuning if possible."""
    from tlbench.execution.selection import MethodChoice
    from tlbench.execution.support import unsupported
    from tlbench.protocol.discovery import methods

    names = sorted(methods(), key=lambda name: (not name.startswith("finetune-"), name))
    for name in ("spam", *names):
        if unsupported(suite, MethodChoice(name), tuple(suite.transfers)) is None:
            return name
    return "spam"


def _show(suite: SuiteSpec) -> None:
    typer.echo(f"{suite.id}: {suite.title}\n{suite.description.strip()}\ndigest {suite.digest}\n")
    rows = []
    for name, spec in suite.transfers.items():
        source, target = (suite.tasks[names[0]] for names in (spec.sources, spec.targets))
        train, learn = source.schedule("source"), target.schedule("target")
        rows.append(
            [
                name,
                spec.relation + ("" if spec.scored else ", unscored"),
                f"{_times(spec.sources)}{train.budget:,}",
                f"{_times(spec.targets)}{learn.budget:,} {target.unit}",
                f"{learn.points} x {learn.episodes}",
                f"{target.random_return:g} / {target.threshold:g} / {target.expert_return:g}",
            ]
        )
    header = ["transfer task", "relation", "source budget", "target budget", "evaluation", "random/threshold/expert"]
    print_table("", header, rows)
    respects = list(dict.fromkeys(key for spec in suite.transfers.values() for key in spec.similarity))
    if respects:
        alike = [[name, *(str(t.similarity.get(key, "")) for key in respects)] for name, t in suite.transfers.items()]
        print_table("", ["similarity", *(key.replace("_", " ") for key in respects)], alike)


def _time(suite: SuiteSpec, method: str) -> str:
    """How long the method takes here, with experts and controls and without."""
    from tlbench.cli.api import usable_cores
    from tlbench.cli.clock import duration
    from tlbench.execution.estimate import Estimator
    from tlbench.execution.plan import make_plan
    from tlbench.execution.selection import MethodChoice

    choice = MethodChoice(method)
    plan = make_plan(suite, choice, tuple(suite.transfers), tuple(range(suite.seeds)))
    estimator, cores = Estimator(suite, method=choice), usable_cores()
    cold, warm = estimator.total(plan.nodes(), cores), estimator.total((*plan.knowledge, *plan.runs), cores)
    return (
        f"{method} with {suite.seeds} seeds on {cores} cores here: about {duration(cold)}, and about {duration(warm)} "
        "for another method once experts and controls exist"
    )


def _times(tasks: Sequence[str]) -> str:
    return f"{len(tasks)} x " if len(tasks) > 1 else ""
