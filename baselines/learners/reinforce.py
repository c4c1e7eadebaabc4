"""REINFORCE with reward-to-go as a Stable-Baselines3 algorithm."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.vec_env import VecEnv

from tlbench.baselines.learners.episodes import EpisodeBuffer
from tlbench.baselines.learners.policies import ActorPolicy, unsupported_spaces
from tlbench.protocol.interface import Interface


class Reinforce(OnPolicyAlgorithm):
    """REINFORCE (Williams 1992) with reward-to-go, normalised over the batch; no baseline, no critic.

    An update is one Adam step on all episodes finished since the last one, as soon as they have ``batch_size`` steps;
    unfinished episodes are carried to the next update. An episode that a time limit cuts counts as ended: its
    reward-to-go is not bootstrapped.

    Use it like any SB3 algorithm: ``Reinforce("MlpPolicy", env).learn(100_000)``.

    Args:
        policy: ``"MlpPolicy"`` or a subclass of :class:`ActorPolicy`.
        env: The environment (lanes that end must be reset within the same step, as SB3's ``VecEnv`` does).
        learning_rate: Adam's learning rate, or a schedule of it.
        batch_size: Environment steps of finished episodes per update, at least.
        gamma: The discount.
        policy_kwargs: Arguments for the policy; two tanh layers of 64 by default.
        stats_window_size: Episodes over which SB3's logger averages.
        tensorboard_log: Folder for TensorBoard, or ``None``.
        verbose: SB3's verbosity.
        seed: Seed of the parameters and of the actions drawn.
        device: Where updates are computed; acting is always on the CPU.
        _init_setup_model: Whether to build the networks at once.

    Raises:
        ValueError: If observations are no 1-D Box, or actions neither discrete nor a 1-D Box.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": ActorPolicy}
    rollout_buffer: EpisodeBuffer  # type: ignore[assignment]
    policy: ActorPolicy

    def __init__(
        self,
        policy: str | type[ActorPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule = 5e-3,
        batch_size: int = 1000,
        gamma: float = 0.99,
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
            learning_rate=learning_rate,
            n_steps=batch_size,
            gamma=gamma,
            gae_lambda=1.0,
            ent_coef=0.0,
            vf_coef=0.0,
            max_grad_norm=float("inf"),
            use_sde=False,
            sde_sample_freq=-1,
            rollout_buffer_class=EpisodeBuffer,  # type: ignore[arg-type]
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs={
                "net_arch": {"pi": [64, 64], "vf": []},
                "optimizer_kwargs": {"fused": True},
                **(policy_kwargs or {}),
            },
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
            supported_action_spaces=(spaces.Box, spaces.Discrete),
        )

    def _setup_model(self) -> None:
        why = unsupported_spaces(Interface(self.observation_space, self.action_space, self.gamma))
        if why is not None:
            raise ValueError(f"REINFORCE {why}")
        super()._setup_model()
        self.policy.reseed(self.seed)

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 10,
        tb_log_name: str = "REINFORCE",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Learn for ``total_timesteps`` environment steps, to the end of the update then begun; see SB3."""
        if reset_num_timesteps or self._last_obs is None:
            self.rollout_buffer.reset()  # the environment is reset: its unfinished episodes will not be finished
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: EpisodeBuffer,  # type: ignore[override]
        n_rollout_steps: int,
    ) -> bool:
        """Step all lanes until ``n_rollout_steps`` steps of finished episodes are stored.

        Returns:
            False if the callback ended training.
        """
        assert self._last_obs is not None
        self.policy.refresh_views()
        bounds = (self.action_space.low, self.action_space.high) if isinstance(self.action_space, spaces.Box) else None
        callback.on_rollout_start()
        while rollout_buffer.finished_steps < n_rollout_steps:
            assert isinstance(self._last_obs, np.ndarray)
            actions = self.policy.sample(rollout_buffer.observe(self._last_obs))
            clipped = actions if bounds is None else np.minimum(np.maximum(actions, bounds[0]), bounds[1])
            self._last_obs, rewards, dones, infos = env.step(clipped)  # type: ignore[assignment]
            self.num_timesteps += env.num_envs
            rollout_buffer.complete(actions, rewards, dones)
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            if dones.any():
                self._update_info_buffer(infos, dones)
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """One policy gradient step on the finished episodes; none if every parameter is frozen."""
        obs, actions, returns = self.rollout_buffer.take()
        if not any(p.requires_grad for p in self.policy.parameters()):
            return
        self._update_learning_rate(self.policy.optimizer)
        loss = self.loss(obs, actions, normalised(returns))
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.policy.optimizer.step()
        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/batch_size", len(returns))

    def loss(self, obs: torch.Tensor, actions: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
        """The policy gradient loss: minus the mean of log-probability times advantage.

        Args:
            obs: ``[N, d]``.
            actions: ``[N]`` or ``[N, d]``.
            advantages: ``[N]``.
        """
        return -(self.policy.get_distribution(obs).log_prob(actions) * advantages).mean()


def normalised(returns: torch.Tensor) -> torch.Tensor:
    """Returns ``[N]`` shifted and scaled to mean 0 and standard deviation 1 (0 if they are all equal)."""
    return (returns - returns.mean()) / (returns.std(correction=0) + 1e-8)
