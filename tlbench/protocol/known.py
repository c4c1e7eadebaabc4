"""What a task lets methods know besides its spaces: its family's parameters, its reward and its termination."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from tlbench.protocol.interface import Array
from tlbench.protocol.specs import ObservationMap, TaskSpec

Function = Callable[[Array, Array, Array], Array]


class KnownContext(Mapping[str, float]):
    """Parameters of a task family; notes that a value was read.

    Args:
        values: The parameters.
        reads: Where ``"context"`` is added when a value is read. Names alone may be looked at.
    """

    def __init__(self, values: Mapping[str, float], reads: set[str]) -> None:
        self._values = dict(values)
        self._reads = reads

    def __getitem__(self, name: str) -> float:
        """The parameter of that name."""
        value = self._values[name]
        self._reads.add("context")
        return value

    def __contains__(self, name: object) -> bool:
        """Whether there is a parameter of that name."""
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._values)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._values)

    def __repr__(self) -> str:
        """The names; showing values would be reading them."""
        return f"KnownContext({', '.join(self._values)})"


class KnownFunction:
    """An environment's reward or termination, on observations and actions as the suite shows them.

    Args:
        function: The environment's own function of observations, actions and next observations.
        name: What it is, for ``reads``.
        reads: Where the name is added when the function is called.
        actions: The suite's discretisation ``[k, d]``, where actions are shown as indices into it.
        dtype: Type of the environment's actions.
        mapping: The suite's view of observations, if there is one; it shows every entry.
    """

    def __init__(
        self,
        function: Function,
        name: str,
        reads: set[str],
        *,
        dtype: Any,
        actions: Array | None = None,
        mapping: ObservationMap | None = None,
    ) -> None:
        self._function = function
        self._name = name
        self._reads = reads
        self._dtype = dtype
        self._actions = actions
        self._mapping = mapping

    def __call__(self, observations: Array, actions: Array, following: Array) -> Array:
        """Compute it for a batch of transitions.

        Args:
            observations: ``[n, ...]``.
            actions: ``[n, ...]``, inside the action space, as they are given to ``step``.
            following: Next observations ``[n, ...]``; an episode's last one, not the first of the next.

        Returns:
            ``[n]``: rewards, or whether the transition ends its episode (time limits don't count).
        """
        self._reads.add(self._name)
        taken = np.asarray(actions)
        taken = taken.astype(self._dtype, copy=False) if self._actions is None else self._actions[taken]
        return self._function(self._own(observations), taken, self._own(following))

    def _own(self, observations: Array) -> Array:
        """From shown observations back to the environment's."""
        observations = np.asarray(observations)
        if self._mapping is None:
            return observations
        indices = list(self._mapping.indices)
        own = np.empty((len(observations), max(indices) + 1), observations.dtype)
        own[:, indices] = observations * np.array(self._mapping.signs or [1], observations.dtype)
        return own


def known_function(
    env: VectorEnv[Any, Any, Any], name: Literal["reward", "terminated"], spec: TaskSpec, reads: set[str]
) -> KnownFunction | None:
    """A task's reward or termination as a function, if the environment gives it and observations show what it needs.

    An environment gives them by ``reward_function()`` and ``termination_function()``, which return a function that
    keeps no reference to the environment, or ``None``.

    Args:
        env: Lanes of the task, with the suite's views over them.
        name: Which function.
        spec: The task.
        reads: Where the function's name is added when it is called.
    """
    base = env.unwrapped
    give = getattr(base, "reward_function" if name == "reward" else "termination_function", None)
    function = give() if give is not None else None
    if function is None:
        return None
    own, mapping = base.single_observation_space, spec.observation_map
    if mapping is not None and set(mapping.indices) != set(range((own.shape or (0,))[0])):
        return None  # what isn't shown can't be put back
    space = base.single_action_space
    indexed = isinstance(env.single_action_space, spaces.Discrete) and isinstance(space, spaces.Box)
    actions = np.array(spec.discrete_actions, space.dtype) if indexed else None
    return KnownFunction(function, name, reads, dtype=space.dtype, actions=actions, mapping=mapping)
