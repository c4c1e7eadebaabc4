"""Local processes: a fresh fork per job from a server that has the heavy imports done; killed at its wall limit."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import ModuleType

import torch

from tlbench.execution.executors import Ending
from tlbench.execution.work import Job, work
from tlbench.protocol.budget import EXIT_REFUSED
from tlbench.protocol.errors import StorageError, TlbenchError

PRELOAD = ["torch", "stable_baselines3", "mujoco", "tlbench.execution.executors.warm"]
STDOUT, STDERR = 1, 2
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    connection: Connection
    started: float
    wall_limit: float


class LocalExecutor:
    """Runs each job in a process of its own, with one torch thread.

    Args:
        slots: Jobs at a time.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._running: dict[str, _Running] = {}
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)

    @property
    def slots(self) -> int:
        """Jobs at a time."""
        return self._slots

    def submit(self, job: Job, wall_limit: float) -> None:
        """Start a job in a fresh process."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_main, args=(job, theirs), daemon=True)
        with _no_main_module(), _one_thread(), _without_interrupts():
            process.start()
        theirs.close()
        self._running[job.node.key] = _Running(job, process, ours, time.monotonic(), wall_limit)

    def wait(self, timeout: float) -> list[Ending]:
        """Collect the jobs that ended; kill those that are over their wall limit."""
        if not self._running:
            return []
        now = time.monotonic()
        deadline = min(r.started + r.wall_limit for r in self._running.values())
        connections = [r.connection for r in self._running.values()]
        ready = wait(connections, timeout=max(0.0, min(timeout, deadline - now)))
        endings = [self._collect(r) for r in list(self._running.values()) if r.connection in ready]
        now = time.monotonic()
        for running in list(self._running.values()):
            if now - running.started > running.wall_limit:
                running.process.kill()
                error = f"it was still running after its wall limit of {running.wall_limit:g} s and was ended"
                endings.append(self._end(running, error))
        return endings

    def close(self) -> None:
        """Kill what is under way."""
        for running in self._running.values():
            running.process.kill()
        for running in self._running.values():
            running.process.join()
        self._running.clear()

    def _collect(self, running: _Running) -> Ending:
        try:
            error, detail, fatal = running.connection.recv()
        except (EOFError, OSError):
            running.process.join()
            return self._end(running, _explain(running.process.exitcode))
        return self._end(running, error, detail, fatal)

    def _end(self, running: _Running, error: str | None, detail: str | None = None, fatal: bool = False) -> Ending:
        running.process.join()
        running.connection.close()
        del self._running[running.job.node.key]
        return Ending(running.job.node.key, error, detail, fatal, time.monotonic() - running.started)


def _main(job: Job, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C ends
    try:
        _work_and_tell(job, connection)
    finally:
        os._exit(0)  # a method's threads and exit handlers can't hold the process up


def _work_and_tell(job: Job, connection: Connection) -> None:
    torch.set_num_threads(1)
    with suppress(OSError):
        os.dup2(STDERR, STDOUT)  # the driver's output is its tables; what a method prints goes beside them
    done = threading.Event()
    threading.Thread(target=_die_with_driver, args=(connection, done), daemon=True).start()
    error: str | None = None
    detail: str | None = None
    fatal = False
    try:
        work(job)
    except TlbenchError as problem:
        error, fatal = str(problem), isinstance(problem, StorageError)
    except SystemExit as problem:
        error = f"the method ended its process with sys.exit({problem.code!r}): it has to return"
    except BaseException as problem:
        detail = traceback.format_exc()
        text = str(problem).strip().partition("\n")[0]
        error = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    done.set()
    with suppress(OSError):
        connection.send((error, detail, fatal))


def _die_with_driver(connection: Connection, done: threading.Event) -> None:
    try:
        connection.recv()
    except (EOFError, OSError):
        if not done.is_set():
            os._exit(1)


def _explain(exitcode: int | None) -> str:
    if exitcode == EXIT_REFUSED:
        return (
            "the method went on after its budget's end: let BudgetExhausted end learn_target, don't catch it in a loop"
        )
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (out of memory? try fewer --jobs)" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{hint}"
    return f"its process ended early with exit status {exitcode}"


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keeps a user's script (or notebook) from being imported again in the worker."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C reaches the driver alone: the fork server, and so every worker, starts with the signal blocked."""
    resource_tracker.ensure_running()  # its start, which the fork server's would cause, unblocks the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread per worker's numerical library; takes effect when the fork server starts."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
