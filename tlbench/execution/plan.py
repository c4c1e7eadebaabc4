"""From a suite and a method to nodes: experts, knowledge, controls and runs, each keyed by what it depends on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tlbench.execution.selection import MethodChoice, control_choice, learner_identity, sources_of
from tlbench.execution.support import check_settings, check_support
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec, TransferSpec, digest_of

PROTOCOL = 1
"""Version of the harness's semantics; part of every key."""

LONGEST_NAME = 120
"""Characters of a record's file name that tell what it is of; the key tells the rest."""

EXPERT_SEED_STRIDE = 1000
"""Distance between the seeds of several experts of one source and seed."""


@dataclass(frozen=True)
class ExpertNode:
    """A learner to be trained on a source."""

    key: str
    task: str
    learner: str
    seed: int

    @property
    def label(self) -> str:
        """For people."""
        return f"expert {self.learner} on {self.task}, seed {self.seed}"


@dataclass(frozen=True)
class KnowledgeNode:
    """Knowledge to be extracted from experts or sources."""

    key: str
    sources: tuple[str, ...]
    experts: tuple[ExpertNode, ...]
    seed: int

    @property
    def label(self) -> str:
        """For people."""
        return f"knowledge from {', '.join(self.sources)}, seed {self.seed}"


@dataclass(frozen=True)
class RunNode:
    """One run.

    Attributes:
        key: Hash of what the run depends on.
        name: Path of the record below ``records/``, without suffix.
        choice: The method (a control's is the learner from scratch).
        label: For people.
        transfers: Every transfer task of the suite that the run serves.
        sources: Source tasks that the method takes, none for a run without knowledge.
        target: The target task or instance.
        learner_settings: Settings on top of the learner's default on the target.
        control_settings: The same for its control.
        seed: The run's seed.
        expert_seed: Seed of its experts, if it has any.
        knowledge: Its knowledge, if any.
        control_key: Key of its control.
    """

    key: str
    name: str
    choice: MethodChoice
    label: str
    transfers: tuple[str, ...]
    sources: tuple[str, ...]
    target: str
    learner_settings: tuple[tuple[str, Any], ...]
    control_settings: tuple[tuple[str, Any], ...]
    seed: int
    expert_seed: int | None
    knowledge: KnowledgeNode | None
    control_key: str | None


Node = ExpertNode | KnowledgeNode | RunNode


def needs(node: Node) -> list[str]:
    """Keys of the nodes that come right before one."""
    if isinstance(node, ExpertNode):
        return []
    if isinstance(node, KnowledgeNode):
        return [expert.key for expert in node.experts]
    return [node.knowledge.key] if node.knowledge else []


@dataclass(frozen=True)
class Plan:
    """All nodes of one evaluation, in an order in which each comes after what it needs.

    Attributes:
        choice: The method.
        experts: Experts.
        knowledge: Knowledge.
        controls: The controls' runs that are not the method's own.
        runs: The method's runs.
        complete: Whether all the suite's transfer tasks and seeds are in it.
    """

    choice: MethodChoice
    experts: tuple[ExpertNode, ...]
    knowledge: tuple[KnowledgeNode, ...]
    controls: tuple[RunNode, ...]
    runs: tuple[RunNode, ...]
    complete: bool

    def nodes(self) -> Iterable[Node]:
        """All nodes."""
        yield from self.experts
        yield from self.knowledge
        yield from self.controls
        yield from self.runs


def make_plan(suite: SuiteSpec, choice: MethodChoice, transfers: Sequence[str], seeds: Sequence[int]) -> Plan:
    """Plan an evaluation.

    Args:
        suite: The suite.
        choice: The method and its settings.
        transfers: The transfer tasks to run.
        seeds: The seeds to run.

    Raises:
        TlbenchError: If a setting is wrong or the method doesn't support a task.
    """
    choice = choice.pinned()
    check_support(suite, choice, transfers)
    check_settings(suite, choice, transfers)
    planner = _Planner(suite, choice)
    runs: dict[str, RunNode] = {}
    for node in (node for name in transfers for node in planner.runs(name, seeds)):
        if runs.setdefault(node.key, node).control_key != node.control_key:
            raise TlbenchError(
                f"these settings of the learner make {runs[node.key].label} and {node.label} one and the same run, "
                "which have different controls: choose other values, or run one of them with --tasks"
            )
    controls: dict[str, RunNode] = {}
    control = planner.control()
    if control is not None:
        controls = {node.key: node for name in transfers for node in control.runs(name, seeds) if node.key not in runs}
    knowledge = {node.knowledge.key: node.knowledge for node in runs.values() if node.knowledge}
    experts = {expert.key: expert for node in knowledge.values() for expert in node.experts}
    complete = set(transfers) == set(suite.transfers) and set(seeds) == set(range(suite.seeds))
    return Plan(
        choice,
        tuple(experts.values()),
        tuple(knowledge.values()),
        tuple(controls.values()),
        tuple(runs.values()),
        complete and suite.submittable,
    )


