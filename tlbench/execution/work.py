"""Does one node: trains an expert, extracts knowledge, or makes a run; then writes it to the store."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tlbench.execution.checkpoints import Checkpointing, NodeCheckpoint, remove
from tlbench.execution.facts import checked_json, curve_of, reads_of, training_of
from tlbench.execution.plan import ExpertNode, KnowledgeNode, Node, RunNode
from tlbench.execution.selection import MethodChoice, configured, control_choice, find_learner, learner_identity
from tlbench.execution.store import Store
from tlbench.protocol.checkpoint import ReplayError
from tlbench.protocol.discovery import import_environments
from tlbench.protocol.errors import BudgetExhausted, DivergedError, ProtocolViolationError, TlbenchError
from tlbench.protocol.evaluation import untouched_randomness
from tlbench.protocol.given import GivenTask
from tlbench.protocol.interface import (
    Context,
    Expert,
    Knowledge,
    Params,
    Policy,
    learn_from_scratch,
    training_facts,
)
from tlbench.protocol.records import CONTROL_ARM, Configured, ExpertUsed, Record, Steps
from tlbench.protocol.sealing import sealed
from tlbench.protocol.seeding import derive_seed, seed_everything
from tlbench.protocol.specs import EXTRACTION_ALLOWANCE, SuiteSpec
from tlbench.protocol.task import HarnessTask, agent_seed
from tlbench.protocol.vector import environment_spec

FRESH_EPISODES = 100
"""Episodes of an expert's final evaluation on start states of its own."""

ABSTENTION = "abstention"
"""The diagnostic that says why there is no knowledge, where learning it diverged."""


@dataclass(frozen=True)
class Job:
    """One node with all that a worker needs.

    Attributes:
        node: The node.
        choice: The method (for knowledge nodes; a run carries its own).
        store: Where to read and write.
        device: Torch device.
        provenance: Facts about the machine, for the record.
        checkpointing: How it is saved while it is under way; ``None``: not at all.
    """

    node: Node
    choice: MethodChoice
    store: Store
    device: str
    provenance: Mapping[str, Any]
    checkpointing: Checkpointing | None = None

    def checkpoint(self) -> NodeCheckpoint | None:
        """The node's checkpoint, if there are to be any."""
        if self.checkpointing is None:
            return None
        return NodeCheckpoint(self.store.folder, self.node.key, self.node.label, self.checkpointing)


def work(job: Job) -> None:
    """Do a node and write it.

    Raises:
        TlbenchError: If a file can't be written or the method broke a rule.
        Exception: Whatever the method raised.
    """
    import_environments()
    job.choice.entry()  # a method's file may bring its learner
    try:
        _do(job)
    except ReplayError as problem:
        print(f"{job.node.label}: {problem}; it starts from nothing", file=sys.stderr, flush=True)
        remove(job.store.folder, job.node.key)
        _do(job)
    remove(job.store.folder, job.node.key)


def _do(job: Job) -> None:
    seed_everything(derive_seed("global", job.node.key))
    started = time.perf_counter()
    with sealed(*environment_modules(job.store.suite)):  # whatever of the method runs: its __init__, too
        if isinstance(job.node, ExpertNode):
            _train_expert(job, job.node, started)
        elif isinstance(job.node, KnowledgeNode):
            _extract(job, job.node, started)
        else:
            _run(job, job.node, started)


def environment_modules(suite: SuiteSpec) -> list[str]:
    """The modules of a suite's environments, where they have one of their own."""
    specs = [environment_spec(task.environment) for task in suite.tasks.values() if task.unit != "episodes"]
    points = [point for spec in specs for point in (spec.entry_point, spec.vector_entry_point)]
    names = {p.partition(":")[0] if isinstance(p, str) else getattr(p, "__module__", None) for p in points}
    return sorted(name for name in names if name is not None)


