"""The worker's side of ``tlbench check``: does a node as an evaluation would, and watches what the method does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch

from tlbench.execution.checks import Check, Sight, problem_of
from tlbench.execution.plan import KnowledgeNode, RunNode
from tlbench.execution.selection import MethodChoice
from tlbench.execution.work import Job, work
from tlbench.protocol.budget import Meter
from tlbench.protocol.errors import BudgetExhausted, DivergedError, ProtocolViolationError
from tlbench.protocol.evaluation import check_actions, untouched_randomness
from tlbench.protocol.given import harness_of
from tlbench.protocol.interface import Agent, Array, Knowledge, Method, Params, Policy, StackablePolicy
from tlbench.protocol.records import checksum
from tlbench.protocol.sealing import unsealed
from tlbench.protocol.specs import digest_of

TOLERATED_REFUSALS = 10
"""Calls after the budget's end that are no offence: several agents of one method may each meet the end once."""

_LANES = _STEPS = 16  # of the observations on which policies are compared


def watch(job: Job, file: str, points: int | None = None, stochastic: bool = False) -> Sight:
    """Do a knowledge node or a run, as an evaluation does, and tell what was seen.

    Args:
        job: The job; what it needs is in its store, and what it makes goes there.
        file: The method's file, for messages.
        points: Another number of evaluation points than the suite's; nothing else differs, seeds neither.
        stochastic: Whether the policy may act differently when asked again.
    """
    sight, node = Sight(), job.node
    watcher = _Watcher(sight, points, stochastic)
    choice = _WatchedChoice(job.choice.reference, job.choice.settings, watcher)
    watched = replace(job, choice=choice, node=replace(node, choice=choice) if isinstance(node, RunNode) else node)
    try:
        work(watched)
    except (Exception, BudgetExhausted) as error:
        if not any(p.check is Check.KNOWLEDGE for p in sight.problems):  # else it is what the store refused
            sight.problems.append(problem_of(error, file))
        return sight
    sight.finished = True
    if isinstance(node, KnowledgeNode):
        watcher.compare_knowledge(job.store.find_knowledge(node.key))
    elif isinstance(node, RunNode):
        record = job.store.find_record(node.name, node.key)
        if record is None:
            sight.add(Check.RUNS, "its record can't be read back")
        else:
            sight.prints["record"] = checksum(record.model_dump(mode="json"))
            if record.diverged and not any(p.check is Check.ACTIONS for p in sight.problems):
                sight.add(Check.ACTIONS, "the run diverged: the policy's actions became infinite or not a number")
    return sight


@dataclass(frozen=True)
class _WatchedChoice(MethodChoice):
    watcher: _Watcher | None = None

    def method(self) -> Method:
        method = super().method()
        if self.watcher is not None:
            self.watcher.attach(method)
        return method


