"""What a method gets of a task: the budgeted task and nothing else of the harness."""

from __future__ import annotations

from tlbench.protocol.checkpoint import Checkpoints
from tlbench.protocol.in_front import TaskInFront
from tlbench.protocol.task import HarnessTask


class GivenTask(TaskInFront[HarnessTask]):
    """Stands in front of the harness's task, without its evaluations and its meter."""

    @property
    def checkpoints(self) -> Checkpoints | None:
        """Where a learner that can be interrupted keeps itself; ``None`` where nothing is kept."""
        return self._task.checkpoints


def harness_of(task: GivenTask) -> HarnessTask:
    """The harness's own task, for the conformance test that looks behind it."""
    return task._task