def _train_expert(job: Job, node: ExpertNode, started: float) -> None:
    suite = job.store.suite
    spec = suite.tasks[node.task]
    learner = find_learner(node.learner)
    config = configured(learner.Config, {}, learner.id)
    checkpoint = job.checkpoint()
    kept: dict[int, Params] = checkpoint.points if checkpoint is not None else {}
    task = HarnessTask(
        spec,
        "source",
        node.seed,
        discrete=learner.discrete_only,
        on_point=lambda point: kept.update({point: agent.params()}),
        keeper=checkpoint,
    )
    agent = learner.build(task.interface, config, agent_seed(spec, "source", node.seed), job.device)
    start = agent.params()
    diverged: DivergedError | None = None
    with sealed():  # raises here what the method swallowed, before anything is written
        try:
            agent.train(GivenTask(task))
            points = task.finish()
        except DivergedError as problem:
            diverged, points = problem, task.abandon()
    curve = curve_of(task, points, diverged)
    best = max(range(len(curve)), key=lambda i: float(np.mean(curve[i].returns)), default=None)
    if spec.evaluator == "alignment" and curve:
        best = len(curve) - 1  # a source has nothing to be aligned with: the last is the expert
    params = start if best is None else kept[best]
    best_agent = learner.build(task.interface, config, agent_seed(spec, "source", node.seed), job.device)
    best_agent.load(params)
    fresh = task.fresh_evaluation(best_agent.policy, FRESH_EPISODES)
    mean_return = float(np.mean(fresh.returns)) if fresh else spec.random_return
    record = Record(
        kind="expert",
        key=node.key,
        **_suite_fields(suite),
        transfers=(),
        sources=(),
        target=node.task,
        method=None,
        learner=Configured(**learner_identity(learner, {})),
        config_hash=control_choice(learner.id).config_hash(),
        seed=node.seed,
        expert_seed=None,
        knowledge_key=None,
        control_key=None,
        experts=(),
        steps=Steps(unit=task.unit, source=task.spent, extraction=0, target=0),
        gradient_steps=agent.gradient_steps,
        curve=curve,
        training=training_of(task),
        diagnostics={
            **{name: value for name, value in training_facts(agent).items() if name != "gradient_steps"},
            "mean_return": mean_return,
            "best_point": best,
            **reads_of(task.reads),
        },
        diverged=diverged is not None or len(curve) < len(task.fractions),
        provenance=_provenance(job, started, checkpoint),
    )
    job.store.write_expert(node.key, params, record)


def _extract(job: Job, node: KnowledgeNode, started: float) -> None:
    method, learner = job.choice.method(), job.choice.learner()
    suite = job.store.suite
    experts, used, source_steps = [], [], 0
    for node_of in node.experts:
        expert, record = _load_expert(job.store, node_of)
        experts.append(expert)
        used.append(ExpertUsed(key=node_of.key, task=node_of.task, mean_return=expert.mean_return).model_dump())
        source_steps += record.steps.source
    tasks = [_source_task(suite, name, node.seed, learner, bool(experts)) for name in node.sources]
    ctx = Context(
        seed=derive_seed("knowledge", node.key),
        device=job.device,
        learner=learner,
        learner_config=configured(learner.Config, {}, learner.id) if learner else None,
        agent_seed=derive_seed("source-agent", node.key),
    )
    knowledge: Knowledge | None = None
    why: dict[str, str] = {}
    with sealed():  # raises here what the method swallowed, before anything is written
        try:
            knowledge = method.learn_source([GivenTask(task) for task in tasks], experts, ctx)
        except BudgetExhausted:
            raise ProtocolViolationError(
                "the source budget ran out inside learn_source: catch BudgetExhausted there and return the knowledge"
            ) from None
        except DivergedError as problem:
            why = {ABSTENTION: f"learning on the source diverged: {problem}"}
            print(f"{node.label}: learning diverged ({problem}): the method abstains", file=sys.stderr, flush=True)
    if knowledge is not None and not isinstance(knowledge, Knowledge):
        raise ProtocolViolationError(f"learn_source returned {type(knowledge).__name__}, not Knowledge or None")
    if knowledge is not None and not all(bool(torch.isfinite(t).all()) for t in knowledge.tensors.values()):
        raise ProtocolViolationError("learn_source returned knowledge that is not finite")
    if knowledge is not None:
        for name, content in (("data", knowledge.data), ("diagnostics", knowledge.diagnostics)):
            checked_json(content, f"knowledge {name}")
    spent = sum(task.spent for task in tasks)
    steps = {"source": source_steps if experts else spent, "extraction": spent if experts else 0}
    reads = reads_of({name for task in tasks for name in task.reads})
    facts = {"experts": used, "steps": steps, **reads, **why, "provenance": _provenance(job, started)}
    job.store.write_knowledge(node.key, knowledge, facts)


def _load_expert(store: Store, node: ExpertNode) -> tuple[Expert, Record]:
    params, record = store.load_expert(node.key)
    learner = find_learner(node.learner)
    task = HarnessTask(store.suite.tasks[node.task], "source", node.seed, discrete=learner.discrete_only)
    config = configured(learner.Config, {}, learner.id)
    mean_return = float(record.diagnostics["mean_return"])
    return Expert(params, task.interface, learner, config, node.seed, mean_return), record


def _base_model(job: Job, node: RunNode) -> Policy | None:
    """The policy of a run's first expert, where the target's embeddings are to be held against it."""
    if job.store.suite.tasks[node.target].pairs is None or node.knowledge is None or not node.knowledge.experts:
        return None
    with untouched_randomness():
        return _load_expert(job.store, node.knowledge.experts[0])[0].agent(job.device).policy.frozen()


