"""Which executor a user asks for, checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from tlbench.execution.executors import Executor
from tlbench.protocol.errors import TlbenchError

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Place:
    """Where jobs are to run.

    Attributes:
        executor: ``local`` (processes of this machine) or ``ray``.
        ray_address: A Ray cluster's address; ``None`` for the one on this machine, or a new one.
        runs_per_gpu: Runs that share one GPU, where Ray places them and the device is ``cuda``.
    """

    executor: str = "local"
    ray_address: str | None = None
    runs_per_gpu: int = 1

    def check(self, device: str) -> None:
        """Hold the wishes against each other.

        Args:
            device: Torch device of the runs.

        Raises:
            TlbenchError: If they don't fit, or Ray isn't installed.
        """
        if self.executor not in EXECUTORS:
            raise TlbenchError(f"--executor takes {' or '.join(EXECUTORS)}, not {self.executor!r}")
        if self.executor == "local":
            if self.ray_address is not None:
                raise TlbenchError("--ray-address means something only with --executor ray")
            if self.runs_per_gpu != 1:
                raise TlbenchError("--runs-per-gpu means something only with --executor ray; locally, see --jobs")
            return
        if device not in ("cpu", "cuda"):
            raise TlbenchError(f"Ray chooses the GPU: --device is cpu or cuda, not {device!r}")
        if self.runs_per_gpu < 1:
            raise TlbenchError(f"--runs-per-gpu must be at least 1, not {self.runs_per_gpu}")
        from tlbench.execution.executors.ray import import_ray

        import_ray()

    def open(self, jobs: int | None, device: str, cores: int) -> Executor:
        """The executor.

        Args:
            jobs: Jobs at a time, if the user says so.
            device: Torch device of the runs.
            cores: Cores of this machine: as many local jobs where the user doesn't say.

        Raises:
            TlbenchError: If the cluster can't be reached.
        """
        if self.executor == "ray":
            from tlbench.execution.executors.ray import Needs, RayExecutor

            return RayExecutor(self.ray_address, jobs, Needs(gpus=1 / self.runs_per_gpu if device == "cuda" else 0.0))
        from tlbench.execution.executors.local import LocalExecutor

        return LocalExecutor(jobs or cores)
