"""Measures the references of a suite: random and expert returns, and times to threshold from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlbench.analysis.metrics import time_to_threshold
from tlbench.baselines.random_policy import UniformPolicy
from tlbench.cli.api import usable_cores
from tlbench.cli.progress import make_progress
from tlbench.execution.estimate import Estimator
from tlbench.execution.executors.local import LocalExecutor
from tlbench.execution.plan import ExpertNode, Plan, expert_key
from tlbench.execution.runner import run_plan
from tlbench.execution.selection import control_choice, find_learner
from tlbench.execution.store import Store
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record
from tlbench.protocol.specs import Schedule, SuiteSpec, TaskSpec
from tlbench.protocol.task import HarnessTask

POINTS = 100
EPISODES = 5
LAST_SHARE = 10
"""Of lifetimes, an expert may be the mean of the last tenth of its points as well: their returns saturate, and the best
of the points by so few episodes is the first lucky one."""
RANDOM_EPISODES = 1000
FIRST_SEED = 1000
LANES = 500


@dataclass(frozen=True)
class Measured:
    """References of one task under one learner.

    Attributes:
        task: The task.
        budget: Its target budget.
        random: Mean return of the uniform policy.
        random_error: Its standard error.
        learner: The learner.
        expert: Mean return of the learner's best checkpoints; of lifetimes, of its last points if that is more.
        expert_error: Its standard error over seeds.
        median_steps: Median time to threshold, ``None`` if most seeds never reach it.
        share_reached: Share of seeds that reach it.
    """

    task: str
    budget: int
    random: float
    random_error: float
    learner: str
    expert: float
    expert_error: float
    median_steps: int | None
    share_reached: float


def measure(
    suite: SuiteSpec,
    learners: Sequence[str],
    tasks: Sequence[str] | None,
    seeds: int,
    jobs: int | None,
    out: Path,
    factor: float = 5.0,
    points: int = POINTS,
) -> list[Measured]:
    """Measure a suite's references.

    Args:
        suite: The suite.
        learners: Ids of the reference learners.
        tasks: Only these tasks; all targets by default.
        seeds: Seeds per learner.
        jobs: Processes.
        out: Folder for the runs, which are kept and not run again.
        factor: Budget of a reference run, as a multiple of the target budget.
        points: Evaluations of a reference run.

    Raises:
        TlbenchError: If a task or learner is unknown, the factor or the points are too small, or a run failed.
    """
    if factor <= 0:
        raise TlbenchError(f"a reference run needs a positive multiple of the target budget, not {factor:g}")
    if points < 2:
        raise TlbenchError(f"a reference run needs at least two evaluation points, not {points}")
    targets = [name for name, task in suite.tasks.items() if task.target is not None]
    for name in tasks or ():
        if name not in targets:
            raise TlbenchError(f"{suite.id} has no target {name!r}; it has: {', '.join(targets)}")
    longer = suite.model_copy(update={"tasks": {n: _longer(t, factor, points) for n, t in suite.tasks.items()}})
    chosen = [name for name in targets if tasks is None or name in tasks]
    numbers = range(FIRST_SEED, FIRST_SEED + seeds)
    nodes = {
        (task, learner): [
            ExpertNode(expert_key(longer, task, find_learner(learner).id, seed), task, learner, seed)
            for seed in numbers
        ]
        for task in chosen
        for learner in learners
    }
    store = Store(out, longer)
    store.open()
    _run(store, [node for group in nodes.values() for node in group], jobs or usable_cores())
    random = {task: random_returns(suite.tasks[task]) for task in chosen}
    return [
        _measured(suite.tasks[task], task, learner, random[task], [store.load_expert(n.key)[1] for n in group], factor)
        for (task, learner), group in nodes.items()
    ]


def random_returns(task: TaskSpec, episodes: int = RANDOM_EPISODES) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Returns of the uniform policy, ``[episodes]``."""
    harness = HarnessTask(task, "target", FIRST_SEED)
    returns: list[float] = []
    for start in range(0, episodes, LANES):
        policy = UniformPolicy(harness.interface.action_space, np.random.default_rng([FIRST_SEED, start]))
        outcome = HarnessTask(task, "target", FIRST_SEED + start).fresh_evaluation(policy, min(LANES, episodes - start))
        assert outcome is not None
        returns += outcome.returns
    return np.array(returns)


def _longer(task: TaskSpec, factor: float, points: int) -> TaskSpec:
    if task.target is None:
        return task
    longer = task.target.scaled(factor)
    schedule = Schedule(budget=longer.budget, points=points, episodes=EPISODES)
    return task.model_copy(update={"source": schedule, "wall_limit": factor * task.wall_limit})


def _run(store: Store, nodes: list[ExpertNode], jobs: int) -> None:
    plan = Plan(control_choice(nodes[0].learner), tuple(nodes), (), (), (), False)
    missing = [node for node in nodes if store.find_expert(node.key) is None]
    estimator = Estimator(store.suite)
    with store.locked(), make_progress(missing, jobs, estimator, enabled=True) as observer:
        outcome = run_plan(
            plan, store, LocalExecutor(jobs), observer, device="cpu", cost=estimator.node, todo=list(missing)
        )
    if outcome.failed:
        label, error = next(iter(outcome.failed.items()))
        raise TlbenchError(f"{len(outcome.failed)} reference runs failed, the first: {label}: {error}")


def _measured(
    task: TaskSpec,
    name: str,
    learner: str,
    random: np.ndarray[tuple[int], np.dtype[np.float64]],
    records: list[Record],
    factor: float,
) -> Measured:
    experts = np.array([record.diagnostics["mean_return"] for record in records], dtype=np.float64)
    budget = task.schedule("target").budget
    curves = np.array([[float(np.mean(point.returns)) for point in record.curve] for record in records])
    fractions = np.array([point.fraction for point in records[0].curve])
    if task.unit == "episodes":
        last = curves[:, -len(fractions) // LAST_SHARE :].mean(axis=1)
        experts = max(experts, last, key=np.mean)
    times, reached = time_to_threshold(curves, fractions, task.threshold)
    median = float(np.median(np.where(reached, times, np.inf)))
    return Measured(
        task=name,
        budget=budget,
        random=float(random.mean()),
        random_error=_standard_error(random),
        learner=learner,
        expert=float(experts.mean()),
        expert_error=_standard_error(experts),
        median_steps=round(median * factor * budget) if np.isfinite(median) else None,
        share_reached=float(np.mean(reached)),
    )


def _standard_error(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("inf")
