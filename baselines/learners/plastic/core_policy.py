"""sb3-contrib's recurrent actor-critic policy with any core as its memory, and its frozen copy for evaluation."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from tlbench.baselines.learners.plastic.building import Kind, build_core
from tlbench.baselines.learners.plastic.cores import LSTMCore
from tlbench.baselines.learners.plastic.traces import Rule
from tlbench.baselines.learners.policies import Noise
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Array


class CorePolicy(RecurrentActorCriticPolicy):
    """One core for actor and critic, with a linear head each; both train the core.

    With ``kind = "lstm"`` the memory is sb3-contrib's own LSTM. The critic's gradient reaches the memory here, which it
    doesn't in sb3-contrib's shared form.

    Args:
        observation_space: A 1-D Box.
        action_space: Discrete.
        lr_schedule: SB3's schedule of the learning rate.
        kind: Which core.
        neurons: Neurons of the plastic core; the others are matched to it.
        rule: Rule of the traces.
        **kwargs: As for SB3's policies.
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        lr_schedule: Schedule,
        *,
        kind: Kind = "plastic",
        neurons: int = 100,
        rule: Rule = "oja",
        **kwargs: Any,
    ) -> None:
        inputs, actions = int(np.prod(observation_space.shape)), int(action_space.n)
        core: Any = build_core(kind, inputs, actions + 1, neurons, rule)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            lstm_hidden_size=core.size,
            shared_lstm=True,
            enable_critic_lstm=False,
            **kwargs,
        )
        if isinstance(core, LSTMCore):
            core.lstm = self.lstm_actor
        self.core = core
        self.lstm_actor = core.lstm if isinstance(core, LSTMCore) else core
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]
        self.reseed(None)

    def reseed(self, seed: int | None) -> None:
        """Seed the generator that actions are drawn with."""
        self._noise = Noise(np.random.default_rng(seed), int(self.action_space.n), gumbel=True)  # type: ignore[attr-defined]

    def roles(self) -> dict[str, nn.Parameter]:
        """Parameters by role, by depth."""
        body = {f"body.{name}": p for name, p in self.core.roles().items()}
        heads = {"head": self.action_net, "value.head": self.value_net}
        return {**body, **{f"{role}.{name}": p for role, net in heads.items() for name, p in net.named_parameters()}}

    def draw(self, obs: Array, memory: Any, first: NDArray[np.bool_]) -> tuple[Array, torch.Tensor, torch.Tensor, Any]:
        """Draw actions, without gradients.

        Args:
            obs: ``[lanes, d]``.
            memory: The core's state; ``None`` before the first step.
            first: ``[lanes]``, where an episode begins.

        Returns:
            Actions ``[lanes]``, values ``[lanes]``, log-probabilities ``[lanes]`` and the next memory.
        """
        with torch.no_grad():
            logits, values, memory = one_step(self.core, self.action_net, self.value_net, obs, memory, first)
            noise = torch.as_tensor(self._noise.row(len(first)))
            actions = (logits + noise).argmax(dim=1)
            log_probs = logits.log_softmax(dim=1).gather(1, actions.unsqueeze(1)).squeeze(1)
            return actions.numpy(), values, log_probs, memory

    def value(self, obs: Array, memory: Any, first: NDArray[np.bool_]) -> torch.Tensor:
        """Values ``[lanes]``, without gradients; the memory stays as it was."""
        with torch.no_grad():
            return one_step(self.core, self.action_net, self.value_net, obs, memory, first)[1]

    def over_time(self, obs: torch.Tensor, memory: Any, first: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of all actions ``[T, B, actions]`` and values ``[T, B]``, with gradients through time.

        Args:
            obs: ``[T, B, d]``.
            memory: The state before the first of these steps; ``None`` for an empty one.
            first: ``[T, B]``, where an episode begins.
        """
        memory = self.core.start(obs.shape[1]) if memory is None else memory
        cuts = [0, *(t for t in range(1, len(obs)) if bool(first[t].any())), len(obs)]
        features = []
        for begin, end in itertools.pairwise(cuts):
            if bool(first[begin].any()):
                memory = self.core.forget(memory, first[begin])
            part, memory = self.core(obs[begin:end], memory)
            features.append(part)
        joined = torch.cat(features)
        return self.action_net(joined).log_softmax(dim=2), self.value_net(joined).squeeze(2)

    def freeze(self) -> FrozenCorePolicy:
        """A deterministic copy for evaluation."""
        return FrozenCorePolicy(*copy.deepcopy((self.core, self.action_net, self.value_net)))


class FrozenCorePolicy:
    """Acts greedily on copied parameters; its state is the core's memory.

    Args:
        core: The memory.
        action_net: The actor's head.
        value_net: The critic's head.
    """

    def __init__(self, core: Any, action_net: nn.Module, value_net: nn.Module) -> None:
        self._parts = core.requires_grad_(False), action_net.requires_grad_(False), value_net.requires_grad_(False)

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """The most probable actions ``[lanes]`` and the memory after this step.

        Raises:
            DivergedError: If a logit is not a number.
        """
        with torch.no_grad():
            logits, _, state = one_step(*self._parts, obs, state, first)
        if bool(logits.isnan().any()):
            raise DivergedError("the policy's logits are not a number")
        return logits.argmax(dim=1).numpy(), state

    def frozen(self) -> FrozenCorePolicy:
        """Itself: it never changes."""
        return self


def one_step(
    core: Any, action_net: nn.Module, value_net: nn.Module, obs: Array, memory: Any, first: NDArray[np.bool_]
) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Logits ``[lanes, actions]``, values ``[lanes]`` and the next memory for observations ``[lanes, d]``."""
    if memory is None:
        memory = core.start(len(first))
    elif first.any():
        memory = core.forget(memory, torch.as_tensor(first))
    features, memory = core.step(torch.as_tensor(np.asarray(obs, np.float32)), memory)
    return action_net(features), value_net(features).squeeze(1), memory
