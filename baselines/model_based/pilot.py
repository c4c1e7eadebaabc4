"""A policy that is trained in a learned environment and acts in the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecNormalize

from tlbench.baselines.learners.agent import LivePolicy, ModelAgent
from tlbench.baselines.learners.networks import FrozenMLP, layer_views
from tlbench.baselines.learners.policies import LeanPolicy
from tlbench.baselines.model_based.virtual_env import Floats, Scales, VirtualEnv
from tlbench.protocol.interface import Array


@dataclass(frozen=True)
class Imagined:
    """What a policy is expected to meet in a task, seen in the models alone.

    Attributes:
        mean_return: Mean undiscounted return of one episode per lane, acting deterministically.
        disagreement: The models' disagreement about what its actions do, mean over an episode, then over lanes.
    """

    mean_return: float
    disagreement: float


class Pilot:
    """An agent of an SB3 on-policy learner between two environments.

    The agent's networks see normalised observations and give actions in [-1, 1]. What is evaluated is one network that
    does the same to raw observations: the normalisation is folded into its first layer, the actions' range into its
    last.

    Args:
        agent: The agent, built for the spaces that ``scales`` shows.
        scales: Between the task and the networks.
        scale_rewards: Whether virtual rewards are divided by the running deviation of returns.
    """

    def __init__(self, agent: ModelAgent, scales: Scales, scale_rewards: bool) -> None:
        net = agent.model.policy
        assert isinstance(net, LeanPolicy)
        self.agent, self.scales = agent, scales
        self.policy = LivePolicy(self)
        self.updates = 0
        self._net = net
        self._scale_rewards = scale_rewards

    def freeze(self) -> FrozenMLP:
        """A deterministic copy that acts on raw observations, for evaluation."""
        layers = [(w.copy(), b.copy()) for w, b in layer_views(self._net.actor_linears())]
        weight, bias = layers[0]
        weight = weight / self.scales.std[:, None]
        layers[0] = weight, bias - self.scales.mean @ weight
        weight, bias = layers[-1]
        layers[-1] = weight * self.scales.half, bias * self.scales.half + self.scales.centre
        stacked = [(w[None].astype(np.float32, order="C"), b[None, None].astype(np.float32)) for w, b in layers]
        return FrozenMLP(stacked, self._net.activation, self.scales.action_space)

    def sample(self, obs: Array) -> Floats:
        """Draw actions in units of the half range, not clipped, ``[n, k]``, for raw observations ``[n, d]``."""
        self._net.refresh_views()
        return np.asarray(self._net.sample(self.scales.seen(obs)), np.float32)

    def train(self, env: VirtualEnv, updates: int) -> None:
        """Update the policy on virtual samples.

        Args:
            env: The learned environment; its lanes are the agent's.
            updates: How many rollouts, with an update after each.

        Raises:
            DivergedError: If a parameter is no longer finite.
        """
        model, first = self.agent.model, self.agent.model.get_env() is None
        if first:
            model.set_env(VecNormalize(env, norm_obs=False, gamma=model.gamma) if self._scale_rewards else env)
        steps = updates * model.n_steps * model.n_envs
        if steps:
            model.learn(steps, log_interval=None, reset_num_timesteps=first)
        self.updates += updates
        self.agent.check_finite()

    def imagine(self, env: VirtualEnv) -> Imagined:
        """Play one deterministic episode per lane of a learned environment.

        Args:
            env: An environment that nothing is being trained on.
        """
        act = self._unit_actions()
        obs, returns = env.reset(), np.zeros(env.num_envs)
        lengths, disagreements = np.zeros(env.num_envs), np.zeros(env.num_envs)
        alive = np.ones(env.num_envs, np.bool_)
        while alive.any():
            actions = act(obs)
            lengths += alive
            doubt = env.models.disagreement(env.states[alive], torch.from_numpy(actions[alive]))
            disagreements[alive] += doubt.numpy()
            following, rewards, dones, _ = env.step(actions)
            obs = np.asarray(following, np.float32)
            returns += np.where(alive, rewards, 0.0)
            alive &= ~dones
        return Imagined(float(returns.mean()), float((disagreements / lengths).mean()))

    def _unit_actions(self) -> Callable[[Floats], Floats]:
        frozen = self._net.freeze()
        return lambda obs: np.asarray(frozen.act(obs, None, np.zeros(0, np.bool_))[0], np.float32)
