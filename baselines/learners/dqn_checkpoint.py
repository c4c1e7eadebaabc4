"""What is saved of a DQN training under way, and how it goes on from there.

Replaying the actions brings back lanes, replay memory, counts and epsilon; saved is what learning made: both networks,
Adam's moments and steps, the states of the two generators, the number of updates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from tlbench.baselines.learners.agent import Divergence, ModelAgent
from tlbench.baselines.learners.dqn_model import LeanDQN
from tlbench.protocol.checkpoint import Checkpoints, Saved
from tlbench.protocol.interface import Params

ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps of a parameter."""


class CheckpointedTraining(Divergence):
    """Saves a training between updates and rollouts where that is due, and takes one up where there is one.

    Args:
        agent: The agent that is trained.
        model: Its model.
        checkpoints: What the task offers.
    """

    def __init__(self, agent: ModelAgent, model: LeanDQN, checkpoints: Checkpoints) -> None:
        super().__init__(agent)
        self._model, self._checkpoints = model, checkpoints

    def _on_training_start(self) -> None:
        self._model.replayed = self._checkpoints.actions if self._checkpoints.replaying else None

    def _on_rollout_start(self) -> None:
        saved = self._checkpoints.resumed()
        if saved is not None:
            self._model.replayed = None
            restore(self._model, saved)
        super()._on_rollout_start()
        if self._checkpoints.due():
            self._checkpoints.save(state_of(self._model))


def state_of(model: LeanDQN) -> Saved:
    """A model's state between an update and the next step, without what replaying actions brings back."""
    tensors: Params = {name: tensor.detach() for name, tensor in _networks(model)}
    optimizer = model.policy.optimizer
    for name, parameter in model.q_net.named_parameters():
        tensors |= {f"{kind}.{name}": value for kind, value in optimizer.state.get(parameter, {}).items()}
    facts: dict[str, Any] = {
        "updates": model._n_updates,
        "exploration": model._exploration_rng.bit_generator.state,
        "minibatches": model.replay_buffer.rng.bit_generator.state,
    }
    return Saved(tensors, facts)


def restore(model: LeanDQN, saved: Saved) -> None:
    """Set what :func:`state_of` found; tensors keep the device and the memory order that they have in training."""
    with torch.no_grad():
        for name, tensor in _networks(model):
            tensor.copy_(saved.tensors[name])
    optimizer = model.policy.optimizer
    content = optimizer.state_dict()
    numbers = {id(p): number for number, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    for name, parameter in model.q_net.named_parameters():
        kinds = [kind for kind in ADAM_STATE if f"{kind}.{name}" in saved.tensors]
        state = {kind: saved.tensors[f"{kind}.{name}"] for kind in kinds}
        content["state"][numbers[id(parameter)]] = {kind: _like(parameter, value) for kind, value in state.items()}
    content["state"] = {number: state for number, state in content["state"].items() if state}
    optimizer.load_state_dict(content)
    facts: Any = saved.facts
    model._n_updates = facts["updates"]
    model._exploration_rng.bit_generator.state = facts["exploration"]
    model.replay_buffer.rng.bit_generator.state = facts["minibatches"]
    model.renew_update()


def _networks(model: LeanDQN) -> Iterator[tuple[str, nn.Parameter]]:
    for name, network in (("q_net", model.q_net), ("q_net_target", model.q_net_target)):
        for role, parameter in network.named_parameters():
            yield f"{name}.{role}", parameter


def _like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """In the parameter's memory order, which Adam's fused step takes for granted."""
    return value if value.shape != parameter.shape else torch.empty_like(parameter).copy_(value)
