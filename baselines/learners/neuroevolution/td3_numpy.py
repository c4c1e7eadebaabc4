"""SB3's TD3 update of small MLPs, in NumPy, on storage that it shares with the torch parameters and optimisers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from stable_baselines3.td3.td3 import TD3

from tlbench.baselines.learners.backprop import TrainedMLP
from tlbench.baselines.learners.flat_adam import FLUSH_EVERY, FlatAdam, moved_to_flat
from tlbench.baselines.learners.networks import Activation, Float32, layer_views, linear_layers, mlp


@dataclass(frozen=True)
class Transitions:
    """A minibatch.

    Attributes:
        obs: ``[B, d]``.
        actions: ``[B, k]``, in [-1, 1].
        rewards: ``[B]``.
        following: Next observations, ``[B, d]``.
        ended: ``[B]``, 1 where the episode terminated.
    """

    obs: Float32
    actions: Float32
    rewards: Float32
    following: Float32
    ended: Float32


class NumpyTD3:
    """Gradient steps on a TD3 model's two critics and its actor, as in SB3's ``TD3.train``.

    All networks' parameters move into flat arrays, of which the torch tensors become views. Frozen parameters of the
    actor (``requires_grad`` false) have no gradient and no moments; their targets have to be equal to them.

    Args:
        model: The model, on the CPU; critics have ReLUs, the actor ends with a tanh.
        activation: The activation of the actor's hidden layers.
        rng: Draws the noise on the targets' actions.
    """

    def __init__(self, model: TD3, activation: Activation, rng: np.random.Generator) -> None:
        self._model, self._activation, self._rng = model, activation, rng
        actor, critic = model.actor, model.critic
        pairs = list(zip(actor.parameters(), model.actor_target.parameters(), strict=True))
        trained = [(online, target) for online, target in pairs if online.requires_grad]
        self._actor_adam = FlatAdam([online for online, _ in trained], actor.optimizer)
        self._critic_adam = FlatAdam(list(critic.parameters()), critic.optimizer)
        self._averages = (
            (moved_to_flat([target for _, target in trained]), self._actor_adam.theta),
            (moved_to_flat(list(model.critic_target.parameters())), self._critic_adam.theta),
        )
        self._actor = TrainedMLP(linear_layers(actor.mu), activation, self._actor_adam.grads)
        self._critics = [TrainedMLP(linear_layers(net), "relu", self._critic_adam.grads) for net in critic.q_networks]
        self._target_actor = layer_views(linear_layers(model.actor_target.mu))
        self._target_critics = [layer_views(linear_layers(net)) for net in model.critic_target.q_networks]

    def step(self, batch: Transitions) -> None:
        """Take one step on the critics, and one on the actor and all targets where SB3's delay has passed."""
        with np.errstate(over="ignore", invalid="ignore"):  # divergence shows in the parameters
            self._step(batch)

    def _step(self, batch: Transitions) -> None:
        model = self._model
        model._n_updates += 1
        wanted = self._targets(batch)
        x = np.concatenate((batch.obs, batch.actions), axis=1)
        for critic in self._critics:
            inputs, values = critic.forward(x)
            critic.backward(inputs, (values - wanted) * np.float32(2 / len(x)))
        self._critic_adam.step()
        if model._n_updates % model.policy_delay == 0:
            self._step_actor(batch.obs)
            for average, online in self._averages:
                np.multiply(average, 1 - model.tau, out=average)
                np.add(average, model.tau * online, out=average)
        if model._n_updates % FLUSH_EVERY == 0:
            self._critic_adam.flush()
            self._actor_adam.flush()

    def _targets(self, batch: Transitions) -> Float32:
        model = self._model
        noise = self._rng.standard_normal(batch.actions.shape, np.float32) * np.float32(model.target_policy_noise)
        actions = np.tanh(mlp(batch.following, self._target_actor, self._activation))
        actions += np.clip(noise, -model.target_noise_clip, model.target_noise_clip)
        x = np.concatenate((batch.following, np.clip(actions, -1, 1)), axis=1)
        first, second = (mlp(x, layers, "relu") for layers in self._target_critics)
        values: Float32 = np.minimum(first, second)
        return batch.rewards[:, None] + (1 - batch.ended)[:, None] * np.float32(model.gamma) * values

    def _step_actor(self, obs: Float32) -> None:
        inputs, raw = self._actor.forward(obs)
        actions = np.tanh(raw)
        critic = self._critics[0]
        seen, values = critic.forward(np.concatenate((obs, actions), axis=1))
        upward = critic.input_gradient(seen, np.full_like(values, -1 / len(obs)))[:, obs.shape[1] :]
        self._actor.backward(inputs, upward * (1 - actions * actions))
        self._actor_adam.step()

    def tell(self) -> None:
        """Write the number of steps into torch's optimisers."""
        self._actor_adam.tell()
        self._critic_adam.tell()
