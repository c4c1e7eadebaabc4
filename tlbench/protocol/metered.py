"""Lanes whose steps are counted by a task's meter, and the training episodes that end in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from tlbench.protocol.errors import ProtocolViolationError
from tlbench.protocol.evaluation import check_actions
from tlbench.protocol.vector import VectorEnvAdapter

if TYPE_CHECKING:
    from tlbench.protocol.task import HarnessTask

TRAINING_BINS = 100


class TrainingBins:
    """Mean return of the training episodes that ended in each hundredth of the budget.

    Args:
        budget: Units in all.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._sums = [0.0] * TRAINING_BINS
        self._episodes = [0] * TRAINING_BINS

    def add(self, count: int, returns: Sequence[float]) -> None:
        """Add the episodes that ended at this count of units."""
        position = min(TRAINING_BINS - 1, max(0, count - 1) * TRAINING_BINS // self._budget)
        self._episodes[position] += len(returns)
        self._sums[position] += sum(returns)

    def as_lists(self) -> tuple[list[float | None], list[int]]:
        """Mean return per bin (``None`` where no episode ended) and episodes per bin."""
        means = [s / n if n else None for s, n in zip(self._sums, self._episodes, strict=True)]
        return means, list(self._episodes)


class MeteredVecEnv(VectorEnvAdapter):
    """Lanes whose steps and resets are counted by the task's meter.

    Args:
        venv: Gymnasium's vector environment.
        task: The task whose meter counts.
        first: Whether these are the task's first lanes: their first reset is free.
    """

    def __init__(self, venv: Any, task: HarnessTask, first: bool) -> None:
        super().__init__(venv)
        self._task = task
        self._meter = task.meter
        self._checkpoints = task.checkpoints
        self._fresh = first
        self._awaited = False
        self._running = np.zeros(venv.num_envs)
        space = venv.single_action_space
        self._bounds, self._kinds = simple_bounds(space)
        self._shape = (venv.num_envs, *(space.shape or ()))

    def reset(self) -> Any:
        """Reset all lanes; free the first time for the task's first lanes, one unit per lane after that."""
        self._task.require_policy()
        self._meter.charge(0 if self._fresh else self.num_envs)
        self._fresh = False
        self._running[:] = 0.0
        return super().reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Report due points, count the step, hold the actions against the space."""
        self._meter.charge(self.num_envs)
        bounds, actions = self._bounds, np.asarray(actions)
        fits = bounds is not None and actions.shape == self._shape and actions.dtype.kind in self._kinds
        if bounds is None or not (fits and actions.min() >= bounds[0] and actions.max() <= bounds[1]):
            check_actions(actions, self.action_space, self.num_envs)
        self._actions = actions
        self._awaited = True

    def step_wait(self) -> VecEnvStepReturn:
        """Step all lanes and note the episodes that ended."""
        if not self._awaited:
            raise ProtocolViolationError("step_wait() without step_async(): a step has to be counted first")
        self._awaited = False
        obs, rewards, dones, infos = super().step_wait()
        self._running += rewards
        if self._checkpoints is not None:
            self._checkpoints.note(self._actions, obs, rewards, dones)
        if infos is not self._no_infos:
            self._task.bins.add(self._meter.spent, self._running[dones].tolist())
            self._running[dones] = 0.0
        return obs, rewards, dones, infos


def simple_bounds(space: spaces.Space[Any]) -> tuple[tuple[float, float] | None, str]:
    """Bounds that two comparisons can hold actions against, if the space has such, and the dtype kinds that fit."""
    if isinstance(space, spaces.Discrete):
        return (int(space.start), int(space.start + space.n - 1)), "iu"
    if isinstance(space, spaces.Box):
        low, high = space.low.min(initial=np.inf), space.high.max(initial=-np.inf)
        if (space.low == low).all() and (space.high == high).all():
            return (float(low), float(high)), "f"
    return None, ""
