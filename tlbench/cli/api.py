"""``tlbench.evaluate``: plans, runs what is missing, and gives back the results."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlbench.analysis.load import load_curves
from tlbench.analysis.results import Summary
from tlbench.analysis.summary import summarise
from tlbench.analysis.tables import suite_frame, task_frame
from tlbench.cli.progress import make_progress
from tlbench.execution.estimate import Estimator
from tlbench.execution.executors.place import Place
from tlbench.execution.plan import Node, Plan, make_plan
from tlbench.execution.runner import Outcome, missing_nodes, run_plan
from tlbench.execution.selection import MethodChoice, parse_seeds, parse_transfers
from tlbench.execution.store import Store
from tlbench.protocol.discovery import find_suite
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec

if TYPE_CHECKING:
    import pandas as pd

FAILURES = "failures.log"
"""File in a suite's folder with the tracebacks of the last call in which something failed."""


@dataclass(frozen=True)
class Request:
    """An evaluation that has been checked and planned, but not run.

    Attributes:
        suite: The suite (in its quick form, if asked for).
        plan: All nodes.
        store: Where results go.
        todo: The nodes that are missing.
        jobs: Processes; as many as there is room for if ``None``.
        device: Torch device.
        place: Where they run.
        checkpoint_minutes: Minutes between checkpoints of a run under way; 0 for none.
    """

    suite: SuiteSpec
    plan: Plan
    store: Store
    todo: list[Node]
    jobs: int | None
    device: str
    place: Place = field(default_factory=Place)
    checkpoint_minutes: float = 10.0

    def estimator(self) -> Estimator:
        """Estimates the time of nodes, from earlier results where there are any."""
        return Estimator(self.suite, self.store, self.plan.choice)


@dataclass(frozen=True)
class Evaluation:
    """A method's results on a suite.

    Attributes:
        suite: The suite.
        plan: What was planned.
        store: Where the records are.
        outcome: What was done now, and what failed.
    """

    suite: SuiteSpec
    plan: Plan
    store: Store
    outcome: Outcome

    @property
    def complete(self) -> bool:
        """Whether every transfer task and seed of the suite is there, so that it can be submitted."""
        return self.plan.complete and not self.outcome.failed and not self.outcome.skipped

    def records(self) -> list[Record]:
        """The method's runs and their controls that are in the store."""
        nodes = (*self.plan.controls, *self.plan.runs)
        found = [self.store.find_record(node.name, node.key) for node in nodes]
        return [record for record in found if record is not None]

    def summary(self) -> Summary:
        """All metrics with intervals."""
        return self.results()[0]

    def results(self) -> tuple[Summary, list[str]]:
        """The same, and what a reader must know of it: what is incomplete, diverged or abstained, one line each.

        Raises:
            TlbenchError: If no run is finished with its control.
        """
        entry, config_hash = self.plan.choice.entry(), self.plan.choice.config_hash()
        return summary_of(self.suite, self.records(), only={(entry.id, config_hash)})

    def to_frame(self) -> pd.DataFrame:
        """One row per transfer task, every metric with its interval."""
        return task_frame(self.summary())

    def suite_frame(self) -> pd.DataFrame:
        """One row: the method on the whole suite."""
        return suite_frame(self.summary())


def summary_of(
    suite: SuiteSpec, records: Sequence[Record], only: set[tuple[str, str]] | None = None
) -> tuple[Summary, list[str]]:
    """All metrics of the methods in a set of records, and what is incomplete.

    Args:
        suite: The suite.
        records: Runs and controls.
        only: (method id, configuration hash) of the methods wanted; ``None`` for all.

    Raises:
        TlbenchError: If no method wanted has a run with its control.
    """
    wanted = [r for r in records if only is None or (r.method and (r.method.id, r.config_hash) in only)]
    control_keys = {r.control_key for r in wanted}
    keys = {r.key for r in wanted}
    controls = [r for r in records if r.key in control_keys and r.key not in keys]
    loaded = load_curves(suite, [*wanted, *controls])
    labels = {r.method.id for r in wanted if r.method}
    methods = {label: curves for label, curves in loaded.methods.items() if label.partition("#")[0] in labels}
    if not methods:
        raise TlbenchError(f"there is no finished run with its control on {suite.id} yet")
    scored = [name for name, transfer in suite.transfers.items() if transfer.scored]
    notes = [note for note in loaded.notes if note.partition(":")[0].partition("#")[0] in labels]
    return summarise(methods, scored_tasks=scored), notes


