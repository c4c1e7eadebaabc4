"""Methods that choose where learning on the target starts: what is carried, what is fresh, what stays frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import MethodEntry, learners, methods
from tlbench.protocol.interface import (
    Agent,
    Context,
    Expert,
    Interface,
    Knowledge,
    Params,
    learn_from_scratch,
    training_facts,
)
from tlbench.protocol.specs import SuiteSpec
from tlbench.protocol.starting_point import StartingPointMethod, carried, carried_share
from tlbench.protocol.task import HarnessTask, agent_seed

CARTPOLE = Interface(spaces.Box(-np.inf, np.inf, (4,)), spaces.Discrete(2), 0.99)
STARTING = {
    name: entry
    for name, entry in methods().items()
    if issubclass(entry.cls, StartingPointMethod) and entry.learner is not None and entry.cls.experts == 1
    if MethodChoice(name).method().unsupported(CARTPOLE) is None
}


def context(entry: MethodEntry, suite: SuiteSpec, target: str) -> Context:
    learner = learners()[entry.learner or ""]
    return Context(3, "cpu", learner, learner.Config(), agent_seed(suite.tasks[target], "target", 0))


def knowledge_of(entry: MethodEntry, suite: SuiteSpec) -> tuple[StartingPointMethod, Knowledge, Expert]:
    few = {"steps": 20} if "steps" in entry.cls.Config.model_fields else {}  # what is learned isn't looked at
    method = MethodChoice(entry.id, few).method()
    assert isinstance(method, StartingPointMethod)
    learner = learners()[entry.learner or ""]
    task = HarnessTask(suite.tasks["cartpole"], "source", 0, budget=600, discrete=learner.discrete_only)
    config = learner.Config()
    params = learner.build(task.interface, config, 42, "cpu").params()
    expert = Expert(params, task.interface, learner, config, 42, 0.0)
    knowledge = method.learn_source([task], [expert], context(entry, suite, "cartpole"))
    assert knowledge is not None
    return method, knowledge, expert


def spy(ctx: Context) -> list[Agent]:
    """Keeps the agents that a context builds."""
    built: list[Agent] = []
    original = ctx.build

    def build(*args: Any, **kwargs: Any) -> Agent:
        built.append(original(*args, **kwargs))
        return built[-1]

    ctx.build = build  # type: ignore[method-assign]
    return built


@pytest.mark.parametrize("entry", STARTING.values(), ids=list(STARTING))
@pytest.mark.parametrize("target", ["cartpole", "pendulum"])
def test_frozen_roles_stay_bit_for_bit(tiny: SuiteSpec, entry: MethodEntry, target: str) -> None:
    method, knowledge, _ = knowledge_of(entry, tiny)
    original = method.transform
    starts: list[Params] = []
    fixed: set[str] = set()

    def freezing(knowledge: Knowledge, fresh: Params, ctx: Context) -> tuple[Params, Sequence[str]]:
        start, frozen = original(knowledge, fresh, ctx)
        starts.append({**fresh, **start})
        fixed.update(frozen, ("body.0.weight", "head.bias"))
        return start, sorted(fixed)

    method.transform = freezing  # type: ignore[method-assign]
    ctx = context(entry, tiny, target)
    built = spy(ctx)
    task = HarnessTask(tiny.tasks[target], "target", 0, discrete=learners()[entry.learner or ""].discrete_only)
    method.learn_target(task, knowledge, ctx)
    final = built[0].params()
    for role in fixed:
        assert torch.equal(final[role], starts[0][role])
    best_of_several = entry.learner in ("erl", "cerl")  # of which the start may be the best
    if ctx.diagnostics["gradient_steps"] and "body.1.weight" not in fixed and not best_of_several:
        assert not torch.equal(final["body.1.weight"], starts[0]["body.1.weight"])


@pytest.mark.parametrize("entry", STARTING.values(), ids=list(STARTING))
def test_without_knowledge_the_agent_is_the_controls(tiny: SuiteSpec, entry: MethodEntry) -> None:
    ctx = context(entry, tiny, "cartpole")
    task = HarnessTask(tiny.tasks["cartpole"], "target", 0)
    control = HarnessTask(tiny.tasks["cartpole"], "target", 0)
    learn_from_scratch(control, context(entry, tiny, "cartpole"))
    method = MethodChoice(entry.id).method()
    assert isinstance(method, StartingPointMethod)
    if "zero-shot" in entry.id:
        pytest.skip("never learns")
    method.after = lambda start, final, ctx: None  # type: ignore[method-assign]
    method.learn_target(task, None, ctx)
    assert task.finish() == control.finish()


@pytest.mark.parametrize("learner", list(learners()))
def test_finetuning_carries_everything_that_fits(tiny: SuiteSpec, learner: str) -> None:
    method, knowledge, expert = knowledge_of(methods()[f"finetune-{learner}"], tiny)
    assert all(torch.equal(knowledge.tensors[r], expert.params[r]) for r in expert.params)
    ctx = context(methods()[f"finetune-{learner}"], tiny, "cartpole")
    fresh = ctx.build(expert.interface).params()
    start, frozen = method.transform(knowledge, fresh, ctx)
    assert set(start) == set(fresh)
    assert frozen == ()
    reset, knowledge, _ = knowledge_of(methods()[f"finetune-reset-head-{learner}"], tiny)
    start, _ = reset.transform(knowledge, fresh, ctx)
    assert start
    assert set(start) == {role for role in fresh if "head" not in role and role != "log_std"}


@pytest.mark.parametrize("learner", list(learners()))
def test_finetuning_across_interfaces_carries_the_body(tiny: SuiteSpec, learner: str) -> None:
    entry = methods()[f"finetune-{learner}"]
    method, knowledge, _ = knowledge_of(entry, tiny)
    ctx = context(entry, tiny, "pendulum")
    interface = HarnessTask(
        tiny.tasks["pendulum"], "target", 0, discrete=learners()[learner].discrete_only
    ).interface  # three observations, where CartPole has four
    fresh = ctx.build(interface).params()
    start, _ = method.transform(knowledge, fresh, ctx)
    assert {role for role in fresh if role.startswith("body.")} - {"body.0.weight"} <= set(start)
    assert not {"body.0.weight", "head.weight", "head.bias", "log_std"} & set(start)


@pytest.mark.parametrize("learner", list(learners()))
def test_zero_shot_scores_the_expert_and_never_learns(tiny: SuiteSpec, learner: str) -> None:
    entry = methods()[f"zero-shot-{learner}"]
    method, knowledge, expert = knowledge_of(entry, tiny)
    task, ctx = HarnessTask(tiny.tasks["cartpole"], "target", 0), context(entry, tiny, "cartpole")
    built = spy(ctx)
    method.learn_target(task, knowledge, ctx)
    assert task.spent == 0
    assert all(torch.equal(built[0].params()[r], expert.params[r]) for r in expert.params)
    points = task.finish()
    assert [count for count, _ in points] == [0] * 5
    same = HarnessTask(tiny.tasks["cartpole"], "target", 0)
    same.publish(expert.agent().policy)
    assert points == same.finish()
    assert (ctx.diagnostics["gradient_steps"], ctx.diagnostics["carried_share"]) == (0, 1.0)


@pytest.mark.parametrize("learner", list(learners()))
def test_scratch_is_the_learner_and_nothing_else(tiny: SuiteSpec, learner: str) -> None:
    entry = methods()[f"scratch-{learner}"]
    found = learners()[learner]
    task, plain = (HarnessTask(tiny.tasks["cartpole"], "target", 0) for _ in range(2))
    ctx = context(entry, tiny, "cartpole")
    MethodChoice(entry.id).method().learn_target(task, None, ctx)
    agent = found.build(plain.interface, found.Config(), ctx.agent_seed, "cpu")
    agent.train(plain)
    assert task.finish() == plain.finish()
    assert ctx.diagnostics == training_facts(agent)


def test_carried_by_hand() -> None:
    source = {"a": torch.ones(2, 3), "b": torch.ones(4), "c": torch.ones(5)}
    fresh = {"a": torch.zeros(2, 3), "b": torch.zeros(6), "d": torch.zeros(8)}
    start = carried(source, fresh)
    assert list(start) == ["a"]
    assert carried_share(start, fresh) == 6 / 20
    assert carried_share({}, {}) == 0


def test_random_acts_uniformly_and_differently_at_every_point(tiny: SuiteSpec) -> None:
    entry = methods()["random"]
    for name in ("cartpole", "pendulum"):
        ctx = Context(5, "cpu", None, None, 0)
        task = HarnessTask(tiny.tasks[name], "target", 0)
        MethodChoice(entry.id).method().learn_target(task, None, ctx)
        policy = task._policy
        assert policy is not None
        one, two = policy.frozen(), policy.frozen()
        obs, first = np.zeros((4000, 3)), np.ones(4000, dtype=np.bool_)
        drawn = [np.asarray(p.act(obs, None, first)[0]).reshape(-1) for p in (one, two)]
        assert not np.array_equal(*drawn)  # else all points would share their luck
        low, high = (0, 1) if name == "cartpole" else (-2, 2)
        assert abs(drawn[0].mean() - (low + high) / 2) < 0.1
        assert (drawn[0].min(), drawn[0].max()) == pytest.approx((low, high), abs=0.01)
        assert task.spent == 0
        points = task.finish()
        assert len({outcome.returns for _, outcome in points if outcome}) == len(points)


def test_random_needs_a_space_it_can_draw_from() -> None:
    from tlbench.baselines.random_policy import UniformPolicy

    with pytest.raises(ValueError, match="uniform policy"):
        UniformPolicy(spaces.Box(-np.inf, np.inf, (1,)), np.random.default_rng(0))


@pytest.mark.parametrize("learner", list(learners()))
def test_the_harness_and_a_fresh_agent_agree_on_the_seed(
    tiny: SuiteSpec, learner: str, keep_published: Callable[..., Any]
) -> None:
    """A method's fresh agent has the control's initial parameters."""
    entry = methods()[f"scratch-{learner}"]
    first = [context(entry, tiny, "cartpole").build(HarnessTask(tiny.tasks["cartpole"], "target", 0).interface)
             for _ in range(2)]  # fmt: skip
    a, b = (agent.params() for agent in first)
    assert all(torch.equal(a[role], b[role]) for role in a)
