"""Durable writes: a file or a folder is either there in full or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tlbench.protocol.errors import StorageError

TEMPORARY = ".incoming-"
"""Start of the names of what is not yet complete; a crash may leave some behind."""


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically and durably.

    Raises:
        StorageError: If it can't be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's own mode would keep other readers out
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(f"can't write {path}: {error.strerror}") from None


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files that appears at once, complete and durable; there must be none yet.

    Raises:
        StorageError: If it can't be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=path.parent))
        for name, data in files.items():
            with (temporary / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        temporary.chmod(0o755)
        sync_folder(temporary)
        temporary.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        raise StorageError(f"can't write {path}: {error.strerror}") from None


def sync_folder(path: Path) -> None:
    """Make a rename in a folder durable."""
    if os.name == "nt":  # folders can't be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear_leftovers(folder: Path) -> None:
    """Remove what a crash left incomplete; only under a lock."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
