"""DQN: Stable-Baselines3's own, for many lanes, with settings that go with the kind of observation.

Source: Mnih et al. (2015), Human-level control through deep reinforcement learning; the learner of Shachaf, Ziv &
Zahavy, "Transfer Learning in DQN using weighted layers copying". Networks, policy, replay and update are SB3's (plain
DQN: one target network, no double estimator, Huber loss, gradients clipped by norm). What differs in the doing is in
``dqn_model``; of what is computed, only that lanes explore each on their own.

In words: the lanes play epsilon-greedily into one replay memory. Every ``train_freq`` steps of all lanes, the network
takes ``gradient_steps`` Adam steps on minibatches from it. So there are ``gradient_steps / (train_freq * n_envs)``
updates per environment step: 1/2 with vectors, 1/4 (Nature's) with images. Every ``target_update_interval`` environment
steps the target network takes over the Q-network's parameters. Epsilon falls from 1 to ``exploration_final`` over
``exploration_fraction`` of the budget. An episode that a time limit ends is bootstrapped. The discount is the task's.
Tasks with continuous actions are played through the suite's frozen list of actions.

Settings by observation, here and nowhere else (a setting that is given wins over all three):

* ``VECTORS``, a 1-D Box, or a Box of floats, which is flattened: an MLP, updated in NumPy.
* ``NATURE``, 8-bit images of 64 x 64 and more, channels first: Nature's network, replay, exploration (as a share of
  the document's 25 million steps), target updates, reward and error clipping; as SB3, Adam instead of RMSProp.
* ``SMALL_IMAGES``, smaller ones: a smaller network of the same kind, replay and schedules for budgets of some hundred
  thousand steps.

The document leaves all of the first open (it has Atari only). Rewards are multiplied by ``reward_scale`` for learning,
so that values stay within a few units where rewards are about 1: with a discount of 0.99 they would be near 100, where
the Huber loss is linear nearly everywhere, and the bootstrap runs away. The settings were chosen from few short runs on
the suite ``classic``, seeds 1000 and up, one to four per task; a proper sweep is still to be made.
"""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first

from tlbench.baselines.learners.agent import ModelAgent, build_model
from tlbench.baselines.learners.dqn_model import LeanDQN
from tlbench.baselines.learners.dqn_policy import (
    ConvLayer,
    Convolutions,
    LeanQPolicy,
    conv_features,
    q_parameters_by_role,
)
from tlbench.baselines.learners.dqn_replay import FrameReplayBuffer, SeededReplayBuffer
from tlbench.baselines.learners.networks import TORCH_ACTIVATIONS, Activation
from tlbench.protocol.interface import BudgetedTask, Config, Interface, Learner


class DQNConfig(Config):
    """Settings of DQN; ``None`` stands for the value that goes with the kind of observation (see ``resolved``)."""

    n_envs: int | None = Field(None, ge=1, description="Lanes stepped together.")
    train_freq: int | None = Field(None, ge=1, description="Steps of all lanes between updates.")
    gradient_steps: int | None = Field(None, ge=1, description="Gradient steps per update.")
    batch_size: int | None = Field(None, ge=1, description="Minibatch size.")
    learning_rate: float | None = Field(None, gt=0, description="Adam's learning rate.")
    buffer_size: int | None = Field(None, ge=1, description="Transitions that replay keeps.")
    learning_starts: int | None = Field(None, ge=0, description="Environment steps under random actions at first.")
    target_update_interval: int | None = Field(None, ge=1, description="Environment steps between target updates.")
    tau: float | None = Field(None, gt=0, le=1, description="Share of the Q-network that a target update takes.")
    exploration_fraction: float | None = Field(
        None, gt=0, le=1, description="Share of the budget over which eps falls."
    )
    exploration_final: float | None = Field(None, ge=0, le=1, description="Epsilon at the end of its fall from 1.")
    max_grad_norm: float | None = Field(None, gt=0, description="Largest norm of a gradient.")
    clip_rewards: bool | None = Field(None, description="Clip rewards to [-1, 1] for learning.")
    reward_scale: float | None = Field(None, gt=0, description="Factor on rewards for learning, before clipping.")
    conv_layers: tuple[ConvLayer, ...] | None = Field(None, description="Channels, kernel, stride; images only.")
    hidden_sizes: tuple[int, ...] | None = Field(None, description="Units of the hidden linear layers.")
    activation: Activation | None = Field(None, description="Activation of the hidden layers.")
    stacked_frames: bool | None = Field(None, description="Image channels are successive frames, newest last.")

    def weighted_layers(self) -> int:
        """Layers with weights, where the settings are resolved."""
        return len(self.conv_layers or ()) + len(self.hidden_sizes or ()) + 1

    def resolved(self, space: spaces.Space[Any]) -> DQNConfig:
        """The same with the values that go with the kind of observation wherever there was ``None``."""
        return preset(space).model_copy(update=self.model_dump(exclude_none=True))


VECTORS = DQNConfig(
    n_envs=16,
    train_freq=4,
    gradient_steps=32,
    batch_size=64,
    learning_rate=5e-4,
    buffer_size=100_000,
    learning_starts=1_000,
    target_update_interval=192,
    tau=1.0,
    exploration_fraction=0.2,
    exploration_final=0.05,
    max_grad_norm=10.0,
    clip_rewards=False,
    reward_scale=0.03,
    conv_layers=(),
    hidden_sizes=(64, 64),
    activation="relu",
    stacked_frames=False,
)
"""Low-dimensional observations."""

