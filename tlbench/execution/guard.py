"""Calls functions in worker processes that may hang or die, for ``tlbench check``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from tlbench.execution.checks import Check, Problem, problem_of
from tlbench.execution.executors.processes import STDERR, STDOUT, context, die_with_driver, explain, start
from tlbench.protocol.budget import EXIT_REFUSED
from tlbench.protocol.discovery import import_environments

T = TypeVar("T")

_starting = threading.Lock()
live: set[BaseProcess] = set()
"""Processes under way."""


class GuardError(Exception):
    """A guarded process hung, died or raised."""

    def __init__(self, problem: Problem, hung: bool = False) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.hung = hung


def guarded(wall_limit: float, function: Callable[..., T], *args: Any) -> T:
    """Call a function in a worker process such as evaluations use.

    Args:
        wall_limit: Seconds after which the process is killed.
        function: A function of a module.
        *args: Its arguments; they and the result are pickled.

    Raises:
        GuardError: If the process hangs, dies, or the function raises.
    """
    server = context()
    ours, theirs = server.Pipe()
    with _starting:
        process = start(server, _serve, (theirs, function, args))
    theirs.close()
    live.add(process)
    problem: Problem | None
    try:
        if not ours.poll(wall_limit):
            message = f"it was still running after its wall limit of {wall_limit:g} s and was ended"
            raise GuardError(Problem(Check.RUNS, f"{message}; --wall-limit gives it more time"), hung=True)
        value, problem = ours.recv()
    except (EOFError, OSError):
        process.join()
        check = Check.BUDGET if process.exitcode == EXIT_REFUSED else Check.RUNS
        raise GuardError(Problem(check, explain(process.exitcode))) from None
    finally:
        process.kill()
        process.join()
        live.discard(process)
        ours.close()
    if problem is not None:
        raise GuardError(problem)
    result: T = value
    return result


def _serve(connection: Connection, function: Callable[..., Any], args: Sequence[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C ends
    os.dup2(STDERR, STDOUT)  # what a method prints goes beside the report
    torch.set_num_threads(1)
    threading.Thread(target=die_with_driver, args=(connection, threading.Event()), daemon=True).start()
    answer: tuple[Any, Problem | None]
    try:
        import_environments()
        answer = (function(*args), None)
    except BaseException as error:
        answer = (None, problem_of(error))
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        connection.send(answer)
    os._exit(0)  # a method's threads and exit handlers can't hold the process up
