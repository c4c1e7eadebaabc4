"""SB3's TD3 as a member of a portfolio: it learns from a replay buffer that others fill too, and steps no environment.

It lives in a space of scores in [-1, 1], one per action or per entry of a bounded ``Box``; what a score means to the
environment is the layout's affair (the largest of discrete actions wins). So TD3 learns discrete tasks too, from a
critic that sees the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from tlbench.baselines.learners.networks import TORCH_ACTIVATIONS, Activation, linear_layers
from tlbench.baselines.learners.neuroevolution.genomes import Layout, Vector
from tlbench.baselines.learners.neuroevolution.td3_numpy import NumpyTD3, Transitions
from tlbench.protocol.interface import Array, Interface, Params


class SharedReplay(ReplayBuffer):
    """SB3's replay buffer, sampled with a generator of its own.

    Args:
        size: Transitions, at most.
        observations: Entries of an observation.
        scores: Entries of a score.
        lanes: Lanes that are stored together.
        rng: The generator.
    """

    def __init__(self, size: int, observations: int, scores: int, lanes: int, rng: np.random.Generator) -> None:
        super().__init__(size, _box(observations, np.inf), _box(scores, 1), "cpu", lanes)
        self._rng = rng

    def store(
        self, obs: Array, scores: Array, rewards: Array, after: Array, dones: Array, infos: list[dict[str, Any]]
    ) -> None:
        """Store a vector step; where an episode ended, ``after`` is not yet the next one's start."""
        last = np.array(after)
        for lane in np.flatnonzero(dones).tolist():
            last[lane] = infos[lane]["terminal_observation"]
        self.add(obs, last, np.clip(scores, -1, 1), rewards, dones, infos)

    def draw(self, count: int) -> Transitions:
        """Draw transitions uniformly, with replacement."""
        rows, lanes = np.divmod(self._rng.integers(self.size() * self.n_envs, size=count), self.n_envs)
        return Transitions(
            self.observations[rows, lanes],
            self.actions[rows, lanes],
            self.rewards[rows, lanes],
            self.next_observations[rows, lanes],
            self.dones[rows, lanes] * (1 - self.timeouts[rows, lanes]),
        )

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """The same draws as SB3's minibatch."""
        del env
        batch = self.draw(batch_size)
        columns = batch.obs, batch.actions, batch.following, batch.ended[:, None], batch.rewards[:, None]
        return ReplayBufferSamples(*(torch.from_numpy(column) for column in columns))


class _Policy(TD3Policy):
    """Critics have ReLUs whatever the actor has: returns are no bounded quantity."""

    def make_critic(self, features_extractor: Any = None) -> ContinuousCritic:
        """Build a critic."""
        self.critic_kwargs["activation_fn"] = nn.ReLU
        return super().make_critic(features_extractor)


class TD3Member:
    """A TD3 learner in a portfolio.

    Args:
        interface: The task's interface.
        discount: The learner's discount.
        replay: What it learns from.
        hidden_sizes: Units of the hidden layers, actor and critics alike.
        activation: The actor's activation.
        learning_rate: Adam's learning rate.
        batch_size: Transitions per gradient step.
        tau: Share of the networks that enters their targets at a step.
        noise: Standard deviation of the noise on its scores when it plays.
        seed: Seed of its networks.
        rng: Draws the noise on its targets' actions.
    """

    def __init__(
        self,
        interface: Interface,
        discount: float,
        replay: SharedReplay,
        hidden_sizes: Sequence[int],
        activation: Activation,
        learning_rate: float,
        batch_size: int,
        tau: float,
        noise: float,
        seed: int,
        rng: np.random.Generator,
    ) -> None:
        self.noise = noise
        self._replay, self._activation, self._rng = replay, activation, rng
        self._update: NumpyTD3 | None = None
        self._batch_size = batch_size
        model = stable_baselines3.TD3(
            _Policy,
            env=None,  # type: ignore[arg-type]
            learning_rate=learning_rate,
            buffer_size=1,
            batch_size=batch_size,
            tau=tau,
            gamma=discount,
            policy_kwargs={
                "net_arch": list(hidden_sizes),
                "activation_fn": TORCH_ACTIVATIONS[activation],
                "optimizer_kwargs": {"fused": True},
            },
            seed=seed,
            device="cpu",
            _init_setup_model=False,
        )
        model.observation_space, model.action_space = replay.observation_space, replay.action_space
        model.n_envs = replay.n_envs
        model._setup_model()
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.replay_buffer = replay
        self.model = model
        self.layout = Layout.of(self.params(), activation, interface.action_space, squashed=True)
        self.weights: Vector = self.layout.pack(self.params())
        """The actor, as a network that can be seated."""

    @property
    def gradient_steps(self) -> int:
        """Steps taken so far."""
        return self.model._n_updates

    def learn(self, steps: int) -> None:
        """Take gradient steps, as SB3's ``train`` does."""
        if self._update is None:
            self._update = NumpyTD3(self.model, self._activation, self._rng)
        for _ in range(steps):
            self._update.step(self._replay.draw(self._batch_size))
        self._update.tell()
        self.weights = self.layout.pack(self.params())

    def params(self) -> Params:
        """The actor's live parameters by role."""
        return _by_role(self.model.actor)

    def load(self, params: Params, frozen: Sequence[str] = ()) -> None:
        """Set the actor's parameters; frozen ones take no steps. The actor's optimiser starts afresh."""
        for actor in (self.model.actor, self.model.actor_target):
            roles = _by_role(actor)
            with torch.no_grad():
                for role, tensor in params.items():
                    roles[role].copy_(tensor)
        for role, parameter in self.params().items():
            parameter.requires_grad_(role not in frozen)
            parameter.grad = None
        actor = self.model.actor
        old = actor.optimizer
        actor.optimizer = type(old)(actor.parameters(), lr=self.model.lr_schedule(1), fused=True)  # type: ignore[call-arg]
        self._update = None
        self.weights = self.layout.pack(self.params())


def score_entries(space: spaces.Space[Any]) -> int:
    """Scores that an action has: one per discrete action, or per entry of a ``Box``."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    assert isinstance(space, spaces.Box)
    return int(np.prod(space.shape))


def _by_role(actor: nn.Module) -> Params:
    linears = linear_layers(actor.mu)  # type: ignore[arg-type]
    names = [*(f"body.{i}" for i in range(len(linears) - 1)), "head"]
    roles: Params = {}
    for name, linear in zip(names, linears, strict=True):
        roles[f"{name}.weight"], roles[f"{name}.bias"] = linear.weight, linear.bias
    return roles


def _box(entries: int, bound: float) -> spaces.Box:
    return spaces.Box(-bound, bound, (entries,), np.float32)
