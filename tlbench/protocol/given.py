"""What a method gets of a task: the budgeted task and nothing else of the harness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stable_baselines3.common.vec_env import VecEnv

from tlbench.protocol.checkpoint import Checkpoints
from tlbench.protocol.interface import Array, Interface, Policy, Unit
from tlbench.protocol.task import HarnessTask


class GivenTask:
    """A :class:`BudgetedTask` in front of the harness's own, without its evaluations and its meter."""

    __slots__ = ("_task",)

    def __init__(self, task: HarnessTask) -> None:
        """Stand in front of a task."""
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

    @property
    def checkpoints(self) -> Checkpoints | None:
        """Where a learner that can be interrupted keeps itself; ``None`` where nothing is kept."""
        return self._task.checkpoints

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


def harness_of(task: GivenTask) -> HarnessTask:
    """The harness's own task, for the conformance test that looks behind it."""
    return task._task
