"""A leaderboard's submissions on a suite, as records beside those of a folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlbench.leaderboard.board import Board
    from tlbench.protocol.records import Record
    from tlbench.protocol.specs import SuiteSpec


@dataclass(frozen=True, eq=False)
class Published:
    """What a leaderboard adds to a folder's records.

    Attributes:
        runs: Runs and controls whose keys the folder doesn't have.
        experts: The same of experts' training.
        notes: What was added, and what was left out and why, one line each.
    """

    runs: list[Record]
    experts: list[Record]
    notes: list[str]


def methods_of(board: Board, suite: SuiteSpec) -> set[str]:
    """Ids of the methods that a leaderboard has on a suite."""
    from tlbench.leaderboard.entries import of_suite

    return {entry.metadata.method for entry in of_suite(board.entries(), suite.digest)}


def published(board: Board, suite: SuiteSpec, own: Sequence[Record], wanted: Collection[str] | None) -> Published:
    """The active submissions on a suite, but for those whose method and settings a folder has run itself.

    A control that both have is the folder's: runs of equal key are the same run.

    Args:
        board: The leaderboard.
        suite: The suite.
        own: The folder's runs.
        wanted: Ids of the methods to add; None for all.

    Raises:
        TlbenchError: If a submission is damaged.
    """
    from tlbench.leaderboard.entries import lines, of_suite

    found = Published([], [], [])
    keys = {record.key for record in own}
    shown = {(record.method.id, record.config_hash) for record in own if record.method is not None}
    for line in lines(of_suite(board.entries(), suite.digest)):
        metadata = line.active.metadata
        if wanted is not None and metadata.method not in wanted:
            continue
        submission = board.submission(line.active)
        pairs = {(metadata.method, config) for config in submission.hashes}
        name = f"{metadata.method} {metadata.version} ({line.active.short_id})"
        if pairs & shown:
            found.notes.append(f"not from the leaderboard, as it was run here: {name}")
            continue
        if len(pairs) > 1:
            found.notes.append(f"left out, as its settings differ between transfer tasks: {name}")
            continue
        shown |= pairs
        for record in submission.records:
            if record.key not in keys:
                keys.add(record.key)
                (found.experts if record.kind == "expert" else found.runs).append(record)
        found.notes.append(f"from the leaderboard: {name}")
    return found
