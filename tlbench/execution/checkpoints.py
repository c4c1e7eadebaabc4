"""Where the checkpoint of a node under way is kept: one file, gone when the node is done."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tlbench.execution.store import write_atomically
from tlbench.protocol.checkpoint import Checkpoint, Saved
from tlbench.protocol.discovery import BASELINES, TASKS
from tlbench.protocol.errors import StorageError
from tlbench.protocol.interface import Params
from tlbench.protocol.specs import digest_of

FACTS, ACTIONS = "facts", "actions"
LEARNER, POINT = "learner/", "point/"


@dataclass(frozen=True)
class Checkpointing:
    """How often nodes are saved while they are under way, and what must be the same to go on from there.

    Attributes:
        every: Seconds between checkpoints.
        origin: Code, packages, kinds of processor and device.
    """

    every: float
    origin: Mapping[str, Any]

    @classmethod
    def here(cls, every: float, provenance: Mapping[str, Any], device: str) -> Checkpointing:
        """Checkpoints of this code on this machine; the commit doesn't matter, since the code itself is held."""
        facts = {name: value for name, value in provenance.items() if not name.startswith("git_")}
        return cls(every, {**facts, "code": code_digest(), "device": device.partition(":")[0]})


@cache
def code_digest() -> str:
    """SHA-256 of tlbench's own code: a checkpoint of other code is never gone on from."""
    found = hashlib.sha256()
    for package in ("tlbench", TASKS, BASELINES):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).rglob("*.py")):
                found.update(f"{package}/{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return found.hexdigest()


class NodeCheckpoint:
    """The checkpoint of one node, as its task keeps it.

    The file is a safetensors file: the learner's tensors, the actions, an expert's parameters at its points, and the
    facts (JSON with its SHA-256, in 8-bit integers). One that is damaged, or was written by other code, on another kind
    of machine or for another node is passed over with a word on standard error.

    Args:
        folder: The store's folder.
        key: The node's key.
        label: The node, for people.
        how: How often it is written, and what must be the same.

    Attributes:
        found: The checkpoint to go on from, if there is one.
        points: An expert's parameters by point; those of the checkpoint at first, and kept with the next.
        seconds: Wall seconds spent before it.
        resumed: How often the node went on from one before, this time included.
    """

    def __init__(self, folder: Path, key: str, label: str, how: Checkpointing) -> None:
        self._path, self._label, self._every = path_of(folder, key), label, how.every
        self._identity = _identity(key, how)
        self.found: Checkpoint | None = None
        self.points: dict[int, Params] = {}
        self.seconds, self.resumed = 0.0, 0
        self._began = self._last = time.monotonic()
        if self._path.exists():
            self._go_on()

    def due(self) -> bool:
        """Whether the last checkpoint (or the beginning) is long enough ago."""
        return time.monotonic() - self._last >= self._every

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write it in place of the one before.

        Raises:
            StorageError: If it can't be written.
        """
        tensors = {LEARNER + name: tensor for name, tensor in checkpoint.learner.tensors.items()}
        for point, params in self.points.items():
            tensors |= {f"{POINT}{point}/{role}": tensor for role, tensor in params.items()}
        tensors[ACTIONS] = torch.from_numpy(checkpoint.actions.copy())
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        facts = {
            "identity": self._identity,
            "seconds": self.seconds + time.monotonic() - self._began,
            "resumed": self.resumed,
            "harness": dict(checkpoint.facts),
            "learner": dict(checkpoint.learner.facts),
            "points": [[point, list(params)] for point, params in self.points.items()],
            "tensors_sha256": _hash_of(tensors),
        }
        tensors[FACTS] = _encoded(facts)
        write_atomically(self._path, save_tensors(tensors))
        self._last = time.monotonic()

    def _go_on(self) -> None:
        try:
            facts, tensors = _read(self._path, self._identity)
        except _UnusableError as problem:
            print(f"{self._label}: its checkpoint {problem}; it starts from nothing", file=sys.stderr, flush=True)
            return
        learner = {name.removeprefix(LEARNER): t for name, t in tensors.items() if name.startswith(LEARNER)}
        self.found = Checkpoint(Saved(learner, facts["learner"]), tensors[ACTIONS].numpy(), facts["harness"])
        for point, roles in facts["points"]:
            self.points[point] = {role: tensors[f"{POINT}{point}/{role}"] for role in roles}
        self.seconds, self.resumed = facts["seconds"], facts["resumed"] + 1
        print(f"{self._label}: goes on from its checkpoint", file=sys.stderr, flush=True)


def remove(folder: Path, key: str) -> None:
    """Remove a node's checkpoint, if it has one: it is done, or has to start from nothing.

    Raises:
        StorageError: If it can't be removed.
    """
    path = path_of(folder, key)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"can't remove {path}: {error.strerror}; mend that and run the same command again") from None
    with contextlib.suppress(OSError):  # others are there
        path.parent.rmdir()


def seconds_spent(folder: Path, key: str, how: Checkpointing) -> float:
    """Wall seconds before the checkpoint that a node will go on from; 0 if there is none."""
    path = path_of(folder, key)
    if not path.exists():
        return 0.0
    try:
        return float(_read(path, _identity(key, how))[0]["seconds"])
    except _UnusableError:
        return 0.0


def path_of(folder: Path, key: str) -> Path:
    """A node's checkpoint in a store's folder."""
    return folder / "checkpoints" / f"{key}.safetensors"


class _UnusableError(Exception):
    """Why a checkpoint can't be gone on from."""


def _identity(key: str, how: Checkpointing) -> str:
    return digest_of({"node": key, **how.origin})


def _read(path: Path, identity: str) -> tuple[dict[str, Any], Params]:
    try:
        tensors: Params = load_tensors(path.read_bytes())
        facts: dict[str, Any] = _decoded(tensors.pop(FACTS))
        if facts["tensors_sha256"] != _hash_of(tensors):
            raise ValueError("checksum")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        raise _UnusableError("is damaged") from None
    if facts["identity"] != identity:
        raise _UnusableError("is of another version or another kind of machine")
    return facts, tensors


def _encoded(facts: Mapping[str, Any]) -> torch.Tensor:
    text = json.dumps(facts).encode()
    return torch.frombuffer(bytearray(hashlib.sha256(text).digest() + text), dtype=torch.uint8)


def _decoded(tensor: torch.Tensor) -> Any:
    data = tensor.numpy().tobytes()
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        raise ValueError("checksum")
    return json.loads(data[32:])


def _hash_of(tensors: Params) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        if tensor.numel():
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
