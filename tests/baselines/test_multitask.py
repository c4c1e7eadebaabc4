"""One policy for several sources: joint training, with and without the task's parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from tlbench.baselines.joint_training import JointTask, train_jointly
from tlbench.baselines.oracle_multitask import InformedPolicy, InformedTask
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import find_method, learners
from tlbench.protocol.errors import BudgetExhausted, DivergedError, TlbenchError
from tlbench.protocol.interface import Context, Knowledge, Method, StackablePolicy
from tlbench.protocol.specs import Schedule, TaskSpec
from tlbench.protocol.task import HarnessTask

GOALS = ((0.4, 0.0), (-0.4, 0.0), (0.0, 0.4))


def spec_of(goal: tuple[float, float], environment: str = "tlbench/PointGoal-v1", **fields: Any) -> TaskSpec:
    values = dict(zip(("goal_x", "goal_y"), goal, strict=True))
    defaults = {"options": values, "context": values, "discount": 0.95}
    return TaskSpec(
        environment=environment,
        random_return=-60.0,
        expert_return=-4.0,
        threshold=-10.0,
        wall_limit=60.0,
        source=Schedule(budget=600, points=2, episodes=2),
        target=Schedule(budget=600, points=3, episodes=3),
        **{**defaults, **fields},
    )


def sources(*specs: TaskSpec, budget: int = 600) -> list[HarnessTask]:
    return [HarnessTask(spec, "source", 0, budget=budget) for spec in specs]


def context(learner: str = "trpo", **config: Any) -> Context:
    found = learners()[learner]
    small = {"n_envs": 4, "n_steps": 16, **config}
    return Context(5, "cpu", found, found.Config(**small), 7)


def method_of(name: str) -> Method:
    return MethodChoice(find_method(name).id).method()


def test_sources_are_stepped_side_by_side_and_their_budgets_end_together() -> None:
    tasks = sources(*(spec_of(goal) for goal in GOALS))
    joint = JointTask(tasks)
    envs = joint.envs(6)
    envs.reset()
    action = np.tile(np.array([0.05, 0.0], np.float32), (6, 1))
    obs, rewards, _, _ = envs.step(action)
    assert joint.budget == 1800
    assert joint.spent == 6
    expected = [-np.linalg.norm(obs[lane] - GOALS[lane // 2]) for lane in range(6)]
    np.testing.assert_allclose(rewards, expected)
    for _ in range(299):
        envs.step(action)
    with pytest.raises(BudgetExhausted):
        envs.step(action)
    assert [task.spent for task in tasks] == [600, 600, 600]


def test_lanes_must_be_shared_out_evenly() -> None:
    with pytest.raises(TlbenchError, match="evenly among 3"):
        JointTask(sources(*(spec_of(goal) for goal in GOALS))).envs(4)


def test_joint_training_takes_the_next_multiple_of_lanes_and_all_budgets() -> None:
    tasks = sources(*(spec_of(goal) for goal in GOALS))
    agent = train_jointly(tasks, context())
    assert agent.gradient_steps > 0
    assert [task.spent for task in tasks] == [600, 600, 600]
    assert not any(task.reads for task in tasks)


@pytest.mark.parametrize("name", ["oracle-multitask-ppo", "finetune-multitask-ppo"])
def test_joint_training_that_diverges_leaves_nothing_to_carry(name: str) -> None:
    tasks = sources(*(spec_of(goal) for goal in GOALS))
    with pytest.raises(DivergedError):
        method_of(name).learn_source(tasks, [], context("ppo", learning_rate=1e38, max_grad_norm=1e38))
    assert 0 < tasks[0].spent < 600


def test_sources_of_different_spaces_are_refused() -> None:
    tasks = sources(spec_of(GOALS[0]), spec_of(GOALS[0], environment="tlbench/CartPole-v1", options={}))
    with pytest.raises(TlbenchError, match="differ in their observations"):
        train_jointly(tasks, context())


def test_observations_end_with_the_parameters_final_ones_too() -> None:
    (task,) = sources(spec_of(GOALS[2]), budget=5000)
    informed = InformedTask(task)
    assert informed.interface.observation_space.shape == (4,)
    envs = informed.envs(2)
    obs = envs.reset()
    assert envs.observation_space == informed.interface.observation_space
    assert_array_equal(obs[:, 2:], [[0.0, 0.4]] * 2)
    for _ in range(100):
        obs, _, dones, infos = envs.step(np.zeros((2, 2), np.float32))
    assert dones.all()
    assert_array_equal(obs[:, 2:], [[0.0, 0.4]] * 2)
    for info in infos:
        assert_array_equal(info["terminal_observation"][2:], [0.0, 0.4])
    assert task.reads == ["context"]


def test_stacked_informed_policies_act_as_each_alone() -> None:
    interface = InformedTask(sources(spec_of(GOALS[0]))[0]).interface
    trpo = learners()["trpo"]
    agents = [trpo.build(interface, trpo.Config(), seed, "cpu") for seed in (0, 1)]
    policies = [InformedPolicy(agent.policy, np.array([0.4, 0.0])).frozen() for agent in agents]
    assert all(isinstance(policy, StackablePolicy) for policy in policies)
    obs, first = np.random.default_rng(0).normal(size=(2, 5, 2)), np.ones(5, np.bool_)
    stacked, _ = type(policies[0]).stack(policies).act(obs, None, first)  # type: ignore[attr-defined]
    for row, policy, seen in zip(stacked, policies, obs, strict=True):
        assert_array_equal(row, policy.act(seen, None, first)[0])
    assert not np.array_equal(stacked[0], stacked[1])


def carried_over(name: str, target: TaskSpec, knowledge: Knowledge) -> tuple[HarnessTask, Context]:
    task, ctx = HarnessTask(target, "target", 0), context(find_method(name).learner or "")
    method_of(name).learn_target(task, knowledge, ctx)
    return task, ctx


@pytest.mark.parametrize("name", ["oracle-multitask-trpo", "oracle-multitask-ppo", "finetune-multitask-ppo"])
def test_a_method_goes_on_from_what_it_learned_on_all_sources(name: str) -> None:
    tasks = sources(*(spec_of(goal) for goal in GOALS))
    ctx = context(find_method(name).learner or "")
    knowledge = method_of(name).learn_source(tasks, [], ctx)
    assert knowledge is not None
    inputs = 4 if name.startswith("oracle") else 2
    assert knowledge.tensors["body.0.weight"].shape == (64, inputs)
    assert knowledge.diagnostics["source_gradient_steps"]
    target, target_ctx = carried_over(name, spec_of((0.3, 0.3)), knowledge)
    assert target.spent == 600
    assert len(target.finish()) == 3
    assert target_ctx.diagnostics["carried_share"] == 1.0
    expected = ["context"] if name.startswith("oracle") else []
    assert target.reads == expected
    assert all(task.reads == expected for task in tasks)


def test_the_oracle_abstains_where_sources_give_no_parameters_or_others() -> None:
    oracle = method_of("oracle-multitask")
    assert oracle.learn_source(sources(spec_of(GOALS[0], context={})), [], context()) is None
    unequal = sources(spec_of(GOALS[0]), spec_of(GOALS[1], context={"goal_x": -0.4}))
    assert oracle.learn_source(unequal, [], context()) is None
    assert all(task.spent == 0 for task in unequal)


def test_the_oracle_says_what_is_wrong_with_a_target_without_its_parameters() -> None:
    knowledge = Knowledge({}, {"parameters": ["goal_x", "goal_y"]})
    with pytest.raises(TlbenchError, match=r"\['goal_x', 'goal_y'\] of its sources"):
        carried_over("oracle-multitask", spec_of(GOALS[0], context={}), knowledge)


def test_the_oracle_needs_vectors(tiny: Any) -> None:
    oracle = method_of("oracle-multitask")
    assert oracle.unsupported(HarnessTask(tiny.tasks["cartpole"], "target", 0).interface) is None
    maze = spec_of(GOALS[0], environment="tlbench/SimpleMaze-v1", options={}, context={})
    assert "1-D Box" in str(oracle.unsupported(HarnessTask(maze, "target", 0).interface))


@pytest.mark.slow
def test_the_oracle_tells_goals_apart_where_one_policy_cannot() -> None:
    opposite = [spec_of((x, 0.0)) for x in (0.4, -0.4)]
    returns = {}
    for name in ("oracle-multitask", "finetune-multitask-trpo"):
        torch.manual_seed(0)
        ctx = context(n_envs=16, n_steps=64)
        knowledge = method_of(name).learn_source(sources(*opposite, budget=30_000), [], ctx)
        assert knowledge is not None
        target, _ = carried_over(name, opposite[0], knowledge)
        points = target.finish()
        assert points[0][1] is not None
        returns[name] = float(np.mean(points[0][1].returns))
    assert returns["oracle-multitask"] > returns["finetune-multitask-trpo"] + 10