def _source_task(suite: SuiteSpec, name: str, seed: int, learner: Any, has_experts: bool) -> HarnessTask:
    spec = suite.tasks[name]
    budget = spec.schedule("source").budget
    share = int(EXTRACTION_ALLOWANCE * budget) if has_experts else budget
    return HarnessTask(spec, "source", seed, discrete=bool(learner and learner.discrete_only), budget=share)


def _run(job: Job, node: RunNode, started: float) -> None:
    suite = job.store.suite
    method, learner = node.choice.method(), node.choice.learner()
    knowledge, facts = _knowledge_of(job.store, node)
    abstained = node.knowledge is not None and knowledge is None
    settings = node.control_settings if abstained else node.learner_settings
    spec = suite.tasks[node.target]
    base = None if abstained else _base_model(job, node)
    checkpoint, discrete = job.checkpoint(), bool(learner and learner.discrete_only)
    task = HarnessTask(spec, "target", node.seed, discrete=discrete, base=base, keeper=checkpoint)
    ctx = Context(
        # an abstaining run is the control's: nothing of the method may reach it
        seed=derive_seed("method", node.control_key or node.key if abstained else node.key),
        device=job.device,
        learner=learner,
        learner_config=configured(learner.Config, dict(settings), learner.id) if learner else None,
        agent_seed=agent_seed(spec, "target", node.seed),
    )
    if abstained:
        seed_everything(derive_seed("global", node.control_key or node.key))
    diverged: DivergedError | None = None
    with sealed():  # raises here what the method swallowed, before anything is written
        try:
            with contextlib.suppress(BudgetExhausted):
                if abstained and learner is not None:
                    learn_from_scratch(GivenTask(task), ctx)
                else:
                    method.learn_target(GivenTask(task), knowledge, ctx)
            points = task.finish()
        except DivergedError as problem:
            diverged, points = problem, task.abandon()
    curve = curve_of(task, points, diverged)
    gradient_steps = ctx.diagnostics.pop("gradient_steps", None)
    diagnostics = {**(dict(knowledge.diagnostics) if knowledge else {}), **ctx.diagnostics}
    diagnostics |= reads_of({*task.reads, *facts.get("reads", [])})
    diagnostics |= CONTROL_ARM if method.uses_source and node.knowledge is None else {}
    diagnostics |= {ABSTENTION: facts[ABSTENTION]} if ABSTENTION in facts else {}
    alignment = task.alignment()
    if alignment is not None:
        diagnostics["alignment"] = alignment
    within = task.within_lifetime()
    if within is not None:
        diagnostics["within_lifetime"] = within
    record = Record(
        kind="run",
        key=node.key,
        **_suite_fields(suite),
        transfers=node.transfers,
        sources=node.sources,
        target=node.target,
        method=Configured(**node.choice.identity()),
        learner=Configured(**learner_identity(learner, dict(settings))) if learner else None,
        config_hash=node.choice.config_hash(),
        seed=node.seed,
        expert_seed=node.expert_seed,
        knowledge_key=node.knowledge.key if node.knowledge else None,
        control_key=node.control_key,
        experts=tuple(ExpertUsed(**used) for used in facts.get("experts", [])),
        steps=Steps(
            unit=task.unit,
            source=facts.get("steps", {}).get("source", 0),
            extraction=facts.get("steps", {}).get("extraction", 0),
            target=task.spent,
        ),
        gradient_steps=int(gradient_steps) if isinstance(gradient_steps, int) else None,
        curve=curve,
        training=training_of(task),
        diagnostics=checked_json(diagnostics, "diagnostics"),
        abstained=abstained,
        diverged=diverged is not None or len(curve) < len(task.fractions),
        provenance=_provenance(job, started, checkpoint),
    )
    job.store.write_record(node.name, record)


def _knowledge_of(store: Store, node: RunNode) -> tuple[Knowledge | None, Mapping[str, Any]]:
    if node.knowledge is None:
        return None, {}
    found = store.find_knowledge(node.knowledge.key)
    if found is None:
        raise TlbenchError(f"{node.knowledge.label} is missing or damaged: run the same command again")
    return found


def _suite_fields(suite: SuiteSpec) -> dict[str, Any]:
    return {"suite": suite.id, "digest": suite.digest, "submittable": suite.submittable}


def _provenance(job: Job, started: float, checkpoint: NodeCheckpoint | None = None) -> dict[str, Any]:
    seconds = time.perf_counter() - started
    resumed: dict[str, Any] = {}
    if checkpoint is not None and checkpoint.resumed:
        seconds, resumed = seconds + checkpoint.seconds, {"resumed": checkpoint.resumed}
    return {**job.provenance, "device": job.device, "wall_seconds": round(seconds, 3), **resumed}
