"""The store: one folder per suite digest, content-addressed nodes, every file written atomically."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tlbench.protocol.errors import StorageError, TlbenchError
from tlbench.protocol.interface import Knowledge, Params
from tlbench.protocol.records import Record, checksum, read_record, to_json
from tlbench.protocol.specs import SuiteSpec, first_error

MANIFEST = "suite.json"
STORE_SCHEMA = 1


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is either there in full or not at all: temporary file, fsync, rename.

    Raises:
        StorageError: If the folder can't be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(
            f"can't write {path}: {error.strerror}; mend that and run the same command again, finished runs are kept"
        ) from None


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the folder of a suite's results says of itself.

    Raises:
        TlbenchError: If it says nothing that can be read.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest["digest"], str):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise TlbenchError(f"{path} is missing or damaged: use another --out, or move {folder} away") from None
    return manifest


def store_folders(root: Path) -> list[Path]:
    """The folders that say that they are stores: this one, or those in it."""
    return [root] if (root / MANIFEST).exists() else sorted(p.parent for p in root.glob(f"*/{MANIFEST}"))


def find_stores(root: Path) -> list[Store]:
    """The stores in a folder of results: itself, or one per suite below it.

    Raises:
        TlbenchError: If there is none, or one is damaged.
    """
    folders = store_folders(root)
    if not folders:
        raise TlbenchError(f"{root} holds no results: run `tlbench evaluate` first, or name its --out folder")
    stores = []
    for folder in folders:
        try:
            suite = SuiteSpec.model_validate(read_manifest(folder).get("spec"))
        except ValidationError as error:
            raise TlbenchError(f"{folder / MANIFEST} is damaged: {first_error(error)}") from None
        store = Store(folder.parent, suite)
        store.folder = folder
        store.check_digest()
        stores.append(store)
    return stores


def _serialised(tensors: Params) -> bytes:
    return save_tensors({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()})  # no views


class Store:
    """The results of one suite in one folder: ``<root>/<suite id>/``.

    ``records/`` holds the runs (one JSON file each), ``experts/`` and ``knowledge/`` the cached nodes (JSON and
    safetensors each; the JSON is written last and completes the node). ``checkpoints/`` (module ``checkpoints``) holds
    nodes that are under way.

    Args:
        root: The folder given by ``--out``.
        suite: The suite.
    """

    def __init__(self, root: Path, suite: SuiteSpec) -> None:
        self.folder = root / suite.id
        self.suite = suite
        self._writing = False

    def open(self) -> None:
        """Create the folder, or check that it belongs to this suite's digest.

        Raises:
            TlbenchError: If it can't be written, or was made with another digest.
        """
        manifest = self.folder / MANIFEST
        if manifest.exists():
            self.check_digest()
        else:
            spec = self.suite.model_dump(mode="json", exclude_defaults=True)
            content = {
                "schema_version": STORE_SCHEMA,
                "suite": self.suite.id,
                "digest": self.suite.digest,
                "spec": spec,
            }
            write_atomically(manifest, (json.dumps(content, indent=1) + "\n").encode())
        if not os.access(self.folder, os.W_OK):
            raise StorageError(f"can't write to {self.folder}: permission denied; choose another folder with --out")

    def check_digest(self) -> None:
        """Hold the folder's digest against the suite's.

        Raises:
            TlbenchError: If they differ or the manifest is damaged.
        """
        stated = read_manifest(self.folder)["digest"]
        if stated != self.suite.digest:
            raise TlbenchError(
                f"{self.folder} was made with another {self.suite.id} (digest {str(stated)[:12]}, here "
                f"{self.suite.digest[:12]}): records of different digests are never mixed; use another --out"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one driver; the lock goes with the process, however it ends.

        Only now may files be moved: what a killed driver left behind is cleared, damaged files are set aside.

        Raises:
            TlbenchError: If another process holds it, or it can't be written.
        """
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise TlbenchError(
                f"another tlbench evaluate is writing to {self.folder}: wait for it, or use another --out"
            ) from None
        except OSError as error:
            raise StorageError(f"can't write to {self.folder}: {error.strerror}; choose another --out") from None
        self._writing = True
        try:
            for leftover in self.folder.rglob(".*.tmp"):
                leftover.unlink(missing_ok=True)
            yield
        finally:
            self._writing = False
            lock.release()

    def record_path(self, name: str) -> Path:
        """Path of a run's record by its name (see ``plan``)."""
        return self.folder / "records" / f"{name}.json"

    def write_record(self, name: str, record: Record) -> None:
        """Write a run's record."""
        write_atomically(self.record_path(name), to_json(record).encode())

    def find_record(self, name: str, key: str) -> Record | None:
        """The record of that name if it is there and sound; the driver sets a damaged one aside as ``*.damaged``."""
        path = self.record_path(name)
        if not path.exists():
            return None
        try:
            record = read_record(path)
        except TlbenchError:
            record = None
        if record is None or record.key != key or record.digest != self.suite.digest:
            self._set_aside(path)
            return None
        return record

    def records(self) -> Iterator[Record]:
        """All run records, in a fixed order; of a record that lies there twice (a copy of a file), the first.

        Raises:
            TlbenchError: If one is damaged, or was made with another digest.
        """
        seen = set[str]()
        for path in sorted((self.folder / "records").rglob("*.json")):
            record = self._sound(path)
            if record.key not in seen:
                seen.add(record.key)
                yield record

    def write_expert(self, key: str, params: Params, record: Record) -> None:
        """Write an expert: its weights, then the record of its training, which completes it."""
        data = _serialised(params)
        write_atomically(self.folder / "experts" / f"{key}.safetensors", data)
        with_hash = {**record.diagnostics, "roles": list(params), "weights_sha256": hashlib.sha256(data).hexdigest()}
        complete = record.model_copy(update={"diagnostics": with_hash})
        write_atomically(self.folder / "experts" / f"{key}.json", to_json(complete).encode())

    def find_expert(self, key: str) -> Record | None:
        """The record of an expert's training if the expert is there and sound."""
        path = self.folder / "experts" / f"{key}.json"
        if not path.exists():
            return None
        try:
            record = read_record(path)
            self._tensors("experts", key, record.diagnostics.get("weights_sha256"), record.diagnostics["roles"])
        except (TlbenchError, KeyError, TypeError):
            self._set_aside(path)
            return None
        return record

    def has_unusable_expert(self, key: str) -> bool:
        """Whether the record of an expert's training is there, and damaged or of another suite."""
        path = self.folder / "experts" / f"{key}.json"
        try:
            return path.exists() and read_record(path).digest != self.suite.digest
        except TlbenchError:
            self._set_aside(path)
            return True

    def load_expert(self, key: str) -> tuple[Params, Record]:
        """An expert's parameters and the record of its training.

        Raises:
            TlbenchError: If it is missing or damaged.
        """
        record = read_record(self.folder / "experts" / f"{key}.json")
        stated = record.diagnostics
        return self._tensors("experts", key, stated.get("weights_sha256"), stated.get("roles", [])), record

    def expert_records(self) -> Iterator[Record]:
        """The records of all experts' training, in a fixed order.

        Raises:
            TlbenchError: If one is damaged.
        """
        for path in sorted((self.folder / "experts").glob("*.json")):
            yield self._sound(path)

    def write_knowledge(self, key: str, knowledge: Knowledge | None, meta: Mapping[str, Any]) -> None:
        """Write knowledge (``None``: the method abstained) with facts about how it was made."""
        content: dict[str, Any] = {"schema_version": STORE_SCHEMA, "abstained": knowledge is None, **meta}
        if knowledge is not None:
            data = _serialised(knowledge.tensors)
            write_atomically(self.folder / "knowledge" / f"{key}.safetensors", data)
            content |= {
                "data": dict(knowledge.data),
                "diagnostics": dict(knowledge.diagnostics),
                "names": list(knowledge.tensors),
                "weights_sha256": hashlib.sha256(data).hexdigest(),
            }
        text = json.dumps({**content, "checksum": checksum(content)}, indent=1, allow_nan=False)
        write_atomically(self.folder / "knowledge" / f"{key}.json", (text + "\n").encode())

    def find_knowledge(self, key: str) -> tuple[Knowledge | None, Mapping[str, Any]] | None:
        """Knowledge and the facts written with it if it is there and sound; the driver sets a damaged one aside."""
        path = self.folder / "knowledge" / f"{key}.json"
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["checksum"] != checksum(content):
                raise TlbenchError(f"{path} is damaged: its checksum is wrong")
            if content["abstained"]:
                return None, content
            tensors = self._tensors("knowledge", key, content["weights_sha256"], content["names"])
            return Knowledge(tensors, content["data"], content["diagnostics"]), content
        except (TlbenchError, OSError, ValueError, KeyError, TypeError, AttributeError):
            self._set_aside(path)
            return None

    def _sound(self, path: Path) -> Record:
        cure = "the same `tlbench evaluate` sets it aside and makes it again"
        try:
            record = read_record(path)
        except TlbenchError as error:
            raise TlbenchError(f"{error}; {cure}") from None
        if record.digest != self.suite.digest:
            raise TlbenchError(f"{path} was made with another digest of {self.suite.id}; {cure}")
        return record

    def _set_aside(self, path: Path) -> None:
        """Move a node's JSON out of the way, without which the node is missing; also a folder in its weights' place."""
        if not self._writing:
            return
        weights = path.with_suffix(".safetensors")
        for damaged in (path, *([weights] if weights.is_dir() else [])):
            aside, number = damaged.with_suffix(".damaged"), 1
            while aside.is_dir() or (damaged.is_dir() and aside.exists()):  # folders can't be replaced
                aside, number = damaged.with_suffix(f".{number}.damaged"), number + 1
            try:
                damaged.replace(aside)
            except OSError as error:
                raise StorageError(f"{damaged} is damaged and can't be moved away: {error.strerror}") from None

    def _tensors(self, kind: str, key: str, sha256: str | None, names: list[str]) -> dict[str, torch.Tensor]:
        path = self.folder / kind / f"{key}.safetensors"
        try:
            data = path.read_bytes()
            tensors: dict[str, torch.Tensor] = load_tensors(data)
        except (OSError, SafetensorError) as error:
            raise TlbenchError(f"{path} can't be read: {error}") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise TlbenchError(f"{path} is damaged: its checksum is wrong")
        return {name: tensors[name] for name in names}
