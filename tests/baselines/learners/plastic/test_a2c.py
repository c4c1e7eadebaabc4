"""A2C with memory: sequences equal steps, baselines are each lane's own, memory goes through `act`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import ConvertCallback
from stable_baselines3.common.logger import Logger

from tlbench.baselines.learners.agent import build_model
from tlbench.baselines.learners.plastic.a2c import RecurrentA2C
from tlbench.baselines.learners.plastic.core_policy import CorePolicy
from tlbench.protocol.discovery import learners
from tlbench.protocol.interface import Interface
from tlbench.protocol.specs import SuiteSpec
from tlbench.protocol.task import HarnessTask

KINDS = ("plastic", "plastic-homogeneous", "rnn", "lstm")
INTERFACE = Interface(spaces.Box(-1, 1, (5,)), spaces.Discrete(3), 0.9)


def make(kind: str, **settings: Any) -> RecurrentA2C:
    return build_model(
        RecurrentA2C,
        INTERFACE,
        4,
        policy=CorePolicy,
        n_steps=30,
        policy_kwargs={"kind": kind, "neurons": 10},
        seed=0,
        **settings,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_over_time_equals_step_by_step_through_ends_of_episodes(kind: str) -> None:
    policy = make(kind).policy
    with torch.no_grad():
        for parameter in policy.core.parameters():
            parameter.mul_(4)
    rng = np.random.default_rng(0)
    obs, first = rng.random((30, 4, 5)).astype(np.float32), rng.random((30, 4)) < 0.05
    first[0] = True
    frozen, memory, logits, values = policy.freeze(), None, [], []
    for x, starts in zip(obs, first, strict=True):
        values.append(policy.value(x, memory, starts))
        actions, next_memory = frozen.act(x, memory, starts)
        memory = next_memory
        logits.append(actions)
    log_probs, together = policy.over_time(torch.from_numpy(obs), None, torch.from_numpy(first))
    np.testing.assert_allclose(together.detach(), torch.stack(values), atol=1e-5)
    np.testing.assert_array_equal(log_probs.detach().argmax(dim=2), np.stack(logits))
    np.testing.assert_allclose(log_probs.detach().exp().sum(dim=2), 1, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_actions_follow_their_probabilities(kind: str) -> None:
    policy, lanes = make(kind).policy, 20_000
    obs = np.tile(np.random.default_rng(0).random(5).astype(np.float32), (lanes, 1))
    with torch.no_grad():
        policy.action_net.weight.mul_(100)
    actions, values, log_probs, _ = policy.draw(obs, None, np.ones(lanes, bool))
    expected, value = policy.over_time(torch.from_numpy(obs[None, :1]), None, torch.ones(1, 1, dtype=torch.bool))
    shares = np.bincount(actions, minlength=3) / lanes
    np.testing.assert_allclose(shares, expected.detach().exp()[0, 0], atol=0.02)
    np.testing.assert_allclose(log_probs, expected.detach()[0, 0][actions], atol=1e-5)
    np.testing.assert_allclose(values, value.detach()[0].expand(lanes), atol=1e-5)


def test_the_lstm_is_sb3_contribs() -> None:
    policy = make("lstm").policy
    assert policy.core.lstm is policy.lstm_actor
    assert isinstance(policy.lstm_actor, torch.nn.LSTM)


@pytest.mark.parametrize("kind", KINDS)
def test_the_optimiser_has_every_parameter_once_and_every_role_is_one(kind: str) -> None:
    policy = make(kind).policy
    held = [id(p) for group in policy.optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in policy.roles().values())
    assert next(iter(policy.roles())) == "body.0.weight"


class Corridor:
    """Lanes that pay what a lane's own first observation promised: only memory can tell values apart."""

    def __init__(self, lanes: int) -> None:
        self.num_envs = lanes
        self.step_number = 0
        self.promise = np.linspace(-1, 1, lanes, dtype=np.float32)

    def reset(self) -> np.ndarray:
        self.step_number = 0
        return self._obs()

    def step(self, actions: np.ndarray) -> Any:
        self.step_number += 1
        done = self.step_number % 5 == 0
        rewards = self.promise.copy() if done else np.zeros(self.num_envs, np.float32)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        return self._obs(), rewards, np.full(self.num_envs, done), infos

    def _obs(self) -> np.ndarray:
        obs = np.zeros((self.num_envs, 5), np.float32)
        if self.step_number % 5 == 0:
            obs[:, 0] = self.promise
        return obs


def test_returns_and_each_lanes_own_baseline() -> None:
    """Discounted sums by hand; an advantage is a lane's return minus that lane's value, not another's."""
    model = make("rnn")
    env: Any = Corridor(4)
    model._last_obs, model._last_episode_starts = env.reset(), np.ones(4, bool)
    callback = ConvertCallback(lambda *_: True)
    callback.init_callback(model)
    model.ep_info_buffer, model.ep_success_buffer = None, None
    model._update_info_buffer = lambda *_: None  # type: ignore[method-assign]
    assert model.collect_rollouts(env, callback, model.rollout_buffer, 30)
    buffer = model.rollout_buffer
    expected = np.array([0.9 ** (4 - t % 5) for t in range(30)])[:, None] * env.promise
    np.testing.assert_allclose(buffer.returns, expected, atol=1e-5)
    np.testing.assert_allclose(buffer.advantages, expected - buffer.values, atol=1e-5)
    assert len(np.unique(buffer.values[0])) == 4
    np.testing.assert_array_equal(np.flatnonzero(buffer.episode_starts[:, 0]), np.arange(0, 30, 5))


@pytest.mark.slow
def test_the_critic_learns_what_only_memory_can_tell() -> None:
    model = make("plastic", learning_rate=3e-3, vf_coef=1.0)
    env: Any = Corridor(4)
    callback = ConvertCallback(lambda *_: True)
    callback.init_callback(model)
    model._update_info_buffer = lambda *_: None  # type: ignore[method-assign]
    model._current_progress_remaining = 1.0
    model._logger = Logger(None, [])
    model._last_obs, model._last_episode_starts = env.reset(), np.ones(4, bool)
    errors = []
    for _ in range(250):
        model.collect_rollouts(env, callback, model.rollout_buffer, 30)
        errors.append(float(np.square(model.rollout_buffer.returns - model.rollout_buffer.values).mean()))
        model.train()
    assert errors[-1] < 0.1 * errors[0]


@pytest.mark.parametrize("name", ["plastic", "lstm"])
def test_it_learns_an_environment_with_equal_seeds_alike(tiny: SuiteSpec, name: str) -> None:
    spec = tiny.tasks["cartpole"].model_copy(
        update={"target": tiny.tasks["cartpole"].schedule("target").model_copy(update={"budget": 6000})}
    )
    ends = []
    for disturbance in (1, 2):
        task = HarnessTask(spec, "target", 0, discrete=True)
        found = learners()[name]
        agent = found.build(task.interface, found.Config(n_envs=16, n_steps=50, neurons=20), 0, "cpu")
        torch.manual_seed(disturbance)
        start = agent.params()
        agent.load({}, ["body.1.weight"])
        agent.train(task)
        assert agent.gradient_steps == 6000 // (16 * 50)
        final = agent.params()
        assert {role for role in start if torch.equal(start[role], final[role])} == {"body.1.weight"}
        ends.append(final)
        assert len(task.finish()) == 5
    assert all(torch.equal(ends[0][role], ends[1][role]) for role in ends[0])
