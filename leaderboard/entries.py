"""Entries of a board: what was accepted and when, which are active, and the digest of a board's state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationError

from tlbench.leaderboard import strictjson
from tlbench.leaderboard.submission import Digest, Metadata, Part
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import CONTROL_PREFIX
from tlbench.protocol.specs import first_error

EMPTY_SNAPSHOT = hashlib.sha256(b"tlbench snapshot 1").hexdigest()
SHORT = 12
"""Digits of an id or a snapshot that are shown to people."""


class Acceptance(Part):
    """``accepted.json``: written by the board beside a bundle, never by the submitter."""

    schema_version: Literal[1] = 1
    id: Digest
    accepted: str = Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", description="UTC; increasing on a board."
    )
    bundle_sha256: Digest


class Entry(Part):
    """An accepted submission.

    ``reference`` entries come with tlbench; their controls are what others' are held against.
    """

    acceptance: Acceptance
    metadata: Metadata
    reference: bool = False

    @property
    def id(self) -> str:
        """The submission's id."""
        return self.acceptance.id

    @property
    def short_id(self) -> str:
        """Its first digits."""
        return self.id[:SHORT]

    @property
    def is_control(self) -> bool:
        """Whether it is a learner from scratch, shown as a reference row."""
        return self.metadata.method.startswith(CONTROL_PREFIX)

    @property
    def order(self) -> tuple[bool, str, str]:
        """Sort key: references first, then by date."""
        return not self.reference, self.acceptance.accepted, self.id


def parse_acceptance(text: bytes, origin: str) -> Acceptance:
    """Parse ``accepted.json``.

    Raises:
        TlbenchError: If it is damaged.
    """
    try:
        return Acceptance.model_validate(strictjson.load(text, origin, 10_000))
    except ValidationError as error:
        raise TlbenchError(f"{origin} is damaged: {strictjson.plain(first_error(error))}") from None


@dataclass(frozen=True)
class Line:
    """The active entry of a (method, version) and those it replaced, oldest first."""

    active: Entry
    earlier: tuple[Entry, ...]


def lines(entries: Iterable[Entry]) -> list[Line]:
    """One line per (suite digest, method, version), in the order in which their active entries were accepted."""
    grouped: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: e.order):
        key = (entry.metadata.digest, entry.metadata.method, entry.metadata.version)
        grouped.setdefault(key, []).append(entry)
    found = [Line(group[-1], tuple(group[:-1])) for group in grouped.values()]
    return sorted(found, key=lambda line: line.active.order)


def of_suite(entries: Iterable[Entry], digest: str) -> list[Entry]:
    """The entries of one suite, in order."""
    return sorted((e for e in entries if e.metadata.digest == digest), key=lambda e: e.order)


def snapshots(entries: Sequence[Entry]) -> list[str]:
    """Digest of a board's state after each entry: SHA-256 over the digest before it and the entry's id.

    Entries are only ever added at the end, so every earlier state of a board is one of the prefixes.
    """
    digests, digest = [], EMPTY_SNAPSHOT
    for entry in entries:
        digest = hashlib.sha256(f"{digest} {entry.id}".encode()).hexdigest()
        digests.append(digest)
    return digests


def snapshot_of(entries: Sequence[Entry]) -> str:
    """Digest of the present state: which submissions there are, in which order."""
    return snapshots(entries)[-1] if entries else EMPTY_SNAPSHOT


def at_snapshot(entries: Sequence[Entry], start: str) -> list[Entry]:
    """The entries as they were at a snapshot.

    Args:
        entries: All entries of a suite, in order.
        start: The snapshot's digest, or its first digits.

    Raises:
        TlbenchError: If no state, or several, begin so.
    """
    fits = [i for i, digest in enumerate(snapshots(entries)) if start and digest.startswith(start)]
    if len(fits) != 1:
        raise TlbenchError(f"{'several snapshots begin' if fits else 'no snapshot begins'} with {start[:64]!a}")
    return list(entries[: fits[0] + 1])


def find_entry(entries: Sequence[Entry], name: str) -> Entry:
    """The entry of an id (or its first 6 or more digits), or the active one of ``method`` or ``method@version``.

    Raises:
        TlbenchError: If there is none, or several.
    """
    by_id = [e for e in entries if len(name) >= 6 and e.id.startswith(name)]
    method, _, version = name.partition("@")
    active = [line.active for line in lines(entries)]
    by_name = [e for e in active if e.metadata.method == method and version in ("", e.metadata.version)]
    found = {e.id: e for e in (by_id or by_name)}
    if len(found) == 1:
        return next(iter(found.values()))
    listed = ", ".join(f"{e.metadata.method}@{e.metadata.version} ({e.short_id})" for e in found.values() or active)
    if found:
        raise TlbenchError(f"{name[:80]!a} fits several submissions: {listed}")
    raise TlbenchError(f"there is no submission {name[:80]!a}; there are: {listed or 'none'}")
