"""SB3's DQN for many lanes: exploration per lane, generators of its own, NumPy where the network is a small MLP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import stable_baselines3
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq
from stable_baselines3.common.vec_env import VecEnv
from torch.nn.functional import smooth_l1_loss

from tlbench.baselines.learners.dqn_numpy import NumpyUpdate
from tlbench.baselines.learners.dqn_policy import LeanQPolicy, linears
from tlbench.baselines.learners.dqn_replay import FrameReplayBuffer, SeededReplayBuffer
from tlbench.protocol.interface import Array


class LeanDQN(stable_baselines3.DQN):
    """SB3's DQN whose collection and update do the same with less overhead.

    Differences: each lane explores on its own (in SB3 all lanes do at once); actions and minibatches come from
    generators of the model's own, seeded with ``seed``; a small MLP on the CPU is updated in NumPy
    (:class:`NumpyUpdate`); elsewhere nothing is read back from the device between updates. Use it like SB3's, with
    :class:`LeanQPolicy` and one of the replay buffers of ``dqn_replay``.

    Args:
        *args: As for SB3's ``DQN``.
        clip_rewards: Whether rewards are clipped to [-1, 1] for learning (Mnih et al. 2015).
        reward_scale: Factor on rewards for learning, before they are clipped.
        **kwargs: As for SB3's ``DQN``.

    Attributes:
        replayed: Gives the actions of a training that is replayed, for that many lanes; meanwhile nothing is explored
            and nothing learnt. ``None`` otherwise.
    """

    policy: LeanQPolicy
    replay_buffer: SeededReplayBuffer | FrameReplayBuffer  # type: ignore[assignment]

    def __init__(self, *args: Any, clip_rewards: bool = False, reward_scale: float = 1.0, **kwargs: Any) -> None:
        self.clip_rewards = clip_rewards
        self.reward_scale = reward_scale
        self.replayed: Callable[[int], NDArray[np.int64]] | None = None
        self._update: NumpyUpdate | None = None
        kwargs.setdefault("replay_buffer_class", SeededReplayBuffer)
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        exploration, minibatches = np.random.SeedSequence(self.seed).spawn(2)
        self._exploration_rng = np.random.default_rng(exploration)
        self.replay_buffer.rng = np.random.default_rng(minibatches)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: SeededReplayBuffer | FrameReplayBuffer,  # type: ignore[override]
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Step all lanes ``train_freq`` times and store the transitions; see SB3."""
        del action_noise
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        episodes = 0
        for step in range(1, train_freq.frequency + 1):
            assert isinstance(self._last_obs, np.ndarray)
            actions = self._explore(self._last_obs, self.num_timesteps < learning_starts)
            new_obs, rewards, dones, infos = env.step(actions)
            assert isinstance(new_obs, np.ndarray)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return RolloutReturn(step * env.num_envs, episodes, continue_training=False)
            next_obs = new_obs
            if dones.any():
                next_obs = new_obs.copy()
                for lane in np.flatnonzero(dones):
                    next_obs[lane] = infos[lane]["terminal_observation"]
                    episodes += 1
                    self._episode_num += 1
                    if log_interval is not None and self._episode_num % log_interval == 0:
                        self.dump_logs()
                self._update_info_buffer(infos, dones)
            kept = rewards * self.reward_scale
            if self.clip_rewards:
                kept = np.clip(kept, -1, 1)
            replay_buffer.add(self._last_obs, next_obs, actions, kept, dones, infos)
            self._last_obs = new_obs
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            self._on_step()
        callback.on_rollout_end()
        return RolloutReturn(train_freq.frequency * env.num_envs, episodes, continue_training=True)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Take ``gradient_steps`` steps; none if every parameter is frozen, or in a replay."""
        if self.replayed is not None or not any(p.requires_grad for p in self.q_net.parameters()):
            return
        self._update_learning_rate(self.policy.optimizer)
        if self.policy.in_numpy() and isinstance(self.replay_buffer, SeededReplayBuffer):
            self._train_in_numpy(self.replay_buffer, gradient_steps, batch_size)
        else:
            self._train_in_torch(gradient_steps, batch_size)
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _explore(self, obs: Array, warming_up: bool) -> NDArray[np.int64]:
        """Per lane, a uniform action with probability ``exploration_rate`` (1 while warming up), else the best."""
        lanes = len(obs)
        if self.replayed is not None:
            return self.replayed(lanes)
        drawn = self._exploration_rng.integers(int(self.action_space.n), size=lanes)  # type: ignore[attr-defined]
        if warming_up:
            return drawn
        random = self._exploration_rng.random(lanes) < self.exploration_rate
        return drawn if random.all() else np.where(random, drawn, self.policy.greedy(obs))

    def renew_update(self) -> None:
        """Follow parameters and moments that were set from outside."""
        begun = self._n_updates > 0 and self.policy.in_numpy()
        self._update = self._new_update() if begun and any(p.requires_grad for p in self.q_net.parameters()) else None

    def _new_update(self) -> NumpyUpdate:
        layers, targets = linears(self.q_net), linears(self.q_net_target)
        return NumpyUpdate(layers, targets, self.policy.activation, self.policy.optimizer)

    def _train_in_numpy(self, buffer: SeededReplayBuffer, gradient_steps: int, batch_size: int) -> None:
        if self._update is None or not self._update.holds(self.policy.optimizer):
            self._update = self._new_update()
        obs, actions, rewards, next_obs, ended = buffer.arrays(buffer.draw(gradient_steps, batch_size))
        shape = (gradient_steps, batch_size, -1)
        obs, next_obs = (x.astype(np.float32, copy=False).reshape(shape) for x in (obs, next_obs))
        self._update.run(obs, actions, rewards, next_obs, ended, self.gamma, self.max_grad_norm)

    def _train_in_torch(self, gradient_steps: int, batch_size: int) -> None:
        """Fetch all minibatches and compute their targets at once: the steps between them change neither."""
        self.policy.set_training_mode(True)
        trained = [p for p in self.q_net.parameters() if p.requires_grad]
        batch = self.replay_buffer.sample(gradient_steps * batch_size)
        with torch.no_grad():
            best = self.q_net_target(batch.next_observations).amax(dim=1, keepdim=True)
            targets = batch.rewards + (1 - batch.dones) * self.gamma * best
        columns = (batch.observations, batch.actions, targets)
        for obs, actions, wanted in zip(*(column.split(batch_size) for column in columns), strict=True):
            values = self.q_net(obs).gather(1, actions)
            self.policy.optimizer.zero_grad()
            smooth_l1_loss(values, wanted).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(trained, self.max_grad_norm)
            self.policy.optimizer.step()

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_update", "replayed"]
