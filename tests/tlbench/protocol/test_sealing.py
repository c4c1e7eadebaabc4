"""A method can't build the benchmark's environments itself, however it tries, and can't hide that it tried."""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from tlbench.protocol.errors import ProtocolViolationError
from tlbench.protocol.sealing import sealed, unsealed
from tlbench.protocol.specs import SuiteSpec
from tlbench.protocol.task import HarnessTask


class Derived(CartPoleEnv):
    """A benchmark's environment under another name."""


class OwnModel(gymnasium.Env[Any, Any]):
    """A learned model that a method may build."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), 0.0, True, False, {}


BUILT = CartPoleEnv()
PICKLED = pickle.dumps(CartPoleEnv)

WAYS: dict[str, Callable[[], Any]] = {
    "make": lambda: gymnasium.make("CartPole-v1"),
    "make ours": lambda: gymnasium.make("tlbench/CartPole-v1"),
    "make MuJoCo": lambda: gymnasium.make("Hopper-v5"),
    "make_vec entry point": lambda: gymnasium.make_vec("tlbench/CartPole-v1", 2),
    "make_vec sync": lambda: gymnasium.make_vec("Acrobot-v1", 2, vectorization_mode="sync"),
    "make_vec async": lambda: gymnasium.make_vec("Acrobot-v1", 2, vectorization_mode="async"),
    "DummyVecEnv": lambda: DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]),
    "SB3 make_vec_env": lambda: make_vec_env("Pendulum-v1", 2),
    "spec": lambda: gymnasium.spec("CartPole-v1").make(),
    "class": CartPoleEnv,
    "vector class": CartPoleVectorEnv,
    "our class": lambda: importlib.import_module("tlbench.tasks.environments.cartpole").CartPoleVectorEnv(2),
    "derived class": Derived,
    "copy": lambda: copy.deepcopy(BUILT),
    "unpickled class": lambda: pickle.loads(PICKLED)(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_no_way_leads_to_an_environment(way: Callable[[], Any]) -> None:
    with pytest.raises(ProtocolViolationError, match=r"environment of its own .*: use task.envs"), sealed():
        way()


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_swallowed_violation_still_counts(way: Callable[[], Any]) -> None:
    with pytest.raises(ProtocolViolationError, match="environment of its own"), sealed():  # noqa: PT012
        try:
            way()
        except Exception:
            built = False
        assert not built


def test_a_former_violation_does_not_count() -> None:
    with pytest.raises(ProtocolViolationError), sealed():
        CartPoleEnv()
    with sealed():
        pass


def test_what_a_method_raises_is_not_replaced() -> None:
    with pytest.raises(ZeroDivisionError), sealed():  # noqa: PT012
        try:
            CartPoleEnv()
        except ProtocolViolationError:
            raise ZeroDivisionError from None


def test_outside_all_may_be_built() -> None:
    assert gymnasium.make("CartPole-v1").reset()[0].shape == (4,)
    with sealed(), unsealed():
        assert CartPoleEnv().reset()[0].shape == (4,)
    assert CartPoleEnv() is not None


def test_a_methods_own_model_may_be_built_and_wrapped() -> None:
    with sealed():
        env = DummyVecEnv([lambda: gymnasium.wrappers.TimeLimit(OwnModel(), 5)])
        assert env.reset().shape == (1, 2)
        assert env.step(np.array([0]))[2].tolist() == [True]


def test_a_suites_further_environments_are_sealed_too() -> None:
    with sealed():
        OwnModel()
    with pytest.raises(ProtocolViolationError), sealed(__name__ + "_not_this"), sealed(OwnModel.__module__):
        OwnModel()


def test_the_harness_opens_lanes_while_a_method_runs(tiny: SuiteSpec) -> None:
    with sealed():
        task = HarnessTask(tiny.tasks["cartpole"], "source", 0, budget=10)
        env = task.envs(2)
        assert env.reset().shape == (2, 4)
        env.step(np.zeros(2, dtype=np.int64))


@pytest.mark.parametrize("action", [2, -1])
def test_any_swallowed_violation_counts(tiny: SuiteSpec, action: int) -> None:
    with pytest.raises(ProtocolViolationError, match="outside the action space"), sealed():  # noqa: PT012
        env = HarnessTask(tiny.tasks["cartpole"], "source", 0, budget=100).envs(2)
        env.reset()
        try:
            env.step(np.full(2, action))
        except Exception:
            env.step(np.zeros(2, dtype=np.int64))
