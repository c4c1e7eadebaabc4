"""CRAR as a Stable-Baselines3 algorithm."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import update_learning_rate

from tlbench.baselines.learners.crar.history import LossHistory
from tlbench.baselines.learners.crar.losses import Transitions, Weights, losses
from tlbench.baselines.learners.crar.policy import CRARPolicy
from tlbench.baselines.learners.dqn_replay import SeededReplayBuffer
from tlbench.protocol.interface import Array


class CRAR(OffPolicyAlgorithm):
    """Combined reinforcement via abstract representations (François-Lavet et al. 2019), one step for all losses.

    Use it like any SB3 algorithm: ``CRAR("CRARPolicy", env).learn(100_000)``; deterministic predictions are planned.

    Args:
        policy: ``"CRARPolicy"`` or a subclass.
        env: The environment: float observations (a vector, or a square picture with channels first), discrete actions.
        learning_rate: The optimiser's learning rate, before ``decay``; or a schedule of it, as SB3's.
        decay: Factor on the learning rate after each ``decay_interval`` updates.
        decay_interval: See ``decay``.
        buffer_size: Transitions that replay keeps.
        learning_starts: Environment steps before the first update, under random actions.
        batch_size: Minibatch size.
        gamma: The discount.
        train_freq: Steps of all lanes between updates.
        gradient_steps: Updates each time.
        target_update_interval: Updates after which the target networks are copied.
        double: Double Q-learning.
        weights: Factors of the losses.
        unstructured_share: Share of training at first without the losses that shape the abstract space.
        max_grad_norm: Largest norm of the gradient.
        exploration_fraction: Share of training over which epsilon falls from 1.
        exploration_final: Epsilon from then on.
        policy_kwargs: Arguments of the policy.
        stats_window_size: Episodes over which SB3's logger averages.
        tensorboard_log: Folder for TensorBoard, or ``None``.
        verbose: SB3's verbosity.
        seed: Seed of parameters, exploration and minibatches.
        device: Torch device.
        _init_setup_model: Whether to build the networks at once.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"CRARPolicy": CRARPolicy}
    policy: CRARPolicy
    replay_buffer: SeededReplayBuffer

    def __init__(
        self,
        policy: str | type[CRARPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule = 5e-4,
        decay: float = 1.0,
        decay_interval: int = 5_000,
        buffer_size: int = 100_000,
        learning_starts: int = 1_000,
        batch_size: int = 32,
        gamma: float = 0.9,
        train_freq: int = 1,
        gradient_steps: int = 1,
        target_update_interval: int = 1_000,
        double: bool = True,
        weights: Weights | None = None,
        unstructured_share: float = 0.0,
        max_grad_norm: float = 1.0,
        exploration_fraction: float = 0.5,
        exploration_final: float = 0.1,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy,
            env,  # type: ignore[arg-type]  # None while loading, as for SB3's own
            learning_rate,
            buffer_size,
            learning_starts,
            batch_size,
            gamma=gamma,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            replay_buffer_class=SeededReplayBuffer,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device=device,
            support_multi_env=True,
            sde_support=False,
            supported_action_spaces=(spaces.Discrete,),
        )
        self.decay = decay
        self.decay_interval = decay_interval
        self.target_update_interval = target_update_interval
        self.double = double
        self.weights = weights or Weights()
        self.unstructured_share = unstructured_share
        self.max_grad_norm = max_grad_norm
        self.exploration_fraction = exploration_fraction
        self.exploration_final = exploration_final
        self.history = LossHistory()
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        exploration, minibatches = np.random.SeedSequence(self.seed).spawn(2)
        self._exploration_rng = np.random.default_rng(exploration)
        self.replay_buffer.rng = np.random.default_rng(minibatches)

    @property
    def exploration_rate(self) -> float:
        """Epsilon: falls evenly from 1."""
        done = (1 - self._current_progress_remaining) / self.exploration_fraction
        return max(self.exploration_final, 1 - done * (1 - self.exploration_final))

    def train(self, gradient_steps: int, batch_size: int = 32) -> None:
        """Take this many steps on minibatches of the replay buffer."""
        normalize = self._vec_normalize_env
        for _ in range(gradient_steps):
            obs, actions, rewards, next_obs, ended = self.replay_buffer.arrays(self.replay_buffer.draw(batch_size))
            if normalize is not None:  # replay keeps what the environment gave
                obs, next_obs = (np.asarray(normalize.normalize_obs(seen)) for seen in (obs, next_obs))
                rewards = normalize.normalize_reward(rewards)
            self.update(obs, actions, rewards, next_obs, ended)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def progress(self, share: float) -> None:
        """Tell which share of training is done where SB3 doesn't know: minibatches that come from elsewhere."""
        self._current_progress_remaining = 1 - share

    def update(self, obs: Array, actions: Array, rewards: Array, next_obs: Array, ended: Array) -> None:
        """Take one step on a minibatch; none if every parameter is frozen.

        Args:
            obs: ``[batch, ...]``.
            actions: ``[batch]``.
            rewards: ``[batch]``.
            next_obs: ``[batch, ...]``, at an episode's end its last observation.
            ended: ``[batch]``, 1 where the episode terminated.
        """
        trained = [p for p in self.policy.networks.parameters() if p.requires_grad]
        if not trained:
            return
        policy, device = self.policy, self.device
        batch = Transitions(
            policy.tensor(obs),
            torch.as_tensor(np.asarray(actions), dtype=torch.int64, device=device),
            torch.as_tensor(np.asarray(rewards), dtype=torch.float32, device=device),
            torch.as_tensor(np.asarray(ended), dtype=torch.float32, device=device),
            policy.tensor(next_obs),
        )
        weights = self.weights
        if 1 - self._current_progress_remaining < self.unstructured_share:
            weights = weights.without_structure()
        found = losses(policy.networks, policy.target, batch, self.gamma, self.double)
        total = sum(getattr(weights, name) * loss for name, loss in found.items())
        assert isinstance(total, torch.Tensor)
        rate = self.lr_schedule(self._current_progress_remaining)
        update_learning_rate(policy.optimizer, rate * self.decay ** (self._n_updates // self.decay_interval))
        policy.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, self.max_grad_norm)
        policy.optimizer.step()
        self._n_updates += 1
        if self._n_updates % self.target_update_interval == 0:
            policy.target.load_state_dict(policy.networks.state_dict())
        self.history.add(found)

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Actions: planned if deterministic, else per lane random with probability epsilon and best by Q otherwise."""
        actions, state = self.policy.predict(observation, state, episode_start, deterministic)
        if not deterministic:
            random = self._exploration_rng.random(actions.shape) < self.exploration_rate
            drawn = self._exploration_rng.integers(int(self.action_space.n), size=actions.shape)  # type: ignore[attr-defined]
            actions = np.where(random, drawn, actions)
        return actions, state

    def _sample_action(
        self, learning_starts: int, action_noise: Any = None, n_envs: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        del action_noise
        if self.num_timesteps < learning_starts or self.exploration_rate == 1:
            actions = self._exploration_rng.integers(int(self.action_space.n), size=n_envs)  # type: ignore[attr-defined]
        else:
            assert isinstance(self._last_obs, np.ndarray)
            actions, _ = self.predict(self._last_obs)
        return actions, actions

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_exploration_rng"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []
