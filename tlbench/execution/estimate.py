"""How long nodes will take: from what such nodes took before, else from how fast environments step here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from statistics import median

import numpy as np

from tlbench.execution.plan import ExpertNode, KnowledgeNode, Node, needs
from tlbench.execution.selection import MethodChoice, find_learner
from tlbench.execution.store import Store
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record
from tlbench.protocol.sources import load_lifetimes
from tlbench.protocol.specs import SuiteSpec, TaskSpec
from tlbench.protocol.vector import environment_spec, open_lanes

PROBE_SECONDS = 0.05
OVERHEAD = 1.5
"""Assumed time of a run over the time of its environment steps, before anything was measured."""
OTHER_SECONDS = 60.0
"""Assumed time of a run on offline samples, before any was measured, if its learner says nothing of its time."""
SAMPLES_PER_STEP = 8
"""Samples that a learner is assumed to learn from per step; its time per unit is that of a step."""
FAST = 20_000.0
"""Steps per second from which it matters how many lanes step together; others are not opened by the hundred."""
ENTRY_SECONDS = 3.5e-7
"""Assumed time per entry of the input and step of a lifetime: about the middle of the learners with memory, whose times
on ``memory`` and ``memory-full`` are nearer to linear in the input's size than to quadratic."""
MEMORY_SECONDS = 5e-5
"""Assumed time that a learner with memory takes per environment step, where tasks are within a lifetime."""
KNOWLEDGE_SECONDS = 2.0
"""Assumed time of one knowledge node, before any was measured."""

PICTURE_AXES = 3
"""Axes of a picture, channels first."""


Key = tuple[str, str, str | None, str | None]
"""Expert or run, task, learner, and method, or none for experts and runs from scratch."""


class Estimator:
    """Estimates seconds per node.

    Args:
        suite: The suite.
        store: Where earlier results may be.
        method: The method whose knowledge nodes are estimated, if any are.
    """

    def __init__(self, suite: SuiteSpec, store: Store | None = None, method: MethodChoice | None = None) -> None:
        self._suite, self._method = suite, method
        self._rates: dict[tuple[str, int], float] = {}
        self._sizes: dict[str, int] = {}
        self._seen: dict[Key, list[float]] = {}
        if store is not None and store.folder.exists():
            self._learn(store)

    def node(self, node: Node) -> float:
        """Estimated seconds of one node on one core."""
        if isinstance(node, KnowledgeNode):
            own = () if node.experts else node.sources  # what the method trains on itself
            extra = self._method.entry().cls.seconds_per_unit if self._method else 0.0
            return KNOWLEDGE_SECONDS + sum(self._from_speed(task, "expert", extra) for task in own)
        if isinstance(node, ExpertNode):
            seen = self._seen.get(("expert", node.task, node.learner, None))
            return (
                median(seen) if seen else self._from_speed(node.task, "expert", self._learner(node.learner, node.task))
            )
        entry = node.choice.entry()
        extra = entry.cls.seconds_per_unit
        key = "run", node.target, entry.learner
        seen = self._seen.get((*key, entry.id)) or (None if extra else self._seen.get((*key, None)))
        extra += self._learner(entry.learner, node.target)
        return median(seen) if seen else self._from_speed(node.target, "run", extra)

    def units(self, node: Node) -> int:
        """Units of budget that a node spends on learning."""
        if isinstance(node, ExpertNode):
            return self._suite.tasks[node.task].schedule("source").budget
        if isinstance(node, KnowledgeNode):
            own = () if node.experts else node.sources
            return sum(self._suite.tasks[task].schedule("source").budget for task in own)
        return self._suite.tasks[node.target].schedule("target").budget

    def total(self, nodes: Iterable[Node], jobs: int) -> float:
        """Estimated wall seconds of these nodes over ``jobs`` processes, each node after those that it needs.

        Args:
            nodes: Nodes; those that another one needs come before it, or are there already.
            jobs: Processes.
        """
        ends: dict[str, float] = {}
        work = 0.0
        for node in nodes:
            seconds = self.node(node)
            work += seconds
            ends[node.key] = seconds + max((ends[key] for key in needs(node) if key in ends), default=0.0)
        return max(work / max(1, jobs), *ends.values(), 0.0)

    def _learn(self, store: Store) -> None:
        try:
            for record in (*store.records(), *store.expert_records()):
                self._note(record)
        except TlbenchError:
            return  # a damaged record is reported when it is needed

    def _note(self, record: Record) -> None:
        key = record.kind, record.target, record.learner.id if record.learner else None
        methods = [record.method.id] if record.method else []
        for method in (*methods, *([] if record.sources else [None])):
            self._seen.setdefault((*key, method), []).append(float(record.provenance.get("wall_seconds", 0.0)))

    def _from_speed(self, name: str, kind: str, extra: float) -> float:
        task = self._suite.tasks[name]
        schedule = task.schedule("source" if kind == "expert" else "target")
        if task.unit == "episodes":
            return (schedule.budget + schedule.points * schedule.episodes) * _lifetime_seconds(task)
        if task.unit != "env_steps":
            return extra * schedule.budget / SAMPLES_PER_STEP or OTHER_SECONDS
        length = self._episode_length(task)
        evaluation = schedule.points * schedule.episodes * length
        rate = self._rate(task, 16)
        lanes = min(512, schedule.points * schedule.episodes) if rate > FAST else 16
        learning = (extra + (MEMORY_SECONDS if task.within_lifetime else 0.0)) * schedule.budget
        return learning + OVERHEAD * (schedule.budget / rate + evaluation / self._rate(task, lanes))

    def _learner(self, name: str | None, task: str) -> float:
        """What a learner says of its time per unit on a task."""
        if name is None:
            return 0.0
        learner = find_learner(name)
        pixels = self._pixels(self._suite.tasks[task]) if learner.seconds_per_pixel else 0
        return learner.seconds_per_unit + learner.seconds_per_pixel * pixels

    def _pixels(self, task: TaskSpec) -> int:
        """Numbers of an observation, if it is a picture; else 0."""
        key = _looks(task)
        if key not in self._sizes:
            env = open_lanes(task, 1, "same_step")
            shape = env.single_observation_space.shape or ()
            env.close()
            self._sizes[key] = math.prod(shape) if len(shape) == PICTURE_AXES else 0
        return self._sizes[key]

    def _episode_length(self, task: TaskSpec) -> float:
        steps = environment_spec(task.environment).max_episode_steps or 1000
        return float(task.options.get("max_episode_steps", steps))

    def _rate(self, task: TaskSpec, lanes: int) -> float:
        key = _looks(task), lanes
        if key not in self._rates:
            self._rates[key] = steps_per_second(task, lanes, PROBE_SECONDS)
        return self._rates[key]


def _looks(task: TaskSpec) -> str:
    return f"{task.environment}{sorted(task.options.items())}"


def _lifetime_seconds(task: TaskSpec) -> float:
    """Assumed time of one lifetime."""
    return ENTRY_SECONDS * float(load_lifetimes(task).draw(1, np.random.default_rng(0))["inputs"].size)


def steps_per_second(task: TaskSpec, lanes: int, seconds: float) -> float:
    """Environment steps per second of ``lanes`` lanes under random actions, measured for ``seconds``."""
    env = open_lanes(task, lanes, "same_step")
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(64)]
    for action in actions[:4]:
        env.step(action)
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        env.step(actions[steps % len(actions)])
        steps += 1
    elapsed = time.perf_counter() - started
    env.close()
    return steps * lanes / elapsed
