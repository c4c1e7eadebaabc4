"""Runs a plan: what is missing, after what it needs, several jobs at a time; one failure never ends the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tlbench.execution.checkpoints import Checkpointing, remove
from tlbench.execution.executors import Ending, Executor
from tlbench.execution.plan import ExpertNode, KnowledgeNode, Node, Plan, needs
from tlbench.execution.provenance import environment
from tlbench.execution.store import Store
from tlbench.execution.work import Job
from tlbench.protocol.errors import StorageError

WAIT_SECONDS = 0.5


class Observer(Protocol):
    """Is told what happens; shows progress."""

    def started(self, node: Node) -> None:
        """A node was started."""

    def ended(self, node: Node, ending: Ending) -> None:
        """A node ended, well or not."""

    def tick(self) -> None:
        """Time has passed."""


@dataclass
class Outcome:
    """How a plan ended.

    Attributes:
        done: Nodes that were done now.
        failed: What failed: label and one line each.
        details: Tracebacks by label, where there are any.
        skipped: Nodes left out because something they need failed.
    """

    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def missing_nodes(plan: Plan, store: Store) -> list[Node]:
    """The nodes of a plan that are not in the store; damaged ones are set aside and count as missing.

    Experts and knowledge are wanted only if a missing run needs them, but for an expert whose record is damaged or of
    another suite: as long as it lies there, nothing can be submitted.
    """
    runs: list[Node] = [n for n in (*plan.controls, *plan.runs) if store.find_record(n.name, n.key) is None]
    wanted = {k.key for run in runs if (k := getattr(run, "knowledge", None)) is not None}
    knowledge: list[Node] = [k for k in plan.knowledge if k.key in wanted and store.find_knowledge(k.key) is None]
    needed = {e.key for k in knowledge if isinstance(k, KnowledgeNode) for e in k.experts}
    experts: list[Node] = [
        e
        for e in plan.experts
        if store.has_unusable_expert(e.key) or (e.key in needed and store.find_expert(e.key) is None)
    ]
    return [*experts, *knowledge, *runs]


def run_plan(
    plan: Plan,
    store: Store,
    executor: Executor,
    observer: Observer,
    *,
    device: str,
    cost: Callable[[Node], float],
    todo: list[Node] | None = None,
    checkpoint_every: float = 0.0,
) -> Outcome:
    """Do the missing nodes of a plan.

    Args:
        plan: The plan.
        store: An opened and locked store.
        executor: Where jobs run.
        observer: Is told what happens.
        device: Torch device.
        cost: Estimated seconds of a node; the dearest ready node goes first.
        todo: The missing nodes, if known.
        checkpoint_every: Seconds between checkpoints of nodes under way; 0 for none.

    Raises:
        StorageError: If results can't be written; finished nodes are kept.
    """
    pending = {node.key: node for node in (missing_nodes(plan, store) if todo is None else todo)}
    waiting_for = {key: {k for k in needs(node) if k in pending} for key, node in pending.items()}
    order = sorted(pending, key=lambda key: (stage(pending[key]), -cost(pending[key])))
    outcome, running, provenance = Outcome(), dict[str, Node](), environment()
    limits = _wall_limits(plan, store)
    for node in plan.nodes():
        if node.key not in pending:  # it may have been stopped between its record and that
            remove(store.folder, node.key)
    checkpointing = Checkpointing.here(checkpoint_every, provenance, device) if checkpoint_every and pending else None
    try:
        while pending or running:
            for key in [k for k in order if k in pending and not waiting_for[k]]:
                if len(running) >= executor.slots:
                    break
                node = running[key] = pending.pop(key)
                executor.submit(Job(node, plan.choice, store, device, provenance, checkpointing), limits[key])
                observer.started(node)
            for ending in executor.wait(WAIT_SECONDS):
                node = running.pop(ending.key)
                observer.ended(node, ending)
                if ending.error is None:
                    outcome.done += 1
                    for before in waiting_for.values():
                        before.discard(ending.key)
                    continue
                if ending.fatal:
                    raise StorageError(ending.error)
                outcome.failed[node.label] = ending.error
                if ending.detail:
                    outcome.details[node.label] = ending.detail
                _skip(ending.key, pending, waiting_for, outcome)
            observer.tick()
    finally:
        executor.close()
    return outcome


def stage(node: Node) -> int:
    """Experts first, since others wait for them; then knowledge; then runs."""
    return 0 if isinstance(node, ExpertNode) else 1 if isinstance(node, KnowledgeNode) else 2


def _wall_limits(plan: Plan, store: Store) -> Mapping[str, float]:
    tasks = store.suite.tasks
    limits: dict[str, float] = {}
    for node in plan.nodes():
        if isinstance(node, ExpertNode):
            limits[node.key] = tasks[node.task].wall_limit
        elif isinstance(node, KnowledgeNode):
            limits[node.key] = sum(tasks[name].wall_limit for name in node.sources)
        else:
            limits[node.key] = tasks[node.target].wall_limit
    return limits


def _skip(key: str, pending: dict[str, Node], waiting_for: Mapping[str, set[str]], outcome: Outcome) -> None:
    for other in [k for k in pending if key in waiting_for[k]]:
        outcome.skipped.append(pending.pop(other).label)
        _skip(other, pending, waiting_for, outcome)
