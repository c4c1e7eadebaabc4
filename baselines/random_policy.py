"""The uniform random policy: the zero of every normalised score."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tlbench.protocol.interface import Array, BudgetedTask, Context, Knowledge, TargetOnly


class UniformPolicy:
    """Acts uniformly at random in the action space (its one exception to deterministic evaluation).

    Args:
        space: A Discrete or bounded Box space.
        rng: Its own generator.

    Raises:
        ValueError: If the space is of another kind or unbounded.
    """

    def __init__(self, space: spaces.Space[Any], rng: np.random.Generator) -> None:
        bounded = isinstance(space, spaces.Box) and space.is_bounded()
        if not bounded and not isinstance(space, spaces.Discrete):
            raise ValueError(f"a uniform policy needs a Discrete or a bounded Box action space, not {space}")
        self._space = space
        self._rng = rng

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """One uniform action per lane."""
        del obs
        space = self._space
        if isinstance(space, spaces.Discrete):
            return self._rng.integers(space.start, space.start + space.n, size=len(first)), state
        assert isinstance(space, spaces.Box)
        actions = self._rng.uniform(space.low, space.high, size=(len(first), *space.shape)).astype(space.dtype)
        return np.clip(actions, space.low, space.high), state

    def frozen(self) -> UniformPolicy:
        """A copy with a generator of its own: other actions at every evaluation point."""
        return UniformPolicy(self._space, self._rng.spawn(1)[0])


class RandomPolicy(TargetOnly):
    """Acts uniformly at random and never learns."""

    id = "random"
    learners = ()
    units = ("env_steps", "samples", "episodes")
    control = "self"

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Publish the uniform policy."""
        del knowledge
        target.publish(UniformPolicy(target.interface.action_space, ctx.rng()))
