"""CRAR's SB3 policy, and the frozen copies that are evaluated."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule

from tlbench.baselines.learners.agent import LivePolicy
from tlbench.baselines.learners.crar.networks import Networks, default_neurons
from tlbench.baselines.learners.crar.planning import plan
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Array

MAX_BATCH = 256
"""Observations that are planned for at once; bounds memory."""


class CRARPolicy(BasePolicy):
    """Networks, their target copies and the optimiser; acts by planning.

    Args:
        observation_space: A Box.
        action_space: Discrete.
        lr_schedule: The learning rate at the start is ``lr_schedule(1)``.
        neurons: Size of a flat abstract state; ``None``: 8 for vectors, planes for pictures.
        planning_depth: How far ahead the deterministic policy looks.
        optimizer_class: The optimiser.
        optimizer_kwargs: Its arguments besides parameters and learning rate.

    Raises:
        ValueError: If observations are neither vectors nor square pictures with sides that are multiples of 8, channels
            first, and no size of a flat abstract state is given.
    """

    observation_space: spaces.Box
    action_space: spaces.Discrete

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        neurons: int | None = None,
        planning_depth: int = 3,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs or {},
            normalize_images=False,
        )
        neurons = default_neurons(observation_space.shape) if neurons is None else neurons
        self.neurons = neurons
        self.planning_depth = planning_depth
        self.networks = Networks(observation_space.shape, int(action_space.n), neurons)
        self.target = copy.deepcopy(self.networks).requires_grad_(False)
        if neurons is None:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.renew(lr_schedule(1))

    def renew(self, learning_rate: float) -> None:
        """Make the target networks equal to the trained ones, and a new optimiser."""
        self.target.load_state_dict(self.networks.state_dict())
        parameters = self.networks.parameters()
        self.optimizer = self.optimizer_class(parameters, lr=learning_rate, **self.optimizer_kwargs)  # type: ignore[call-arg]

    def tensor(self, obs: Array) -> torch.Tensor:
        """A copy of observations on the networks' device, in their memory format.

        Torch's own memory is aligned; NumPy's may not be, and products over it are rounded by its alignment.
        """
        x = torch.tensor(np.asarray(obs), dtype=torch.float32, device=self.device)
        return x.contiguous(memory_format=torch.channels_last) if self.neurons is None else x

    def freeze(self) -> FrozenCRAR:
        """A deterministic copy for evaluation."""
        return FrozenCRAR(copy.deepcopy(self.networks), self.planning_depth, self)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> torch.Tensor:
        """Actions by planning; by Q alone unless deterministic."""
        assert isinstance(observation, torch.Tensor)
        with torch.no_grad():
            x = self.networks.encode(observation.float())
            return plan(self.networks, x, self.planning_depth if deterministic else 0).argmax(dim=1)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            **super()._get_constructor_parameters(),
            "lr_schedule": self._dummy_schedule,
            "neurons": self.neurons,
            "planning_depth": self.planning_depth,
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
        }


class FrozenCRAR:
    """Networks that don't change, acting by planning.

    Args:
        networks: The networks, this policy's own.
        depth: How far ahead to look.
        policy: Prepares observations.
    """

    def __init__(self, networks: Networks, depth: int, policy: CRARPolicy) -> None:
        self._networks = networks.requires_grad_(False)
        self._depth = depth
        self._tensor = policy.tensor

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Act deterministically; see the protocol's ``Policy``.

        Raises:
            DivergedError: If Q is not a number.
        """
        del state, first
        chosen = []
        for start in range(0, len(obs), MAX_BATCH):
            q = plan(self._networks, self._encode(obs[start : start + MAX_BATCH]), self._depth)
            if not bool(torch.isfinite(q).all()):
                raise DivergedError("the policy's values are not finite")
            chosen.append(q.argmax(dim=1).cpu().numpy())
        return np.concatenate(chosen), None

    def embed(self, obs: Array) -> Array:
        """Abstract states of observations, flattened: ``[lanes, d]``."""
        return self._encode(obs).flatten(1).cpu().numpy()

    def predict_embeddings(self, obs: Array) -> Array:
        """Abstract states that the model expects after each action, flattened: ``[lanes, actions, d]``."""
        with torch.no_grad():
            after = self._networks.successors(self._encode(obs))
        return after.flatten(2).cpu().numpy()

    def frozen(self) -> FrozenCRAR:
        """Itself: it never changes."""
        return self

    def _encode(self, obs: Array) -> torch.Tensor:
        with torch.no_grad():
            return self._networks.encode(self._tensor(obs))


class LiveCRAR(LivePolicy):
    """An agent's current policy."""

    def embed(self, obs: Array) -> Array:
        """Abstract states of observations under the present parameters, ``[lanes, d]``."""
        policy: Any = self.frozen()
        embedded: Array = policy.embed(obs)
        return embedded

    def predict_embeddings(self, obs: Array) -> Array:
        """Abstract states that the present model expects after each action, ``[lanes, actions, d]``."""
        policy: Any = self.frozen()
        after: Array = policy.predict_embeddings(obs)
        return after
