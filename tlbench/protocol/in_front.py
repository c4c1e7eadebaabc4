"""Base of what stands in front of a task and shows it in another way, or less of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from stable_baselines3.common.vec_env import VecEnv

from tlbench.protocol.interface import Array, BudgetedTask, Interface, Policy, Unit

Behind = TypeVar("Behind", bound=BudgetedTask)


class TaskInFront(Generic[Behind]):
    """A :class:`BudgetedTask` that passes everything on to the task behind it; subclasses change what they mean to.

    Args:
        task: The task behind, whose meter counts.
    """

    def __init__(self, task: Behind) -> None:
        self._task = task

    @property
    def interface(self) -> Interface:
        """What may be known of the task."""
        return self._task.interface

    @property
    def unit(self) -> Unit:
        """What the budget counts."""
        return self._task.unit

    @property
    def budget(self) -> int:
        """Units in all."""
        return self._task.budget

    @property
    def spent(self) -> int:
        """Units used so far."""
        return self._task.spent

    def publish(self, policy: Policy) -> None:
        """Name the policy that is evaluated from now on."""
        self._task.publish(policy)

    def envs(self, n: int) -> VecEnv:
        """Open ``n`` metered lanes."""
        return self._task.envs(n)

    def samples(self, batch: int) -> Iterator[Mapping[str, Array]]:
        """Minibatches of offline data, drawn with replacement; each costs ``batch`` units."""
        return self._task.samples(batch)

    def episodes(self, n: int) -> Iterator[Mapping[str, Array]]:
        """Batches of supervised lifetimes; each costs ``n`` units."""
        return self._task.episodes(n)