def prepare(
    method: str,
    suite: str | SuiteSpec,
    *,
    out: str | os.PathLike[str] = "runs",
    seeds: str | Iterable[int] | None = None,
    tasks: str | Iterable[str] | None = None,
    jobs: int | None = None,
    device: str = "cpu",
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    runs_per_gpu: int = 1,
    checkpoint_minutes: float = 10.0,
    read_only: bool = False,
) -> Request:
    """Check and plan an evaluation; the arguments are those of :func:`evaluate`.

    ``read_only`` leaves the folder alone (``--dry-run``).

    Raises:
        TlbenchError: If anything asked for is wrong.
    """
    spec = suite if isinstance(suite, SuiteSpec) else find_suite(suite)
    spec = spec.quick_form() if quick else spec
    seeds_text = seeds if seeds is None or isinstance(seeds, str) else ",".join(str(seed) for seed in seeds)
    tasks_text = tasks if tasks is None or isinstance(tasks, str) else ",".join(tasks)
    chosen = parse_transfers(tasks_text, spec), parse_seeds(seeds_text, spec)
    place = Place(executor, ray_address, runs_per_gpu)
    place.check(device)
    if executor == "local":  # a cluster's nodes may have what this machine has not
        check_device(device)
    if jobs is not None and jobs < 1:
        raise TlbenchError(f"--jobs must be at least 1, not {jobs}")
    if not 0 <= checkpoint_minutes < math.inf:
        raise TlbenchError(f"--checkpoint-minutes must be at least 0 (none), not {checkpoint_minutes:g}")
    plan = make_plan(spec, MethodChoice(method, dict(settings or {})), *chosen)
    store = Store(Path(out), spec)
    if not read_only:
        store.open()
    elif store.folder.exists():
        store.check_digest()
    return Request(spec, plan, store, missing_nodes(plan, store), jobs, device, place, checkpoint_minutes)


def evaluate(
    method: str,
    suite: str | SuiteSpec = "classic",
    *,
    out: str | os.PathLike[str] = "runs",
    seeds: str | Iterable[int] | None = None,
    tasks: str | Iterable[str] | None = None,
    jobs: int | None = None,
    device: str = "cpu",
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    runs_per_gpu: int = 1,
    checkpoint_minutes: float = 10.0,
    progress: bool = True,
) -> Evaluation:
    """Evaluate a method on a suite; runs that are already in ``out`` are not run again.

    Args:
        method: A method's id or alias (``tlbench methods``), or ``path/to/file.py[:Class]``.
        suite: A suite's id or name (``tlbench suites``), or a TOML file.
        out: Folder for the results; the suite gets a folder of its own in it.
        seeds: Run seeds, all by default; a subset is incomplete.
        tasks: Transfer tasks, all by default; a subset is incomplete.
        jobs: Processes, one torch thread each; all usable cores, or all of the cluster, by default.
        device: Torch device.
        quick: Two seeds, a few transfer tasks, a tenth of the budgets; can't be submitted.
        settings: The method's settings; ``learner.`` keys are its learner's on the target.
        executor: ``local``, or ``ray`` for a cluster.
        ray_address: The Ray cluster's ``host:port``; by default the one on this machine, or a new one.
        runs_per_gpu: With Ray and ``device="cuda"``: how many runs share a GPU.
        checkpoint_minutes: Minutes between checkpoints of a run under way, from which it goes on if it is stopped; 0
            for none. Not with Ray.
        progress: Whether to show progress on standard error.

    Returns:
        The results.

    Raises:
        TlbenchError: If anything asked for is wrong, another process uses the folder, or it can't be written.
    """
    request = prepare(
        method,
        suite,
        out=out,
        seeds=seeds,
        tasks=tasks,
        jobs=jobs,
        device=device,
        quick=quick,
        settings=settings,
        executor=executor,
        ray_address=ray_address,
        runs_per_gpu=runs_per_gpu,
        checkpoint_minutes=checkpoint_minutes,
    )
    evaluation = run(request, progress=progress)
    if evaluation.outcome.failed:
        label, error = next(iter(evaluation.outcome.failed.items()))
        count, log = len(evaluation.outcome.failed), evaluation.store.folder / FAILURES
        warnings.warn(f"{count} failed, the first: {label}: {error}; {log} has all", stacklevel=2)
    return evaluation


def run(request: Request, *, progress: bool = True) -> Evaluation:
    """Run a planned evaluation.

    Raises:
        TlbenchError: If another process uses the folder, it can't be written, or the cluster can't be reached.
    """
    estimator = request.estimator()
    with request.store.locked():
        todo = missing_nodes(request.plan, request.store)
        executor = request.place.open(request.jobs, request.device, usable_cores())
        with make_progress(todo, executor.slots, estimator, enabled=progress) as observer:
            outcome = run_plan(
                request.plan,
                request.store,
                executor,
                observer,
                device=request.device,
                cost=estimator.node,
                todo=todo,
                checkpoint_every=60 * request.checkpoint_minutes,
            )
    _log_failures(request.store.folder / FAILURES, outcome)
    return Evaluation(request.suite, request.plan, request.store, outcome)


def _log_failures(log: Path, outcome: Outcome) -> None:
    """Tracebacks for who wrote the method."""
    with contextlib.suppress(OSError):  # a full disk: what failed is said all the same
        if outcome.failed:
            details = [f"{label}\n{outcome.details.get(label, error)}" for label, error in outcome.failed.items()]
            log.write_text("\n".join(details), encoding="utf-8")


def usable_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def check_device(device: str) -> None:
    """Hold a device against what torch has.

    Raises:
        TlbenchError: If there is no such device.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise TlbenchError(f"there is no torch device {device!r} here; --device cpu works everywhere") from None
