"""Reward, termination and parameters that a task lets methods know: the environment's own, and use of them is noted."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tlbench.protocol.specs import ObservationMap, Schedule, TaskSpec
from tlbench.protocol.task import HarnessTask

FAMILIES: dict[str, dict[str, Any]] = {
    "tlbench/HalfCheetahVelocity-v1": {"velocity": 0.7},
    "tlbench/HalfCheetahDirection-v1": {"direction": -1},
    "tlbench/AntDirection-v1": {"angle": 1.0, "crippled_leg": 2},
    "tlbench/AntGoal-v1": {"goal_x": -1.0, "goal_y": 2.0},
    "tlbench/PointGoal-v1": {"goal_x": 0.05, "goal_y": 0.0},
}


class Zeros:
    """Always acts with zeros."""

    def __init__(self, space: Any) -> None:
        self.zero = np.zeros_like(space.sample())

    def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
        return np.stack([self.zero] * len(first)), state

    def frozen(self) -> Zeros:
        return self


def spec_of(environment: str, **fields: Any) -> TaskSpec:
    schedule = Schedule(budget=5000, points=2, episodes=1)
    values = {"options": FAMILIES.get(environment, {}), "discount": 0.99, "wall_limit": 60.0, **fields}
    return TaskSpec(
        environment=environment, random_return=0.0, expert_return=1.0, threshold=0.5, target=schedule, **values
    )


def transitions(task: HarnessTask, steps: int = 150) -> Any:
    """Yield observations, actions, next observations (an episode's last included), rewards and terminations."""
    space = task.interface.action_space
    task.publish(Zeros(space))
    envs = task.envs(8)
    space.seed(0)
    obs = envs.reset()
    for _ in range(steps):
        actions = np.stack([space.sample() for _ in range(8)])
        after, rewards, dones, infos = envs.step(actions)
        following = after.copy()
        for lane in np.flatnonzero(dones):
            following[lane] = infos[lane]["terminal_observation"]
        ended = np.array([bool(d and not i.get("TimeLimit.truncated")) for d, i in zip(dones, infos, strict=True)])
        yield obs, actions, following, rewards, ended
        obs = after


def check_equal(task: HarnessTask) -> int:
    """Hold the known functions against the lanes' transitions; return how many episodes were terminated."""
    terminations = 0
    reward, terminated = task.interface.reward, task.interface.terminated
    assert reward is not None
    assert terminated is not None
    for obs, actions, following, rewards, ended in transitions(task):
        assert_array_equal(reward(obs, actions, following), rewards)
        assert_array_equal(terminated(obs, actions, following), ended)
        terminations += ended.sum()
    return terminations


@pytest.mark.parametrize("environment", FAMILIES)
def test_known_functions_are_the_environments_own(environment: str) -> None:
    terminations = check_equal(HarnessTask(spec_of(environment), "target", 0))
    assert terminations or not environment.startswith(("tlbench/Ant", "tlbench/Point"))


def test_actions_of_any_float_type_count_as_the_environments() -> None:
    interface = HarnessTask(spec_of("tlbench/HalfCheetahVelocity-v1"), "target", 0).interface
    assert interface.reward is not None
    rng = np.random.default_rng(0)
    obs, actions = rng.normal(size=(50, 17)), rng.uniform(-1, 1, (50, 6)).astype(np.float32)
    assert_array_equal(interface.reward(obs, actions.astype(np.float64), obs), interface.reward(obs, actions, obs))


def test_discretised_actions_are_indices() -> None:
    table = ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1))
    task = HarnessTask(spec_of("tlbench/PointGoal-v1", discrete_actions=table), "target", 0, discrete=True)
    assert isinstance(task.interface.action_space, gymnasium.spaces.Discrete)
    check_equal(task)
    table = tuple((torque,) * 6 for torque in (-1.0, 0.3, 1.0))
    task = HarnessTask(spec_of("tlbench/HalfCheetahVelocity-v1", discrete_actions=table), "target", 0, discrete=True)
    check_equal(task)


def test_mapped_observations_are_put_back() -> None:
    order = tuple(reversed(range(17)))
    mapping = ObservationMap(indices=order, signs=tuple((-1, 1)[i % 2] for i in order))
    check_equal(HarnessTask(spec_of("tlbench/HalfCheetahVelocity-v1", observation_map=mapping), "target", 0))
    mapping = ObservationMap(indices=(1, 0))
    check_equal(HarnessTask(spec_of("tlbench/PointGoal-v1", observation_map=mapping), "target", 0))


def test_nothing_is_known_where_an_observation_is_hidden() -> None:
    mapping = ObservationMap(indices=(0,))
    interface = HarnessTask(spec_of("tlbench/PointGoal-v1", observation_map=mapping), "target", 0).interface
    assert interface.reward is None
    assert interface.terminated is None


@pytest.mark.parametrize("environment", ["tlbench/CartPole-v1", "tlbench/Hopper-v5", "CartPole-v1"])
def test_other_rewards_are_not_known(environment: str) -> None:
    interface = HarnessTask(spec_of(environment), "target", 0).interface
    assert interface.reward is None
    assert interface.terminated is None


def test_what_is_read_is_noted() -> None:
    task = HarnessTask(spec_of("tlbench/PointGoal-v1", context={"goal_x": 0.05, "goal_y": 0.0}), "target", 0)
    interface = task.interface
    assert interface.reward is not None
    assert interface.terminated is not None
    assert "goal_x" in interface.context
    assert list(interface.context) == ["goal_x", "goal_y"]
    assert interface.context.get("velocity", 0.0) == 0.0
    assert task.reads == []  # looking at what there is reads nothing
    rows = np.zeros((3, 2))
    interface.terminated(rows, rows, rows)
    assert task.reads == ["terminated"]
    assert dict(interface.context) == {"goal_x": 0.05, "goal_y": 0.0}
    interface.reward(rows, rows, rows)
    assert task.reads == ["context", "reward", "terminated"]


@pytest.mark.parametrize("environment", FAMILIES)
def test_interfaces_can_be_pickled(environment: str) -> None:
    interface = HarnessTask(spec_of(environment, context={"a": 1.0}), "target", 0).interface
    copy = pickle.loads(pickle.dumps(interface))
    rng = np.random.default_rng(1)
    obs, following = rng.normal(size=(2, 5, *(interface.observation_space.shape or ())))
    actions = np.stack([interface.action_space.sample() for _ in range(5)])
    assert_array_equal(copy.reward(obs, actions, following), interface.reward(obs, actions, following))
    assert_array_equal(copy.terminated(obs, actions, following), interface.terminated(obs, actions, following))
    assert copy.context == interface.context
