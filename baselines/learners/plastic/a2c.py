"""A2C with memory: one gradient step through time on each rollout, as a Stable-Baselines3 algorithm.

Document: plasticity-and-model-based-review.txt, section 4.1 (maze exploration), on Miconi, Clune & Stanley (2018),
section 4.4. In words: lanes play ``n_steps`` steps, by default as many as an episode of the maze has; the discounted
returns minus the network's own values weight the log-probabilities of the actions, and gradients run through the whole
rollout, traces included. To this come the values' squared error and the sum of the squared probabilities, which keeps
actions spread (the original's substitute for the entropy).

Every lane's baseline is its own value. In the original's batched code it is the value of the batch's first element for
all of them, which leaves the gradient unbiased but noisier; it is not reproduced. What the documents leave open, and
what was chosen here: rewards are divided by ``reward_scale``; an episode that a time limit ends gets no bootstrap, a
rollout that ends within an episode does, and memory goes on into the next rollout without gradients.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from tlbench.baselines.learners.agent import ModelAgent
from tlbench.baselines.learners.plastic.core_policy import CorePolicy


class RecurrentA2C(OnPolicyAlgorithm):
    """A2C through time.

    Args:
        policy: :class:`CorePolicy`.
        env: The environment.
        learning_rate: Adam's learning rate.
        n_steps: Steps of a lane per rollout.
        gamma: The discount.
        vf_coef: Weight of the values' squared error.
        spread_coef: Weight of the sum of squared probabilities.
        max_grad_norm: Largest norm of a gradient.
        reward_scale: What rewards are divided by.
        **kwargs: As for SB3's algorithms.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"CorePolicy": CorePolicy}
    policy: CorePolicy

    def __init__(
        self,
        policy: str | type[CorePolicy],
        env: Any,
        learning_rate: float = 1e-3,
        n_steps: int = 200,
        gamma: float = 0.9,
        vf_coef: float = 0.1,
        spread_coef: float = 0.03,
        max_grad_norm: float = 4.0,
        reward_scale: float = 1.0,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            gae_lambda=1.0,
            ent_coef=0.0,
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            _init_setup_model=_init_setup_model,
            supported_action_spaces=(spaces.Discrete,),
            **kwargs,
        )
        self.spread_coef = spread_coef
        self.reward_scale = reward_scale
        self._memory: Any = None
        self._memory_before: Any = None

    def _setup_model(self) -> None:
        super()._setup_model()
        self.policy.reseed(self.seed)

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        self._memory = None  # the environment is reset
        return super()._setup_learn(*args, **kwargs)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Play ``n_rollout_steps`` steps in every lane.

        Returns:
            False if the callback ended training.
        """
        rollout_buffer.reset()
        self._memory_before = self._memory
        callback.on_rollout_start()
        obs, first = np.asarray(self._last_obs), np.asarray(self._last_episode_starts, dtype=np.bool_)
        for _ in range(n_rollout_steps):
            actions, values, log_probs, self._memory = self.policy.draw(obs, self._memory, first)
            new_obs, rewards, dones, infos = env.step(actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            if dones.any():
                self._update_info_buffer(infos, dones)
            rollout_buffer.add(obs, actions[:, None], rewards / self.reward_scale, first, values, log_probs)
            obs, first = np.asarray(new_obs), dones
        self._last_obs, self._last_episode_starts = obs, first
        last = self.policy.value(obs, self._memory, first)
        rollout_buffer.compute_returns_and_advantage(last_values=last, dones=first)
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """One gradient step on the rollout; none if every parameter is frozen."""
        live = [p for p in self.policy.parameters() if p.requires_grad]
        if not live:
            return
        self._update_learning_rate(self.policy.optimizer)
        buffer = self.rollout_buffer
        obs, first, actions, returns, advantages = (
            torch.as_tensor(column)
            for column in (
                buffer.observations,
                buffer.episode_starts,
                buffer.actions,
                buffer.returns,
                buffer.advantages,
            )
        )
        log_probs, values = self.policy.over_time(obs.float(), self._memory_before, first.bool())
        chosen = log_probs.gather(2, actions.long()).squeeze(2)
        loss = (
            -(chosen * advantages).mean()
            + self.vf_coef * (returns - values).square().mean()
            + self.spread_coef * log_probs.exp().square().sum(2).mean()
        )
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(live, self.max_grad_norm)
        self.policy.optimizer.step()
        self._n_updates += 1


class RecurrentAgent(ModelAgent):
    """Wraps a :class:`RecurrentA2C`.

    Args:
        model: The model, built for the task's spaces.
    """

    def __init__(self, model: RecurrentA2C) -> None:
        super().__init__(model, model.policy, dict(model.policy.roles()))

    @property
    def gradient_steps(self) -> int:  # type: ignore[override]
        """Optimiser steps taken so far."""
        return int(self.model._n_updates)

    def _renew(self) -> None:
        net = self.model.policy
        net.optimizer = net.optimizer_class(net.parameters(), lr=self.model.lr_schedule(1), **net.optimizer_kwargs)
