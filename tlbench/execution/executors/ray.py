"""A Ray cluster: each job a Ray task, which runs it as the local executor does and sends back what it made.

The driver alone reads and writes the store, so that nodes share nothing. What Ray loses (a node, a worker) it runs
again; what a method does wrong is a failure, as it is locally.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from tlbench.execution.executors import Ending
from tlbench.execution.executors.local import LocalExecutor
from tlbench.execution.parcels import Files, Parcel, made, method_file, pack
from tlbench.execution.provenance import environment
from tlbench.execution.store import write_atomically
from tlbench.execution.work import Job
from tlbench.protocol.errors import StorageError, TlbenchError

CONNECT_SECONDS = 10.0
COUNT_EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Needs:
    """What one job takes of a cluster.

    Attributes:
        cpus: Cores.
        gpus: GPUs; a fraction shares one.
    """

    cpus: float = 1.0
    gpus: float = 0.0


class RayExecutor:
    """Runs each job as a Ray task.

    Args:
        address: ``host:port`` of a cluster's head, or ``auto``; ``None`` for the cluster that runs on this machine, or
            a new one of this machine alone.
        jobs: Jobs under way at once; as many as the cluster has room for if ``None``.
        needs: What one job takes.

    Raises:
        TlbenchError: If Ray isn't installed, the cluster can't be reached, or it has no GPU where one is needed.
    """

    def __init__(self, address: str | None, jobs: int | None, needs: Needs) -> None:
        self._ray = import_ray()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _connect(self._ray, address)
        self._jobs, self._needs = jobs, needs
        self._counted, self._room = -COUNT_EVERY_SECONDS, 0
        self._running: dict[Any, Job] = {}
        self._methods: dict[str, tuple[str, bytes] | None] = {}
        self._task = self._ray.remote(host).options(num_cpus=needs.cpus, num_gpus=needs.gpus)
        if needs.gpus and not self._ray.cluster_resources().get("GPU"):
            self.close()
            raise TlbenchError("the Ray cluster has no GPU: start its nodes with GPUs, or use --device cpu")

    @property
    def slots(self) -> int:
        """Jobs under way at once; follows the nodes that join and leave."""
        if self._jobs is not None:
            return self._jobs
        if time.monotonic() - self._counted >= COUNT_EVERY_SECONDS:
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self._room, self._counted = sum(_room(node, self._needs) for node in nodes), time.monotonic()
        return max(1, self._room)

    def submit(self, job: Job, wall_limit: float) -> None:
        """Hand a job to Ray, which starts it when there is room."""
        if job.choice.reference not in self._methods:
            self._methods[job.choice.reference] = method_file(job.choice)  # as it is now, whatever is edited later
        parcel = pack(job, self._methods[job.choice.reference])
        self._running[self._task.remote(parcel, wall_limit, _version())] = job

    def wait(self, timeout: float) -> list[Ending]:
        """Collect the jobs that ended, and write what they made."""
        if not self._running:
            return []
        refs = list(self._running)
        self._ray.wait(refs, num_returns=1, timeout=timeout)
        ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return [self._collect(ref, self._running.pop(ref)) for ref in ready]

    def close(self) -> None:
        """End what is under way; leave the cluster, and stop it if it was started here.

        Leaving the cluster ends this driver's tasks. They are cancelled one by one only in a session that goes on,
        because Ray ends the whole driver if a task finishes while it is being cancelled.
        """
        if self._ours:
            self._ray.shutdown()
        else:
            for ref in self._running:
                with suppress(Exception):
                    self._ray.cancel(ref, force=True)
        self._running.clear()

    def _collect(self, ref: Any, job: Job) -> Ending:
        key = job.node.key
        ending: Ending
        files: Files
        try:
            ending, files = self._ray.get(ref)
        except self._ray.exceptions.RayError as problem:
            cause = getattr(problem, "cause", None)
            if isinstance(cause, TlbenchError):
                return Ending(key, str(cause), None, False, 0.0)
            return Ending(key, _explain(cause or problem), str(problem), False, 0.0)
        try:
            for name, data in files.items():
                write_atomically(job.store.folder / name, data)
        except StorageError as problem:
            return Ending(key, str(problem), None, True, ending.seconds)
        return replace(ending, fatal=False)  # a node's full disk is that node's


def host(parcel: Parcel, wall_limit: float, version: str) -> tuple[Ending, Files]:
    """What runs on a node: the job in a fresh process of its own, in a folder that is gone afterwards.

    Args:
        parcel: The job and what it needs.
        wall_limit: Seconds after which it is ended.
        version: The driver's tlbench.

    Raises:
        TlbenchError: If this node has another tlbench.
    """
    if version != _version():
        raise TlbenchError(f"a node has tlbench {_version()}, the driver {version}: install the same on all")
    with tempfile.TemporaryDirectory(prefix="tlbench-") as folder:
        job = parcel.unpack(Path(folder))
        job = replace(job, provenance=environment(), checkpointing=None)  # this folder won't last
        executor = LocalExecutor(1)
        executor.submit(job, wall_limit)
        endings: list[Ending] = []
        while not endings:
            endings = executor.wait(wall_limit)
        return endings[0], made(job) if endings[0].error is None else {}


def import_ray() -> ModuleType:
    """Ray, which is an extra.

    Raises:
        TlbenchError: If it isn't installed.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise TlbenchError("--executor ray needs Ray: pip install 'tlbench[ray]'") from None
    module: ModuleType = ray
    return module


def _connect(ray: ModuleType, address: str | None) -> None:
    where = address or os.environ.get("RAY_ADDRESS") or "auto"
    hint = "start one with `ray start --head`, or leave out --ray-address to use this machine alone"
    what = f"connect to the Ray cluster at {where}" if address else "start Ray here, or join what runs here"
    if where not in ("auto", "local"):
        _check_reachable(where, hint)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a cluster that is started here
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray warns of this change until it is made
    start: Callable[..., Any] = ray.init
    dashboard = False if address is None else None
    try:
        start(address=address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises many kinds, the bare one too
        problem = str(error).strip().partition("\n")[0]
        raise TlbenchError(f"can't {what}: {problem}; {hint}") from None


def _check_reachable(address: str, hint: str) -> None:
    """Ray itself would try for a minute."""
    name, _, port = address.rpartition(":")
    if not name or "/" in name or not port.isdecimal():
        raise TlbenchError(f"--ray-address takes host:port or auto, not {address!r}")
    try:
        socket.create_connection((name.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise TlbenchError(f"there is no Ray cluster at {address}: {error}; {hint}") from None


def _room(resources: dict[str, float], needs: Needs) -> int:
    room = resources.get("CPU", 0.0) // needs.cpus
    if needs.gpus:  # fractions of different GPUs don't add up to one
        room = min(room, resources.get("GPU", 0.0) * (1 // needs.gpus))
    return int(room)


def _explain(problem: BaseException) -> str:
    text = str(problem).strip().partition("\n")[0]
    return f"Ray gave it up: {type(problem).__name__}: {text}" if text else f"Ray gave it up: {type(problem).__name__}"


def _version() -> str:
    from tlbench import __version__

    return str(__version__)
