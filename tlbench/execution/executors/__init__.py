"""Where jobs run: each executor takes jobs and reports how each ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tlbench.execution.work import Job


@dataclass(frozen=True)
class Ending:
    """How a job ended.

    Attributes:
        key: Key of its node.
        error: One line for the user if it failed.
        detail: The traceback, where there is one.
        fatal: Whether going on is pointless (the store can't be written).
        seconds: Wall time.
    """

    key: str
    error: str | None
    detail: str | None
    fatal: bool
    seconds: float


class Executor(Protocol):
    """Runs jobs, several at a time."""

    @property
    def slots(self) -> int:
        """How many jobs may be under way at once."""

    def submit(self, job: Job, wall_limit: float) -> None:
        """Start a job."""

    def wait(self, timeout: float) -> list[Ending]:
        """Wait until a job ends (or the timeout), and tell how those that ended did."""

    def close(self) -> None:
        """Stop all jobs that are under way."""
