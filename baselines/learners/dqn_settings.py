"""Settings of DQN, by kind of observation.

A setting that is ``None`` stands for the value that goes with the kind of observation; a setting that is given wins:

* ``VECTORS``, a 1-D Box, or a Box of floats, which is flattened: an MLP, updated in NumPy.
* ``NATURE``, 8-bit images of 64 x 64 and more, channels first: Nature's network, replay, exploration (as a share of
  the document's 25 million steps), target updates, reward and error clipping; as SB3, Adam instead of RMSProp.
* ``SMALL_IMAGES``, images of 32 x 32 and more: a smaller network of the same kind, replay and schedules for budgets of
  some hundred thousand steps.
* ``TINY_IMAGES``, images of 7 x 7 and more: the same with kernels that fit.

The document leaves all of the first open (it has Atari only). Rewards are multiplied by ``reward_scale`` for learning,
so that values stay within a few units where rewards are about 1: with a discount of 0.99 they would be near 100, where
the Huber loss is linear nearly everywhere, and the bootstrap runs away. ``VECTORS`` was chosen by
``benchmarks/sweep.py`` on three seeds each (1000 to 1002, which no evaluation uses) of CartPole, InvertedPendulum and
Acrobot of the suite ``classic``: docs/dqn.md has the commands and what they print.
"""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first

from tlbench.baselines.learners.dqn_policy import ConvLayer
from tlbench.baselines.learners.networks import Activation
from tlbench.protocol.interface import Config


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
    gradient_steps=16,
    batch_size=128,
    learning_rate=1e-3,
    buffer_size=100_000,
    learning_starts=1_000,
    target_update_interval=192,
    tau=1.0,
    exploration_fraction=0.1,
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
        "learning_rate": 2.5e-4,
        "buffer_size": 100_000,
        "learning_starts": 2_000,
        "target_update_interval": 1_000,
        "exploration_fraction": 0.1,
        "exploration_final": 0.05,
        "conv_layers": ((16, 6, 3), (32, 4, 2), (32, 3, 1)),
        "hidden_sizes": (128,),
    }
)
"""Images of 32 x 32 to 63 x 63; of 42 x 42, they leave 13 x 13, 5 x 5 and 3 x 3 positions."""

TINY_IMAGES = SMALL_IMAGES.model_copy(
    update={"conv_layers": ((16, 3, 1), (32, 3, 1), (32, 3, 1)), "stacked_frames": False}
)
"""Images of 7 x 7 to 31 x 31, a pixel or two per object."""

MOST_LAYERS = max(settings.weighted_layers() for settings in (VECTORS, NATURE, SMALL_IMAGES, TINY_IMAGES))
"""Weighted layers of the deepest of these networks."""


def preset(space: spaces.Space[Any]) -> DQNConfig:
    """The settings that go with a kind of observation."""
    if not is_image(space):
        return VECTORS
    side = min(space.shape[1:])  # type: ignore[index]  # an image has a shape
    return NATURE if side >= 64 else SMALL_IMAGES if side >= 32 else TINY_IMAGES


def is_image(space: spaces.Space[Any]) -> bool:
    """Whether observations are images, channels first, in 8 bits."""
    return is_image_space(space) and is_image_space_channels_first(space)  # type: ignore[arg-type]
