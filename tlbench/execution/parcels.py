"""What travels with a job to a machine that doesn't share the store: the files it needs, and back those it made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tlbench.execution.plan import ExpertNode, KnowledgeNode, Node, RunNode
from tlbench.execution.selection import MethodChoice
from tlbench.execution.store import Store, write_atomically
from tlbench.execution.work import Job

Files = Mapping[str, bytes]
"""Contents by path below the store's folder."""


@dataclass(frozen=True)
class Parcel:
    """A job and the files that it needs.

    Attributes:
        job: The job, as planned.
        files: Experts or knowledge.
        method: Name and source of the method's file, if it came from one.
    """

    job: Job
    files: Files
    method: tuple[str, bytes] | None

    def unpack(self, folder: Path) -> Job:
        """Make a store in an empty folder, and give back the job that works there."""
        job = self.job
        store = Store(folder, job.store.suite)
        for name, data in self.files.items():
            write_atomically(store.folder / name, data)
        if self.method is None:
            return replace(job, store=store)
        name, source = self.method
        path = folder / "method" / name
        write_atomically(path, source)
        there = replace(job.choice, reference=f"{path}{_class_of(job.choice)}")
        node = job.node
        if isinstance(node, RunNode) and node.choice == job.choice:
            node = replace(node, choice=there)
        return replace(job, node=node, choice=there, store=store)


def pack(job: Job, method: tuple[str, bytes] | None) -> Parcel:
    """A job with what it needs from its store.

    Args:
        job: The job.
        method: Name and source of the method's file, if it came from one.
    """
    return Parcel(job, _present(job.store, _needs(job.node)), method)


def made(job: Job) -> Files:
    """The files that a finished job wrote, in the order in which they are to be written elsewhere."""
    return _present(job.store, _makes(job.node))


def method_file(choice: MethodChoice) -> tuple[str, bytes] | None:
    """Name and source of a method's file; ``None`` if the method is installed."""
    if choice.code is None:
        return None
    path = Path(choice.reference.partition(":")[0])
    return path.name, path.read_bytes()


def _class_of(choice: MethodChoice) -> str:
    _, colon, name = choice.reference.partition(":")
    return colon + name


def _present(store: Store, names: Iterator[str]) -> dict[str, bytes]:
    return {name: path.read_bytes() for name in names if (path := store.folder / name).exists()}


def _needs(node: Node) -> Iterator[str]:
    if isinstance(node, KnowledgeNode):
        for expert in node.experts:
            yield from _makes(expert)
    elif isinstance(node, RunNode) and node.knowledge is not None:
        yield from _makes(node.knowledge)


def _makes(node: Node) -> Iterator[str]:
    """Weights come before the JSON that completes a node."""
    if isinstance(node, RunNode):
        yield f"records/{node.name}.json"
        return
    kind = "experts" if isinstance(node, ExpertNode) else "knowledge"
    yield f"{kind}/{node.key}.safetensors"
    yield f"{kind}/{node.key}.json"
