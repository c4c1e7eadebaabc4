"""Local processes: a fresh fork per job from a server that has the heavy imports done; killed at its wall limit."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from tlbench.execution.checkpoints import remove, seconds_spent
from tlbench.execution.executors import Ending
from tlbench.execution.executors.processes import STDERR, STDOUT, context, describe, die_with_driver, explain, start
from tlbench.execution.work import Job, work
from tlbench.protocol.errors import StorageError, TlbenchError


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
        self._context = context()

    @property
    def slots(self) -> int:
        """Jobs at a time."""
        return self._slots

    def submit(self, job: Job, wall_limit: float) -> None:
        """Start a job in a fresh process; what it took before its checkpoint counts against its wall limit."""
        folder, key, how = job.store.folder, job.node.key, job.checkpointing
        before = seconds_spent(folder, key, how) if how is not None else 0.0
        ours, theirs = self._context.Pipe()
        process = start(self._context, _main, (job, theirs))
        theirs.close()
        self._running[key] = _Running(job, process, ours, time.monotonic() - before, wall_limit)

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
                running.process.join()
                remove(running.job.store.folder, running.job.node.key)  # the next try has the whole limit again
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
            return self._end(running, explain(running.process.exitcode))
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
    threading.Thread(target=die_with_driver, args=(connection, done), daemon=True).start()
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
        error, detail = describe(problem), traceback.format_exc()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    done.set()
    with suppress(OSError):
        connection.send((error, detail, fatal))
