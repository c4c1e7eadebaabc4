"""A board: a folder of accepted submissions. Adding is atomic, durable and idempotent.

``submissions/<id>/`` holds ``bundle.zip`` and ``accepted.json``; the folder appears by one rename, and that is the
acceptance. ``index.json`` only spares reading the bundles: it is believed where it lists exactly the folders that are
there, and made again from them where it does not, so that a crash between the two can't leave them in disagreement.
``verifications/<id>/`` holds what came out when runs of a submission, which may be a reference, were run again.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import ValidationError

from tlbench.leaderboard import strictjson
from tlbench.leaderboard import submission as submissions
from tlbench.leaderboard.archive import MAX_BUNDLE
from tlbench.leaderboard.entries import SHORT, Acceptance, Entry, parse_acceptance
from tlbench.leaderboard.files import clear_leftovers, write_file, write_folder
from tlbench.leaderboard.submission import Part, Submission
from tlbench.leaderboard.validation import validate
from tlbench.leaderboard.verification import MAX_DOCUMENT, Verification, parse_verification
from tlbench.leaderboard.verification_runs import check_runs
from tlbench.protocol.errors import StorageError, TlbenchError
from tlbench.protocol.specs import SuiteSpec

BUNDLE, ACCEPTED, INDEX, SUBMISSIONS = "bundle.zip", "accepted.json", "index.json", "submissions"
VERIFICATIONS = "verifications"
LOCK_SECONDS = 60.0
_MAX_INDEX = 2**28
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class _Index(Part):
    schema_version: Literal[1] = 1
    entries: list[Entry]


@dataclass(frozen=True)
class Added:
    """What became of a submission.

    Attributes:
        entry: Its entry.
        new: False where the board had it already; then nothing was changed.
    """

    entry: Entry
    new: bool


class Board:
    """A board in a folder, on top of the reference submissions.

    Args:
        folder: The folder; it need not exist before the first submission.
        references: A folder of another board that is only read and comes first; none: this board stands alone.
    """

    def __init__(self, folder: Path, references: Path | None = None) -> None:
        self.folder = folder
        same = references is not None and references.resolve() == folder.resolve()
        self._references = None if references is None or same else Board(references)

    @classmethod
    def local(cls, folder: Path) -> Board:
        """A board on top of the reference submissions that come with tlbench."""
        return cls(folder, reference_folder())

    def add(self, data: bytes, suites: Mapping[str, SuiteSpec]) -> Added:
        """Read, validate and keep a bundle; when this returns, it is on disk for good.

        Args:
            data: The bundle, from anywhere.
            suites: The suites that are known, by id.

        Raises:
            TlbenchError: If it is refused; then nothing was written.
        """
        submission = submissions.read(data)
        validate(submission, suites)
        return self.keep(submission)

    def keep(self, submission: Submission) -> Added:
        """Keep a submission that has been validated. What is kept is packed anew: nothing else comes along."""
        known = {e.id: e for e in (self._references.entries() if self._references else [])}
        if submission.id in known:
            return Added(known[submission.id], new=False)
        bundle = submission.to_bytes()
        with self._locked():
            entries = self._own()
            found = next((e for e in entries if e.id == submission.id), None)
            if found is not None:
                self._write_index(entries)
                return Added(found, new=False)
            acceptance = Acceptance(
                id=submission.id,
                accepted=_after(max((e.acceptance.accepted for e in entries), default=None)),
                bundle_sha256=hashlib.sha256(bundle).hexdigest(),
            )
            text = json.dumps(acceptance.model_dump(mode="json"), indent=1) + "\n"
            write_folder(self._path(submission.id), {BUNDLE: bundle, ACCEPTED: text.encode()})
            entry = Entry(acceptance=acceptance, metadata=submission.metadata)
            self._write_index([*entries, entry])
            return Added(entry, new=True)

    def entries(self) -> list[Entry]:
        """All entries, references first, then by date.

        Raises:
            TlbenchError: If one is damaged.
        """
        own = self._own()
        if self._references is None:
            return own
        first = [e.model_copy(update={"reference": True}) for e in self._references.entries()]
        known = {e.id for e in first}
        return [*first, *(e for e in own if e.id not in known)]

    def bundle(self, entry: Entry) -> bytes:
        """The bundle of an entry, held against its digest.

        Raises:
            TlbenchError: If it is missing or damaged.
        """
        path = self.path(entry) / BUNDLE
        data = read_limited(path, MAX_BUNDLE)
        if hashlib.sha256(data).hexdigest() != entry.acceptance.bundle_sha256:
            raise TlbenchError(f"{path} is damaged: its checksum is wrong")
        return data

    def submission(self, entry: Entry) -> Submission:
        """The submission of an entry.

        Raises:
            TlbenchError: If it is missing or damaged.
        """
        found = submissions.read(self.bundle(entry), trusted=True)
        if found.id != entry.id:
            raise TlbenchError(f"{self.path(entry)} is damaged: its bundle is another submission's")
        return found

    def path(self, entry: Entry) -> Path:
        """The folder of an entry; what else is known of a submission may lie in it."""
        if entry.reference and self._references is not None:
            return self._references._path(entry.id)
        return self._path(entry.id)

    def verifications(self, entry: Entry) -> tuple[Verification, ...]:
        """What is known of an entry's verifications, different outcomes included, by date.

        Raises:
            TlbenchError: If one is damaged.
        """
        found = {v.digest: v for v in (self._references.verifications(entry) if self._references else ())}
        folder = self.folder / VERIFICATIONS / entry.id
        try:
            paths = [p for p in folder.iterdir() if p.suffix == ".json"] if folder.is_dir() else []
        except OSError as error:
            raise StorageError(f"can't read {folder}: {error.strerror}") from None
        for path in paths:
            document = parse_verification(read_limited(path, MAX_DOCUMENT), str(path))
            if (document.submission, document.digest) != (entry.id, path.stem):
                raise TlbenchError(f"{path} is damaged: it is another verification's")
            found[document.digest] = document
        return tuple(sorted(found.values(), key=lambda v: (v.date, v.digest)))

    def add_verification(self, entry: Entry, document: Verification) -> bool:
        """Keep a verification of an entry; when this returns, it is on disk for good.

        Returns:
            Whether it is new; False: the board had it already, and nothing was changed.

        Raises:
            TlbenchError: If it is another submission's, the entry is not on this board, or a run is not the
                submission's; then nothing was written.
        """
        if document.submission != entry.id:
            raise TlbenchError(f"the verification is of another submission: {document.submission[:SHORT]}")
        if all(e.id != entry.id for e in self.entries()):
            raise TlbenchError(f"the submission {entry.short_id} is not on this leaderboard")
        if any(v.digest == document.digest for v in self.verifications(entry)):
            return False
        check_runs(document, self.submission(entry))
        folder = self.folder / VERIFICATIONS / entry.id
        with self._locked():
            clear_leftovers(folder)
            path = folder / f"{document.digest}.json"
            new = not path.exists()
            if new:
                write_file(path, document.to_bytes())
            return new

    def rebuild(self) -> int:
        """Make the index again from the bundles; gives their number.

        Raises:
            TlbenchError: If one is damaged.
        """
        with self._locked():
            entries = [self._load(name) for name in self._names()]
            self._write_index(entries)
            return len(entries)

    def _own(self) -> list[Entry]:
        names, indexed = self._names(), {e.id: e for e in self._index()}
        found = [indexed[name] if name in indexed else self._load(name) for name in names]
        return sorted(found, key=lambda e: e.order)

    def _names(self) -> list[str]:
        folder = self.folder / SUBMISSIONS
        try:
            names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        except OSError as error:
            raise StorageError(f"can't read {folder}: {error.strerror}") from None
        return sorted(name for name in names if len(name) == 64 and not set(name) - set("0123456789abcdef"))

    def _index(self) -> list[Entry]:
        """The entries of the index; none where it is missing or damaged, then the bundles are read."""
        try:
            content = strictjson.load((self.folder / INDEX).read_bytes(), INDEX, _MAX_INDEX)
            found = _Index.model_validate(content).entries
        except (OSError, TlbenchError, ValidationError):
            return []
        return [e for e in found if Submission(e.metadata, ()).id == e.id]

    def _load(self, name: str) -> Entry:
        path = self._path(name)
        acceptance = parse_acceptance(read_limited(path / ACCEPTED, 10_000), str(path / ACCEPTED))
        metadata = submissions.read_metadata(read_limited(path / BUNDLE, MAX_BUNDLE))
        entry = Entry(acceptance=acceptance, metadata=metadata)
        if acceptance.id != name or Submission(entry.metadata, ()).id != name:
            raise TlbenchError(f"{path} is damaged: its bundle is another submission's")
        return entry

    def _write_index(self, entries: list[Entry]) -> None:
        ordered = sorted(entries, key=lambda e: e.order)
        if self._index() == ordered:
            return
        content = _Index(entries=ordered).model_dump(mode="json")
        write_file(self.folder / INDEX, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())

    def _path(self, name: str) -> Path:
        return self.folder / SUBMISSIONS / name

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.folder / ".lock")
        try:
            (self.folder / SUBMISSIONS).mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise StorageError(f"another process keeps writing to {self.folder}: try again later") from None
        except OSError as error:
            raise StorageError(f"can't write to {self.folder}: {error.strerror}; choose another --board") from None
        try:
            clear_leftovers(self.folder)
            clear_leftovers(self.folder / SUBMISSIONS)
            yield
        finally:
            lock.release()


def reference_folder() -> Path:
    """The board of reference submissions that comes with tlbench."""
    return Path(str(resources("tlbench.leaderboard")))


def _after(last: str | None) -> str:
    """The present time, but always later than the last entry's."""
    now = datetime.datetime.now(datetime.UTC)
    if last is not None:
        before = datetime.datetime.strptime(last, _TIME).replace(tzinfo=datetime.UTC)
        now = max(now, before + datetime.timedelta(microseconds=1))
    return now.strftime(_TIME)


def read_limited(path: Path, limit: int) -> bytes:
    """A file's content, no more than the limit.

    Raises:
        TlbenchError: If it can't be read or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise TlbenchError(f"{path} can't be read: {error.strerror}") from None
    if len(data) > limit:
        raise TlbenchError(f"{path} is too large: at most {limit:,} bytes are allowed")
    return data
