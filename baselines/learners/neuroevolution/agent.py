"""What all evolving agents share: the network that is published, what is frozen, and where evolution happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlbench.baselines.learners.networks import FrozenMLP, all_finite
from tlbench.baselines.learners.neuroevolution.genetic import Coding, Direct, mutable
from tlbench.baselines.learners.neuroevolution.genomes import Layout
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Array, JSONValue, Params


class ElitePolicy:
    """A population's elite, acting deterministically; it changes as the population evolves.

    Args:
        elite: Gives the present elite.
    """

    def __init__(self, elite: Callable[[], FrozenMLP]) -> None:
        self._elite = elite

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Act as the present elite; see :class:`FrozenMLP`."""
        return self._elite().act(obs, state, first)

    def frozen(self) -> FrozenMLP:
        """A copy of the present elite; copies can be stacked."""
        return self._elite()


class EvolvingAgent:
    """An agent whose networks evolve; a subclass trains.

    Args:
        layout: Layout of the networks.
        start: The first network's parameters.
        sigma: Standard deviation of a mutation of a weight.
        seed: Seed of selection and mutation.
    """

    def __init__(self, layout: Layout, start: Params, sigma: float, seed: int) -> None:
        self.layout = layout
        self._sigma = sigma
        self._rng = np.random.default_rng(seed)
        self._elite = layout.pack(start)
        self._frozen: tuple[str, ...] = ()
        self.coding: Coding | None = None
        """Where the population evolves instead of among the networks themselves."""
        self.generations = 0
        self.policy = ElitePolicy(lambda: layout.policy(self._elite))

    def params(self) -> Params:
        """A copy of the elite's parameters by role."""
        return self.layout.unpack(self._elite)

    def load(self, params: Params, frozen: Sequence[str] = ()) -> None:
        """Set the parameters from which the first generation is made, and fix which roles are never mutated.

        Args:
            params: New values for some or all roles.
            frozen: Roles that stay as they are, whether in ``params`` or not.

        Raises:
            KeyError: If a role is unknown.
            ValueError: If a shape differs.
        """
        present = self.params()
        for role in (*params, *frozen):
            if role not in present:
                raise KeyError(f"unknown role {role!r}; there are {', '.join(present)}")
        for role, tensor in params.items():
            if tensor.shape != present[role].shape:
                raise ValueError(f"the shape of {role} is {tuple(tensor.shape)}, not {tuple(present[role].shape)}")
        self._elite = self.layout.pack({**present, **params})
        self._frozen = tuple(frozen)

    def diagnostics(self) -> dict[str, JSONValue]:
        """Generations that have ended."""
        return {"generations": self.generations}

    def _coding(self) -> Coding:
        """Where evolution happens: among the networks themselves, unless another place was set."""
        if self.coding is not None:
            return self.coding
        slices = self.layout.role_slices()
        return Direct(self._elite, mutable(self.layout.size, self._sigma, [slices[r] for r in self._frozen]))

    def _check_finite(self) -> None:
        for role, tensor in self.params().items():
            if not all_finite([tensor]):
                raise DivergedError(f"{role} is not finite")
