"""A leaderboard's submissions on a suite, as records beside those of a folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlbench.leaderboard.board import Board
    from tlbench.leaderboard.entries import Entry
    from tlbench.protocol.records import Record
    from tlbench.protocol.specs import SuiteSpec


@dataclass(frozen=True, eq=False)
class Published:
    """What a leaderboard adds to a folder's records.

    Attributes:
        runs: Runs to be shown, with their controls.
        controls: Controls of a method that the folder has run itself: runs are paired with them, they are not shown.
        experts: Records of experts' training.
        notes: What was added, and what was left out and why, one line each.
    """

    runs: list[Record]
    controls: list[Record]
    experts: list[Record]
    notes: list[str]


def methods_of(board: Board, suite: SuiteSpec) -> set[str]:
    """Ids of the methods that a leaderboard has on a suite."""
    from tlbench.leaderboard.entries import of_suite

    return {entry.metadata.method for entry in of_suite(board.entries(), suite.digest)}


def published(
    board: Board, suite: SuiteSpec, own: Sequence[Record], experts: Sequence[Record], wanted: Collection[str] | None
) -> Published:
    """Each method's newest submission on a suite, but for those whose method and settings a folder has run itself.

    A control that both have is the folder's: runs of equal key are the same run.

    Args:
        board: The leaderboard.
        suite: The suite.
        own: The folder's runs.
        experts: The folder's records of experts' training.
        wanted: Ids of the methods to add; None for all.

    Raises:
        TlbenchError: If a submission is damaged.
    """
    found = Published([], [], [], [])
    keys = {record.key for record in (*own, *experts)}
    here = {(record.method.id, record.config_hash) for record in own if record.method is not None}
    for entry, replaced in _newest(board, suite):
        name = f"{entry.metadata.method} {entry.metadata.version} ({entry.short_id})"
        if wanted is not None and entry.metadata.method not in wanted:
            continue
        if replaced:
            found.notes.append(f"not shown, as there is a newer version: {name}")
            continue
        submission = board.submission(entry)
        if any((entry.metadata.method, config) in here for config in submission.hashes):
            found.notes.append(f"not from the leaderboard, as it was run here: {name}")
            continue
        if len(submission.hashes) > 1:
            found.notes.append(f"not shown, as its settings differ between transfer tasks: {name}")
            continue
        for record in submission.records:
            if record.key in keys:
                continue
            keys.add(record.key)
            if record.kind == "expert":
                found.experts.append(record)
            elif record.method is not None and (record.method.id, record.config_hash) in here:
                found.controls.append(record)
            else:
                found.runs.append(record)
        (config,) = submission.hashes
        found.notes.append(f"from the leaderboard: {name}, settings {config[:8]}")
    if not found.notes and wanted is None:
        found.notes.append(f"the leaderboard has no submission on {suite.id} (digest {suite.digest[:12]})")
    return found


def _newest(board: Board, suite: SuiteSpec) -> Iterator[tuple[Entry, bool]]:
    """The active entry of each method and version, and whether a version was accepted after it."""
    from tlbench.leaderboard.entries import lines, of_suite

    entries = [line.active for line in lines(of_suite(board.entries(), suite.digest))]
    last = {entry.metadata.method: entry.id for entry in sorted(entries, key=lambda e: e.acceptance.accepted)}
    for entry in entries:
        yield entry, last[entry.metadata.method] != entry.id