class _Watcher:
    """Stands between the harness and a method's ``learn_source`` and ``learn_target``."""

    def __init__(self, sight: Sight, points: int | None, stochastic: bool) -> None:
        self._sight = sight
        self._points = points
        self._stochastic = stochastic
        self._task: Any = None
        self._obs: Array | None = None
        self._knowledge: Knowledge | None = None
        self._policy: Policy | None = None
        self._first: tuple[Policy, Array | None] | None = None
        self._agents: list[Agent] = []
        self._loaded: dict[int, Params] = {}

    def attach(self, method: Method) -> None:
        """Watch a method from now on."""
        source, target = method.learn_source, method.learn_target

        def learn_source(sources: Sequence[Any], experts: Any, ctx: Any) -> Knowledge | None:
            try:
                self._knowledge = source(sources, experts, ctx)
            except DivergedError as error:
                self._sight.add(Check.KNOWLEDGE, f"learning on the sources diverged: {error}")
                raise
            for name in ("data", "diagnostics"):
                self._check_json(name, getattr(self._knowledge, name, {}))
            for task in sources:
                self._count_refusals(harness_of(task))
            return self._knowledge

        def learn_target(task: Any, knowledge: Any, ctx: Any) -> None:
            self._begin(harness_of(task), ctx.learner)
            try:
                target(task, knowledge, ctx)
            except DivergedError as error:
                self._sight.add(Check.ACTIONS, f"the run diverged: {error}")
                raise
            except BudgetExhausted:
                self._end(harness_of(task))
                raise
            self._end(harness_of(task))

        vars(method).update(learn_source=learn_source, learn_target=learn_target)

    def compare_knowledge(self, found: tuple[Knowledge | None, Mapping[str, Any]] | None) -> None:
        """Hold the knowledge against what the store gives back."""
        made = self._knowledge
        if made is None:
            self._sight.remarks[Check.KNOWLEDGE] = "it abstained: the run is its control's"
            return
        back = found[0] if found else None
        if back is None:
            self._sight.add(Check.KNOWLEDGE, "it can't be read back from the store")
            return
        same = list(made.tensors) == list(back.tensors) and all(
            t.dtype == back.tensors[n].dtype and torch.equal(t.detach().cpu(), back.tensors[n])
            for n, t in made.tensors.items()
        )
        if not same:
            self._sight.add(Check.KNOWLEDGE, "its tensors come back changed")
        self._sight.prints["knowledge"] = digest_of([tensors_print(back.tensors), dict(back.data)])

    def _check_json(self, name: str, value: Any) -> None:
        try:
            if json.loads(json.dumps(value, allow_nan=False)) == value:
                return
            reason = "they come back changed"
        except (TypeError, ValueError) as error:
            reason = str(error)
        cure = "use finite numbers, text, lists and dicts with text as keys"
        self._sight.add(Check.KNOWLEDGE, f"its {name} don't survive JSON: {reason}; {cure}")

    def _begin(self, task: Any, learner: Any) -> None:
        if self._points is not None:
            task.fractions = [i / (self._points - 1) for i in range(self._points)]
            task.meter = Meter(task.budget, task.fractions, task._due)
        self._task, self._obs = task, observations(task)
        publish = task.publish

        def watched_publish(policy: Any) -> None:
            publish(policy)
            self._policy = policy
            if self._first is None:
                with untouched_randomness():
                    copy, other = policy.frozen(), policy.frozen()
                    self._first = other, None if self._obs is None else self._act(copy, self._obs)

        task.publish = watched_publish
        if learner is not None:
            build = learner.build
            learner.build = lambda *args, **kwargs: self._watch_agent(build(*args, **kwargs))

    def _watch_agent(self, agent: Agent) -> Agent:
        load = agent.load
        self._agents.append(agent)

        def watched_load(params: Params, frozen: Sequence[str] = ()) -> None:
            load(params, frozen)
            now = agent.params()
            self._loaded[id(agent)] = {role: now[role] for role in frozen}

        vars(agent)["load"] = watched_load
        return agent

    def _end(self, task: Any) -> None:
        self._count_refusals(task)
        with untouched_randomness():
            self._end_quietly(task)

    def _end_quietly(self, task: Any) -> None:
        sight, frozen = self._sight, 0
        for agent in self._agents:
            final = agent.params()
            for role, tensor in self._loaded.get(id(agent), {}).items():
                frozen += 1
                if not torch.equal(final[role], tensor):
                    sight.add(Check.ROLES, f"{role} changed although it was loaded as frozen")
        if not frozen:
            sight.remarks[Check.ROLES] = "it freezes none"
        if task.spent == 0:
            sight.remarks[Check.BUDGET] = "it uses none of it"
        if self._policy is None or self._first is None:
            return  # the harness says so
        sight.prints |= {
            "final parameters": digest_of([tensors_print(agent.params()) for agent in self._agents]),
            "training episodes": digest_of([[str(v) for v in column] for column in task.bins.as_lists()]),
            "units counted": str(task.spent),
        }
        if self._obs is not None and not self._stochastic:
            self._check_policy(self._policy, *self._first, self._obs)

    def _check_policy(self, policy: Policy, early: Policy, before: Array | None, obs: Array) -> None:
        copy = policy.frozen()
        actions = self._act(copy, obs)
        for _ in range(3):
            again = self._act(copy, obs)
        if not _same(actions, again):
            self._sight.add(
                Check.ACTING, "a frozen policy gives other actions when asked again with the same observations"
            )
        if not _same(before, self._act(early, obs)):
            self._sight.add(
                Check.COPIES,
                "the copy taken when the policy was published acts differently after training: "
                "frozen() must copy what training changes",
            )
        self._act(policy.frozen(), obs[:1])
        self._sight.prints["final actions"] = digest_of(
            None if actions is None else [str(actions.dtype), actions.tolist()]
        )
        copy = policy.frozen()
        if isinstance(copy, StackablePolicy):
            stack = type(copy).stack([copy, cast(StackablePolicy, copy.frozen())])
            rows, _ = stack.act(np.stack([obs] * 2), None, np.ones((2, len(obs)), dtype=np.bool_))
            if not all(_same(row, self._act(copy, obs)) for row in np.asarray(rows)):
                self._sight.add(Check.ACTING, "policies that are stacked act differently from the same policies alone")

    def _act(self, policy: Policy, obs: Array) -> Array | None:
        noted = len(ProtocolViolationError.noted)
        try:
            actions, _ = policy.act(obs.copy(), None, np.ones(len(obs), dtype=np.bool_))
            return np.array(check_actions(actions, self._task.interface.action_space, len(obs)))
        except (DivergedError, ProtocolViolationError) as error:
            del ProtocolViolationError.noted[noted:]  # it is noted here; the run is to go on
            self._sight.add(Check.ACTIONS, str(error))
            return None

    def _count_refusals(self, task: Any) -> None:
        if task.meter._refused > TOLERATED_REFUSALS:
            self._sight.add(
                Check.BUDGET,
                f"it made {task.meter._refused} metered calls after the end: "
                "let BudgetExhausted end learning, don't catch it inside the loop",
            )


def observations(task: Any) -> Array | None:
    """Observations of a task under random actions, always the same, ``[256, ...]``; ``None`` if it has no steps."""
    if task.unit == "episodes":
        return None
    with unsealed():
        env = task._open_evaluation(_LANES)
    env.action_space.seed(0)
    obs, _ = env.reset(seed=list(range(_LANES)))
    seen = [obs]
    for _ in range(_STEPS - 1):
        obs, *_ = env.step(env.action_space.sample())
        seen.append(obs)
    env.close()
    return np.concatenate(seen)


def tensors_print(tensors: Mapping[str, torch.Tensor]) -> str:
    """Digest of named tensors: names, types, shapes and every bit."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _same(one: Array | None, other: Array | None) -> bool:
    if one is None or other is None:
        return True  # that they aren't valid is a problem of its own
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
