"""Tasks for learner tests: a counted budget over tlbench's own environments, without the harness."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

import tlbench.tasks.environments  # noqa: F401  (registers them)
from tlbench.baselines.learners.dqn import DQN
from tlbench.baselines.learners.ppo import PPO
from tlbench.baselines.learners.trpo import TRPO
from tlbench.baselines.learners.vpg import VPG
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.interface import Interface, Learner, Policy
from tlbench.protocol.vector import DiscreteActions, VectorEnvAdapter

DISCRETE, CONTINUOUS = "tlbench/CartPole-v1", "tlbench/Pendulum-v1"

INTERFACES = {
    "discrete": Interface(spaces.Box(-np.inf, np.inf, (5,)), spaces.Discrete(3), 0.99),
    "continuous": Interface(spaces.Box(-np.inf, np.inf, (5,)), spaces.Box(-1.5, np.array([1, 2], np.float32)), 0.99),
}


def open_envs(environment: str, n: int, seed: int = 0, discrete: bool = False) -> VecEnv:
    """Lanes of an environment with same-step autoreset; continuous actions as three if ``discrete``."""
    venv = gymnasium.make_vec(
        environment, n, vectorization_mode="vector_entry_point", autoreset_mode=AutoresetMode.SAME_STEP
    )
    if discrete and isinstance(venv.single_action_space, spaces.Box):
        venv = DiscreteActions(venv, [[-2.0], [0.0], [2.0]])
    adapter = VectorEnvAdapter(venv)
    adapter.seed_lanes([seed + i for i in range(n)])
    return adapter


class Metered(VecEnvWrapper):
    """Counts steps and ends the budget."""

    def __init__(self, venv: VecEnv, task: "FakeTask") -> None:
        super().__init__(venv)
        self.task = task

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        if self.task.spent + self.num_envs > self.task.budget:
            raise BudgetExhausted
        self.task.spent += self.num_envs
        obs, rewards, dones, infos = self.venv.step_wait()
        self.task.returns += float(np.sum(rewards))
        self.task.episodes_done += int(np.sum(dones))
        return obs, rewards, dones, infos


@dataclass
class FakeTask:
    """A metered task."""

    environment: str
    budget: int
    seed: int = 0
    discrete: bool = False
    spent: int = 0
    returns: float = 0.0
    episodes_done: int = 0
    published: list[Policy] = field(default_factory=list)
    unit = "env_steps"

    @property
    def interface(self) -> Interface:
        envs = open_envs(self.environment, 1, discrete=self.discrete)
        return Interface(envs.observation_space, envs.action_space, 0.99)

    def publish(self, policy: Policy) -> None:
        self.published.append(policy)

    def envs(self, n: int) -> VecEnv:
        assert self.published, "nothing published"
        return Metered(open_envs(self.environment, n, self.seed, self.discrete), self)

    def samples(self, batch: int) -> Iterator:
        raise NotImplementedError

    def episodes(self, n: int) -> Iterator:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def discrete_only(request) -> bool:
    """Whether the test's learner takes discrete actions only."""
    return "learner" in request.fixturenames and request.getfixturevalue("learner").discrete_only


@pytest.fixture
def make_task(request) -> Callable[..., FakeTask]:
    return partial(FakeTask, discrete=discrete_only(request))


@pytest.fixture
def make_envs() -> Callable[..., VecEnv]:
    return open_envs


@pytest.fixture(params=["discrete", "continuous"])
def interface(request) -> Interface:
    found = INTERFACES[request.param]
    if discrete_only(request) and isinstance(found.action_space, spaces.Box):
        return replace(found, action_space=spaces.Discrete(4))
    return found


@pytest.fixture(params=[DISCRETE, CONTINUOUS], ids=["CartPole", "Pendulum"])
def environment(request) -> str:
    return request.param


@pytest.fixture(params=[VPG, PPO, TRPO, DQN], ids=["vpg", "ppo", "trpo", "dqn"])
def learner(request) -> Learner:
    return request.param()


@pytest.fixture
def small_config() -> Callable[..., object]:
    """A configuration that updates often: a few hundred steps are enough for several updates."""

    def make(learner: Learner, **changes: object) -> object:
        small = {"n_envs": 4, "batch_size": 64}
        if learner.id == "ppo":
            small |= {"n_steps": 32, "n_epochs": 2}
        if learner.id == "trpo":
            small |= {"n_steps": 32, "n_critic_updates": 2}
        if learner.id == "dqn":
            small |= {"train_freq": 4, "gradient_steps": 2, "learning_starts": 64}
        return learner.Config(**{**small, **changes})

    return make
