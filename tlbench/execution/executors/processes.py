"""What worker processes have in common: the fork server they come from, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from tlbench.protocol.budget import EXIT_REFUSED
from tlbench.protocol.errors import TlbenchError

PRELOAD = ["torch", "stable_baselines3", "mujoco", "tlbench.execution.executors.warm"]
STDOUT, STDERR = 1, 2
UNKNOWN_EXIT = 255
"""What multiprocessing says where the fork server, which would know, was killed too."""

STARTS = 5
"""Attempts at starting a worker."""
OUT_OF_MEMORY = " (out of memory? try fewer --jobs)"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ENVIRONMENT = {**dict.fromkeys(THREADS, "1"), "PYTHONHASHSEED": "0"}
"""One thread per worker's numerical library, and sets of text in one order: the same run gives the same record."""


def context() -> ForkServerContext:
    """The fork server that all workers come from."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOAD)
    return server


def start(server: ForkServerContext, function: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
    """Start a worker: one thread, deaf to Ctrl-C, and without importing the user's main module again.

    Raises:
        TlbenchError: If none can be started.
    """
    for attempt in range(STARTS):
        process = server.Process(target=function, args=arguments, daemon=True)
        try:
            with no_main_module(), worker_environment(), without_interrupts():
                process.start()
            return process
        except (EOFError, OSError) as error:  # the fork server was killed; the next start brings up another
            problem = str(error) or type(error).__name__
            time.sleep(attempt * 0.1)
    raise TlbenchError(f"worker processes can't be started: {problem}{OUT_OF_MEMORY}")


def die_with_driver(connection: Connection, done: threading.Event) -> None:
    """End this process when its driver is gone (the connection breaks) before the work is done."""
    try:
        connection.recv()
    except (EOFError, OSError):
        if not done.is_set():
            os._exit(1)


def describe(problem: BaseException) -> str:
    """An exception in one line, for the user."""
    text = str(problem).strip().partition("\n")[0]
    line = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    no_memory = isinstance(problem, MemoryError) or "OutOfMemory" in line or "can't allocate memory" in text
    return line + OUT_OF_MEMORY if no_memory else line


def explain(exitcode: int | None) -> str:
    """What an exit status of a worker means, for the user."""
    if exitcode == EXIT_REFUSED:
        return (
            "the method went on after its budget's end: let BudgetExhausted end learn_target, don't catch it in a loop"
        )
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = OUT_OF_MEMORY if name == "SIGKILL" else ""
        return f"its process was killed by {name}{hint}"
    hint = OUT_OF_MEMORY if exitcode == UNKNOWN_EXIT else ""
    return f"its process ended early with exit status {exitcode}{hint}"


@contextmanager
def no_main_module() -> Iterator[None]:
    """Keeps a user's script (or notebook) from being imported again in the worker."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Ctrl-C reaches the driver alone: the fork server, and so every worker, starts with the signal blocked."""
    resource_tracker.ensure_running()  # its start, which the fork server's would cause, unblocks the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def worker_environment() -> Iterator[None]:
    """What workers find in the environment; takes effect when the fork server starts."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
