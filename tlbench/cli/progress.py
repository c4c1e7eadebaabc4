"""Progress of an evaluation: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from tlbench.cli.clock import Clock, Costs, duration
from tlbench.execution.executors import Ending
from tlbench.execution.plan import Node
from tlbench.execution.runner import Observer

LINE_EVERY_SECONDS = 15.0


class BarObserver:
    """Shows a bar.

    Args:
        progress: Rich's progress display.
        clock: The count and the estimate.
    """

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self._progress = progress
        self._clock = clock
        self._bar: TaskID = progress.add_task("", total=clock.total, status="starting")

    def started(self, node: Node) -> None:
        """A node was started."""
        self._clock.start(node)

    def ended(self, node: Node, ending: Ending) -> None:
        """A node ended."""
        self._clock.end(node, ending)
        if ending.error is not None:
            self._progress.console.print(f"failed: {node.label}: {ending.error}", markup=False, highlight=False)
        self.tick()

    def tick(self) -> None:
        """Redraw."""
        now = next(iter(self._clock.running.values()), "")
        self._progress.update(self._bar, completed=self._clock.done, status=f"{self._clock.line()}  {now}")


class LineObserver:
    """Prints a line now and then.

    Args:
        clock: The count and the estimate.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._printed = 0.0
        self._say(f"{clock.total} nodes to do, about {duration(clock.seconds_left)}")

    def started(self, node: Node) -> None:
        """A node was started."""
        self._clock.start(node)

    def ended(self, node: Node, ending: Ending) -> None:
        """A node ended."""
        self._clock.end(node, ending)
        if ending.error is not None:
            self._say(f"failed: {node.label}: {ending.error}")
        if self._clock.done == self._clock.total:
            self._say(f"{self._clock.line()} in {duration(time.monotonic() - self._clock.began)}")

    def tick(self) -> None:
        """Print a line if the last one is old."""
        if time.monotonic() - self._printed > LINE_EVERY_SECONDS and self._clock.done < self._clock.total:
            self._say(self._clock.line())

    def _say(self, text: str) -> None:
        self._printed = time.monotonic()
        print(text, file=sys.stderr, flush=True)


class Silence:
    """Shows nothing."""

    def started(self, node: Node) -> None:
        """Nothing."""

    def ended(self, node: Node, ending: Ending) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""


@contextmanager
def make_progress(nodes: Sequence[Node], jobs: int, costs: Costs, *, enabled: bool) -> Iterator[Observer]:
    """An observer that fits where the output goes.

    Args:
        nodes: The nodes to be done.
        jobs: Processes.
        costs: What is known of them before they are done.
        enabled: False for silence.
    """
    if not enabled or not nodes:
        yield Silence()
        return
    clock = Clock(nodes, jobs, costs)
    console = Console(stderr=True)
    if not console.is_terminal:
        yield LineObserver(clock)
        return
    columns = (SpinnerColumn(), BarColumn(bar_width=30), TextColumn("{task.fields[status]}", markup=False))
    with Progress(*columns, console=console, transient=True) as progress:
        yield BarObserver(progress, clock)
    print(f"{clock.line()} in {duration(time.monotonic() - clock.began)}", file=sys.stderr, flush=True)
