"""The base of environments whose state is one NumPy array."""

from abc import abstractmethod
from typing import Any

import numpy as np

from tlbench.tasks.environments.batched import BatchedEnv, Floats, Lanes


class BatchedArrayEnv(BatchedEnv):
    """Lanes whose state is an array [component, lane].

    `_advance` works in place on the array that `_allocate` was last given. While some lanes are frozen, that array is a
    compact copy of the others' states, so frozen lanes cost nothing.

    A subclass implements `_draw_starts`, `_begin` (which writes `self._state`), `_allocate` and `_advance`.
    """

    def __init__(self, num_envs: int, components: int, *args: Any, **kwargs: Any) -> None:
        """Set up the lanes.

        Args:
            num_envs: The number of lanes.
            components: The components of one lane's state.
            *args: Handed to `BatchedEnv`.
            **kwargs: Handed to `BatchedEnv`.
        """
        super().__init__(num_envs, *args, **kwargs)
        self._state = np.zeros((components, num_envs))
        self._compact: tuple[Lanes, Floats] | None = None
        self._allocate(self._state)

    def _select(self, lanes: Lanes | None) -> None:
        if self._compact is not None:
            compact_lanes, compact_state = self._compact
            self._state[:, compact_lanes] = compact_state
        if lanes is None:
            self._compact = None
            self._allocate(self._state)
        else:
            self._compact = lanes, np.take(self._state, lanes, axis=1)
            self._allocate(self._compact[1])

    @abstractmethod
    def _allocate(self, state: Floats) -> None:
        """Let `_advance` work on this state [component, lane], and allocate its buffers for that many lanes."""