NATURE = DQNConfig(
    n_envs=8,
    train_freq=1,
    gradient_steps=2,
    batch_size=32,
    learning_rate=1e-4,
    buffer_size=1_000_000,
    learning_starts=50_000,
    target_update_interval=10_000,
    tau=1.0,
    exploration_fraction=0.04,
    exploration_final=0.1,
    max_grad_norm=10.0,
    clip_rewards=True,
    reward_scale=1.0,
    conv_layers=((32, 8, 4), (64, 4, 2), (64, 3, 1)),
    hidden_sizes=(512,),
    activation="relu",
    stacked_frames=True,
)
"""Images of 64 x 64 and more."""

SMALL_IMAGES = NATURE.model_copy(
    update={
        "buffer_size": 100_000,
        "learning_starts": 2_000,
        "target_update_interval": 2_000,
        "exploration_fraction": 0.2,
        "exploration_final": 0.05,
        "conv_layers": ((16, 4, 2), (32, 4, 2), (32, 3, 1)),
        "hidden_sizes": (128,),
    }
)
"""Smaller images."""

MOST_LAYERS = max(settings.weighted_layers() for settings in (VECTORS, NATURE, SMALL_IMAGES))
"""Weighted layers of the deepest of these networks."""


def preset(space: spaces.Space[Any]) -> DQNConfig:
    """The settings that go with a kind of observation."""
    if not is_image(space):
        return VECTORS
    return NATURE if min(space.shape[1:]) >= 64 else SMALL_IMAGES  # type: ignore[index]  # an image has a shape


def is_image(space: spaces.Space[Any]) -> bool:
    """Whether observations are images, channels first, in 8 bits."""
    return is_image_space(space) and is_image_space_channels_first(space)  # type: ignore[arg-type]


class DQNAgent(ModelAgent):
    """Wraps a :class:`LeanDQN`."""

    def __init__(self, model: LeanDQN) -> None:
        super().__init__(model, model.policy, q_parameters_by_role(model.q_net))

    @property
    def gradient_steps(self) -> int:  # type: ignore[override]
        """Optimiser steps taken so far."""
        return int(self.model._n_updates)

    def train(self, task: BudgetedTask) -> None:
        """Publish the policy and learn until the budget ends, from an empty replay buffer.

        Raises:
            DivergedError: If a parameter is no longer finite after an update.
        """
        self.model.replay_buffer.reset()
        super().train(task)

    def _renew(self) -> None:
        policy = self.model.policy
        policy.q_net_target.load_state_dict(policy.q_net.state_dict())
        trained = policy.q_net.parameters()
        policy.optimizer = policy.optimizer_class(trained, lr=self.model.lr_schedule(1), **policy.optimizer_kwargs)


class DQN(Learner):
    """SB3's DQN."""

    id = "dqn"
    Config = DQNConfig
    discrete_only = True

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        obs, action = interface.observation_space, interface.action_space
        if not isinstance(action, spaces.Discrete):
            return f"needs discrete actions, not {action}"
        if action.start != 0:
            return f"needs discrete actions that count from 0, not {action}"
        if is_image(obs):
            fits = conv_features(obs.shape, preset(obs).conv_layers or ())  # type: ignore[arg-type]
            return None if fits else f"needs observations of at least 24 x 24 pixels, not {obs}"
        if not isinstance(obs, spaces.Box) or (len(obs.shape) != 1 and obs.dtype.kind != "f"):
            return f"needs a 1-D Box of observations, a Box of floats or 8-bit images with channels first, not {obs}"
        return None

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> DQNAgent:
        """Build a fresh agent; equal arguments give equal parameters."""
        settings: Any = config.resolved(interface.observation_space)
        policy: dict[str, Any] = {
            "net_arch": list(settings.hidden_sizes),
            "activation_fn": TORCH_ACTIVATIONS[settings.activation],
        }
        replay: dict[str, Any] = {}
        if is_image(interface.observation_space):
            convolutions = {"layers": settings.conv_layers, "activation_fn": policy["activation_fn"]}
            policy |= {"features_extractor_class": Convolutions, "features_extractor_kwargs": convolutions}
            policy["optimizer_kwargs"] = {"fused": True}
            replay["frames"] = interface.observation_space.shape[0] if settings.stacked_frames else 1  # type: ignore[index]
        model = build_model(
            LeanDQN,
            interface,
            settings.n_envs,
            policy=LeanQPolicy,
            learning_rate=settings.learning_rate,
            buffer_size=settings.buffer_size,
            learning_starts=settings.learning_starts,
            batch_size=settings.batch_size,
            train_freq=settings.train_freq,
            gradient_steps=settings.gradient_steps,
            replay_buffer_class=FrameReplayBuffer if replay else SeededReplayBuffer,
            replay_buffer_kwargs=replay,
            target_update_interval=settings.target_update_interval,
            tau=settings.tau,
            exploration_fraction=settings.exploration_fraction,
            exploration_final_eps=settings.exploration_final,
            max_grad_norm=settings.max_grad_norm,
            clip_rewards=settings.clip_rewards,
            reward_scale=settings.reward_scale,
            policy_kwargs=policy,
            seed=seed,
            device=device,
        )
        return DQNAgent(model)
