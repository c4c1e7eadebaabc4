"""PPO: Stable-Baselines3's own, with one set of settings for wide vector environments.

Source: Schulman et al. (2017), Proximal Policy Optimization Algorithms; advantages by generalised advantage
estimation (Schulman et al. 2016). The update is SB3's. Three things around it differ, none of which changes what is
computed beyond rounding: on the CPU acting is in NumPy, Adam is fused, and actions and minibatches are drawn from
generators of the model's own, so that training there does not depend on who else draws from the global ones.

Policy and value network are separate MLPs of two tanh layers of 64; the policy's roles are those of VPG, so that
knowledge passes between the two learners. Rewards are divided by the running standard deviation of the discounted
return (SB3's ``VecNormalize``, observations untouched), which lets one learning rate serve tasks whose returns differ
a thousandfold; what is evaluated are raw returns. Episodes that a time limit ends are bootstrapped, as SB3 does.

Measured from scratch with these settings (5 seeds each, discount 0.99, mean of five deterministic episodes per point;
median of the first of three points in a row at the threshold, in thousands of steps; all seeds reached it): CartPole
475: 21; InvertedPendulum 950: 27; Acrobot -100: 12; InvertedDoublePendulum 9,000: 90; Pendulum -200: 90. Minibatches
of 256 from 64 steps per lane (2 seeds) need fewer steps on CartPole and InvertedPendulum (17 and 23), more on Pendulum
(150), and more time per step; with 5 instead of 10 epochs 1 of 2 Pendulum seeds fails, with a discount of 0.9 1 of 3.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import stable_baselines3
from pydantic import Field
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import RolloutBufferSamples

from tlbench.baselines.learners.agent import OnPolicyAgent, build_model
from tlbench.baselines.learners.networks import Activation
from tlbench.baselines.learners.policies import LeanPolicy, actor_critic_settings, unsupported_spaces
from tlbench.protocol.interface import Config, Interface, Learner


class PPOConfig(Config):
    """Settings of PPO; names as in SB3."""

    n_envs: int = Field(16, ge=1, description="Lanes stepped together.")
    n_steps: int = Field(128, ge=1, description="Steps per lane and rollout.")
    batch_size: int = Field(512, ge=2, description="Minibatch size.")
    n_epochs: int = Field(10, ge=1, description="Passes over a rollout.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate.")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="Trace decay of generalised advantage estimation.")
    clip_range: float = Field(0.2, gt=0, description="Clipping of the probability ratio.")
    ent_coef: float = Field(0.0, ge=0, description="Weight of the entropy bonus.")
    vf_coef: float = Field(0.5, ge=0, description="Weight of the value loss.")
    max_grad_norm: float = Field(0.5, gt=0, description="Largest norm of a gradient.")
    scale_rewards: bool = Field(True, description="Divide rewards by the running standard deviation of returns.")
    hidden_sizes: tuple[int, ...] = Field((64, 64), description="Units of the hidden layers, policy and value alike.")
    activation: Activation = Field("tanh", description="Activation of the hidden layers.")
    log_std_init: float = Field(0.0, description="Initial log standard deviation of continuous actions.")


class SeededRolloutBuffer(RolloutBuffer):
    """SB3's rollout buffer, with minibatches drawn by its own generator instead of NumPy's global one."""

    rng = np.random.default_rng()

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Yield minibatches of ``batch_size`` steps in random order."""
        total = self.buffer_size * self.n_envs
        order = self.rng.permutation(total)
        if not self.generator_ready:
            for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
                setattr(self, name, self.swap_and_flatten(getattr(self, name)))
            self.generator_ready = True
        size = batch_size or total
        for first in range(0, total, size):
            yield self._get_samples(order[first : first + size])


class SeededOnPolicy(OnPolicyAlgorithm):
    """An algorithm of SB3 whose minibatches and actions come from generators of its own, seeded with ``seed``."""

    rollout_buffer: SeededRolloutBuffer
    policy: LeanPolicy

    def _setup_model(self) -> None:
        self.rollout_buffer_class = SeededRolloutBuffer
        super()._setup_model()
        actions, minibatches = np.random.SeedSequence(self.seed).spawn(2)
        self.policy.reseed(actions)
        self.rollout_buffer.rng = np.random.default_rng(minibatches)


class SeededPPO(SeededOnPolicy, stable_baselines3.PPO):
    """SB3's PPO with generators of its own."""

    def train(self) -> None:
        """SB3's update; nothing if every parameter is frozen."""
        if any(p.requires_grad for p in self.policy.parameters()):
            super().train()


class PPO(Learner):
    """SB3's PPO."""

    id = "ppo"
    seconds_per_unit = 6e-5
    Config = PPOConfig

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        return unsupported_spaces(interface)

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> OnPolicyAgent:
        """Build a fresh agent; equal arguments give equal parameters."""
        model = build_model(
            SeededPPO,
            interface,
            config.n_envs,
            policy=LeanPolicy,
            learning_rate=config.learning_rate,
            n_steps=config.n_steps,
            batch_size=config.batch_size,
            n_epochs=config.n_epochs,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_range,
            ent_coef=config.ent_coef,
            vf_coef=config.vf_coef,
            max_grad_norm=config.max_grad_norm,
            policy_kwargs=actor_critic_settings(config),
            seed=seed,
            device=device,
        )
        return OnPolicyAgent(model, config.scale_rewards)
