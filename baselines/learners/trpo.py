"""TRPO: sb3-contrib's own, the learner of MAML's and the model-based method's documents.

Source: Schulman et al. (2015), Trust Region Policy Optimization; advantages by generalised advantage estimation
(Schulman et al. 2016). The step is sb3-contrib's: the natural gradient by conjugate gradients, a line search along it
until the surrogate objective is better and the divergence within the trust region, then Adam on the value network.
sb3-contrib takes the mean of the divergence over the components of an action where the paper takes their sum.

Around it everything is as in this package's PPO: acting in NumPy and random numbers from generators of the model's own
(on the CPU), fused Adam, rewards divided by the running standard deviation of the discounted return, the same networks
and roles, so that knowledge passes between the two. Defaults are those of the implementations the documents used
(divergence 0.01, 10 steps of conjugate gradients, damping 0.1, trace decay 0.95), with PPO's batch of 2,048 steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sb3_contrib
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from tlbench.baselines.learners.agent import OnPolicyAgent, build_model
from tlbench.baselines.learners.networks import Activation
from tlbench.baselines.learners.policies import LeanPolicy, actor_critic_settings, unsupported_spaces
from tlbench.baselines.learners.ppo import SeededOnPolicy
from tlbench.protocol.interface import Config, Interface, Learner


class TRPOConfig(Config):
    """Settings of TRPO; names as in sb3-contrib."""

    n_envs: int = Field(16, ge=1, description="Lanes stepped together.")
    n_steps: int = Field(128, ge=1, description="Steps per lane and rollout.")
    target_kl: float = Field(0.01, gt=0, description="Radius of the trust region, a divergence.")
    cg_max_steps: int = Field(10, ge=1, description="Steps of conjugate gradients.")
    cg_damping: float = Field(0.1, gt=0, description="Damping of the Fisher matrix.")
    line_search_max_iter: int = Field(10, ge=1, description="Step lengths tried.")
    line_search_shrinking_factor: float = Field(0.8, gt=0, lt=1, description="Factor from one step length to the next.")
    n_critic_updates: int = Field(10, ge=1, description="Passes of the value network over a rollout.")
    batch_size: int = Field(256, ge=2, description="Minibatch size of the value network.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate, for the value network.")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="Trace decay of generalised advantage estimation.")
    scale_rewards: bool = Field(True, description="Divide rewards by the running standard deviation of returns.")
    hidden_sizes: tuple[int, ...] = Field((64, 64), description="Units of the hidden layers, policy and value alike.")
    activation: Activation = Field("tanh", description="Activation of the hidden layers.")
    log_std_init: float = Field(0.0, description="Initial log standard deviation of continuous actions.")


class SeededTRPO(SeededOnPolicy, sb3_contrib.TRPO):
    """sb3-contrib's TRPO with generators of its own, and with frozen parameters left out of its step."""

    on_policy_step: Callable[[], None] | None = None

    def _setup_model(self) -> None:
        super()._setup_model()
        self._starts = np.random.default_rng(np.random.SeedSequence(self.seed).spawn(3)[2])

    def train(self) -> None:
        """sb3-contrib's update, of the networks that aren't frozen altogether."""
        critic = self._trained(critic=True)
        if not self._trained(critic=False):
            if critic:
                self._fit_values()
            return
        passes = self.n_critic_updates
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            torch.manual_seed(int(self._starts.integers(2**31)))  # conjugate gradients start at a random vector
            if not critic:
                self.n_critic_updates = 0
                warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no value losses, which is logged
            super().train()
        self.n_critic_updates = passes

    def _trained(self, *, critic: bool) -> list[nn.Parameter]:
        """The parameters of one network that aren't frozen, in sb3-contrib's order."""
        named = self.policy.named_parameters()
        return [p for name, p in named if p.requires_grad and ("value" in name) == critic]

    def _compute_actor_grad(
        self, kl_div: torch.Tensor, policy_objective: torch.Tensor
    ) -> tuple[list[nn.Parameter], torch.Tensor, torch.Tensor, list[tuple[int, ...]]]:
        """Gradients of divergence and objective: sb3-contrib's, which fails on parameters that are frozen."""
        actor = self._trained(critic=False)
        divergence = torch.autograd.grad(kl_div, actor, create_graph=True)
        objective = torch.autograd.grad(policy_objective, actor, retain_graph=True)
        if self.on_policy_step is not None:
            self.on_policy_step()
        flat = [torch.cat([g.reshape(-1) for g in gradients]) for gradients in (objective, divergence)]
        return actor, flat[0], flat[1], [tuple(p.shape) for p in actor]

    def _fit_values(self) -> None:
        """The value network's part of the update alone."""
        self.policy.set_training_mode(True)
        for _ in range(self.n_critic_updates):
            for batch in self.rollout_buffer.get(self.batch_size):
                loss = functional.mse_loss(self.policy.predict_values(batch.observations).flatten(), batch.returns)
                self.policy.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self.policy.optimizer.step()


class TRPOAgent(OnPolicyAgent):
    """An agent on TRPO: the policy's steps, which are not the optimiser's, are gradient steps too."""

    def __init__(self, model: SeededTRPO, scale_rewards: bool) -> None:
        super().__init__(model, scale_rewards)
        model.on_policy_step = self._count_policy_step

    def _count_policy_step(self) -> None:
        self.gradient_steps += 1


class TRPO(Learner):
    """sb3-contrib's TRPO."""

    id = "trpo"
    seconds_per_unit = 4e-5
    Config = TRPOConfig

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        return unsupported_spaces(interface)

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> TRPOAgent:
        """Build a fresh agent; equal arguments give equal parameters."""
        model = build_model(
            SeededTRPO,
            interface,
            config.n_envs,
            policy=LeanPolicy,
            n_steps=config.n_steps,
            target_kl=config.target_kl,
            cg_max_steps=config.cg_max_steps,
            cg_damping=config.cg_damping,
            line_search_max_iter=config.line_search_max_iter,
            line_search_shrinking_factor=config.line_search_shrinking_factor,
            n_critic_updates=config.n_critic_updates,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            gae_lambda=config.gae_lambda,
            policy_kwargs=actor_critic_settings(config),
            seed=seed,
            device=device,
        )
        return TRPOAgent(model, config.scale_rewards)
