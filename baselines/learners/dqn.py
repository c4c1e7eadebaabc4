"""DQN: Stable-Baselines3's own, for many lanes, with settings that go with the kind of observation.

Source: Mnih et al. (2015), Human-level control through deep reinforcement learning; the learner of Shachaf, Ziv &
Zahavy, "Transfer Learning in DQN using weighted layers copying". Networks, policy, replay and update are SB3's (plain
DQN: one target network, no double estimator, Huber loss, gradients clipped by norm). What differs in the doing is in
``dqn_model``; of what is computed, only that lanes explore each on their own.

In words: the lanes play epsilon-greedily into one replay memory. Every ``train_freq`` steps of all lanes, the network
takes ``gradient_steps`` Adam steps on minibatches from it. So there are ``gradient_steps / (train_freq * n_envs)``
updates per environment step: 1/4, as Nature's. Every ``target_update_interval`` environment steps the target network
takes over the Q-network's parameters. Epsilon falls from 1 to ``exploration_final`` over ``exploration_fraction`` of
the budget. An episode that a time limit ends is bootstrapped. The discount is the task's. Tasks with continuous actions
are played through the suite's frozen list of actions.

Which settings go with which kind of observation, and why, is in ``dqn_settings``. What they came to is in the record
(``settings``).
"""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback

from tlbench.baselines.learners.agent import ModelAgent, build_model
from tlbench.baselines.learners.dqn_checkpoint import CheckpointedTraining
from tlbench.baselines.learners.dqn_model import LeanDQN
from tlbench.baselines.learners.dqn_policy import Convolutions, LeanQPolicy, conv_features, q_parameters_by_role
from tlbench.baselines.learners.dqn_replay import FrameReplayBuffer, SeededReplayBuffer
from tlbench.baselines.learners.dqn_settings import DQNConfig, is_image, preset
from tlbench.baselines.learners.networks import TORCH_ACTIVATIONS
from tlbench.protocol.checkpoint import Resumable
from tlbench.protocol.interface import BudgetedTask, Interface, JSONValue, Learner, Params


class DQNAgent(ModelAgent):
    """Wraps a :class:`LeanDQN`.

    Args:
        model: The model, built for the task's spaces.
        settings: What it was built from, without ``None``.
    """

    def __init__(self, model: LeanDQN, settings: DQNConfig) -> None:
        super().__init__(model, model.policy, q_parameters_by_role(model.q_net))
        self._settings = settings

    @property
    def gradient_steps(self) -> int:  # type: ignore[override]
        """Optimiser steps taken so far."""
        return int(self.model._n_updates)

    def params(self) -> Params:
        """A copy of all parameters by role, on the CPU, in plain memory order."""
        return {role: tensor.contiguous() for role, tensor in super().params().items()}

    def diagnostics(self) -> dict[str, JSONValue]:
        """The settings that were used, those by kind of observation among them."""
        return {"settings": self._settings.model_dump(mode="json")}

    def train(self, task: BudgetedTask) -> None:
        """Publish the policy and learn until the budget ends, from an empty replay buffer.

        Raises:
            DivergedError: If a parameter is no longer finite after an update.
        """
        self.model.replay_buffer.reset()
        super().train(task)

    def _watch(self, task: BudgetedTask) -> BaseCallback:
        checkpoints = task.checkpoints if isinstance(task, Resumable) else None
        if checkpoints is None:
            return super()._watch(task)
        checkpoints.begin()
        return CheckpointedTraining(self, self.model, checkpoints)

    def _renew(self) -> None:
        policy = self.model.policy
        policy.q_net_target.load_state_dict(policy.q_net.state_dict())
        trained = policy.q_net.parameters()
        policy.optimizer = policy.optimizer_class(trained, lr=self.model.lr_schedule(1), **policy.optimizer_kwargs)


class DQN(Learner):
    """SB3's DQN."""

    id = "dqn"
    seconds_per_unit = 4e-5
    seconds_per_pixel = 2.3e-7
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
            return None if fits else f"needs observations of at least 7 x 7 pixels, not {obs}"
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
        return DQNAgent(model, settings)
