"""The site's folder: known by a mark, locked while it is written, each file replaced at once and only if it changed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tlbench.leaderboard.files import TEMPORARY, clear_leftovers
from tlbench.protocol.errors import StorageError, TlbenchError

MARK = ".tlbench-site"
CACHE = ".cache"
LOCK_SECONDS = 300.0


class SiteFolder:
    """A folder that a site is written to.

    Attributes:
        path: Where it is.
        written: Paths, relative to it, of the files that were new or changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: list[str] = []

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder for writing; made if it is not there.

        Raises:
            TlbenchError: If it holds something else than a site, or can't be written.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise TlbenchError(f"{self.path} is no folder: choose another --out")
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / MARK).is_file():
                if any(name not in (".lock", MARK) for name in os.listdir(self.path)):
                    raise TlbenchError(
                        f"{self.path} holds something else than a site of tlbench: choose an empty --out, or a new one"
                    )
                (self.path / MARK).write_text("A site written by `tlbench leaderboard build`.\n", encoding="utf-8")
            lock = FileLock(self.path / ".lock")
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise StorageError(f"another process keeps writing to {self.path}: try again later") from None
        except OSError as error:
            raise StorageError(f"can't write to {self.path}: {error.strerror}; choose another --out") from None
        try:
            for folder in (self.path, *(p.parent for p in self.path.glob(f"**/{TEMPORARY}*"))):
                clear_leftovers(folder)
            yield
        finally:
            lock.release()

    def put(self, name: str, content: str | bytes) -> bool:
        """Write a file, if it differs from what is there; gives whether it did.

        A site can be made again from its board, so nothing waits for the disk.

        Raises:
            StorageError: If it can't be written.
        """
        data = content.encode() if isinstance(content, str) else content
        path = self.path / name
        temporary = None
        try:
            if _bytes(path, len(data)) == data:
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except OSError as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            raise StorageError(f"can't write {path}: {error.strerror}") from None
        self.written.append(name)
        return True

    def read(self, name: str) -> bytes | None:
        """A file's content; none where there is no such file."""
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return None

    def size(self, name: str) -> int:
        """A file's size in bytes; 0 where there is no such file."""
        try:
            return (self.path / name).stat().st_size
        except OSError:
            return 0


def _bytes(path: Path, size: int) -> bytes | None:
    try:
        return path.read_bytes() if path.stat().st_size == size else None
    except FileNotFoundError:
        return None