class _Planner:
    def __init__(self, suite: SuiteSpec, choice: MethodChoice, without_knowledge: bool = False) -> None:
        self.suite = suite
        self.choice = choice
        self.entry = choice.entry()
        self.method = choice.method()
        self.learner = choice.learner()
        self.identity = choice.identity()
        self.carries = self.method.uses_source and not without_knowledge
        scratch = control_choice(self.learner.id) if self.learner is not None else None
        self._is_control = scratch is not None and scratch.entry().cls is self.entry.cls
        self._scratch = scratch if self.method.control == "scratch" else None

    def control(self) -> _Planner | None:
        """The planner of the controls; ``None`` if the method's runs are their own."""
        if self._scratch is not None:
            return _Planner(self.suite, self._scratch)
        return _Planner(self.suite, self.choice, without_knowledge=True) if self.carries else None

    def runs(self, transfer: str, seeds: Sequence[int]) -> Iterable[RunNode]:
        spec = self.suite.transfers[transfer]
        for target in spec.targets:
            for seed in seeds:
                for expert_seed in spec.expert_seeds or (seed,):
                    node = self._run(spec, target, seed, expert_seed)
                    yield node
                    if node.knowledge is None:
                        break  # no experts: nothing to cross

    def _run(self, spec: TransferSpec, target: str, seed: int, expert_seed: int) -> RunNode:
        knowledge = self._knowledge(spec, expert_seed) if self.carries else None
        key = self._run_key(spec, target, seed, knowledge)
        transfers = tuple(
            name
            for name, other in self.suite.transfers.items()
            if target in other.targets
            and self._settings(other) == self._settings(spec)
            and (knowledge is None or sources_of(self.method, other) == knowledge.sources)
            and (knowledge is None or expert_seed in (other.expert_seeds or (seed,)))
        )
        sources = knowledge.sources if knowledge else ()
        first = self.suite.transfers[transfers[0]]  # the same for every transfer task that the run serves
        seeds = f"s{seed}" + (f"-e{expert_seed}" if knowledge and first.expert_seeds else "")
        one_target = len(first.targets) == 1
        file = transfers[0] if knowledge and one_target else f"{'+'.join((*sources, target))}"
        where = target if not (knowledge or self._settings(spec)) else transfers[0]
        instance = "" if where == target or one_target else f" ({target})"
        crossed = f", expert seed {expert_seed}" if knowledge and expert_seed != seed else ""
        return RunNode(
            key=key,
            name=f"{self.entry.id}/{file[:LONGEST_NAME]}.{seeds}.{key[:12]}",
            choice=self.choice,
            label=f"{self.entry.id} on {where}{instance}, seed {seed}{crossed}",
            transfers=transfers,
            sources=sources,
            target=target,
            learner_settings=tuple(self._settings(spec).items()),
            control_settings=tuple(spec.learner.get(self.entry.learner or "", {}).items()),
            seed=seed,
            expert_seed=expert_seed if knowledge else None,
            knowledge=knowledge,
            control_key=self._control_key(spec, target, seed, key),
        )

    def _settings(self, spec: TransferSpec) -> dict[str, Any]:
        if self.learner is None:
            return {}
        return {**self.choice.learner_settings(), **spec.learner.get(self.learner.id, {})}  # a study's are frozen

    def _run_key(self, spec: TransferSpec, target: str, seed: int, knowledge: KnowledgeNode | None) -> str:
        content: dict[str, Any] = {
            "node": "run",
            "protocol": PROTOCOL,
            "target": self.suite.tasks[target].identity("target"),
            "learner": learner_identity(self.learner, self._settings(spec)) if self.learner else None,
            "knowledge": knowledge.key if knowledge else None,
            "seed": seed,
        }
        if knowledge is not None or not self._is_control:
            content["method"] = self.identity
        return digest_of(content)

    def _control_key(self, spec: TransferSpec, target: str, seed: int, key: str) -> str:
        control = self.control()
        return key if control is None else control._run_key(spec, target, seed, None)

    def _knowledge(self, spec: TransferSpec, expert_seed: int) -> KnowledgeNode:
        sources = sources_of(self.method, spec)
        experts = tuple(self._expert(task, expert_seed, i) for task in sources for i in range(self.method.experts))
        content = {
            "node": "knowledge",
            "protocol": PROTOCOL,
            "experts": [expert.key for expert in experts],
            "sources": [self.suite.tasks[task].identity("source") for task in sources],
            "method": self.identity,
            "learner": learner_identity(self.learner, {}) if self.learner else None,
            "seed": expert_seed,
        }
        return KnowledgeNode(digest_of(content), sources, experts, expert_seed)

    def _expert(self, task: str, seed: int, number: int) -> ExpertNode:
        assert self.learner is not None
        learner = self.method.expert_learner or self.learner.id
        seed += EXPERT_SEED_STRIDE * number
        return ExpertNode(expert_key(self.suite, task, learner, seed), task, learner, seed)


def expert_key(suite: SuiteSpec, task: str, learner: str, seed: int) -> str:
    """Key of the expert of a learner, under its default configuration, on a source."""
    found = control_choice(learner).learner()
    assert found is not None
    content = {
        "node": "expert",
        "protocol": PROTOCOL,
        "source": suite.tasks[task].identity("source"),
        "learner": learner_identity(found, {}),
        "seed": seed,
    }
    return digest_of(content)
