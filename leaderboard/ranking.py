"""Rankings per suite and track; every score is computed here, from raw curves, by ``tlbench.analysis``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tlbench.analysis.bootstrap import Bootstrap, Interval
from tlbench.analysis.curves import FloatArray, TaskCurves
from tlbench.analysis.results import SuiteResult, Summary
from tlbench.analysis.statistics import ranks, resampled_iqm
from tlbench.analysis.summary import summarise
from tlbench.analysis.task_results import run_values
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.controls import (
    ReferenceControls,
    method_curves,
    reference_controls,
    replaced,
    weak_controls,
)
from tlbench.leaderboard.entries import Entry, at_snapshot, lines, of_suite, snapshot_of
from tlbench.leaderboard.submission import Metadata, Ruleset, SourceClass, Submission
from tlbench.protocol.specs import SuiteSpec

_Reference = TypeVar("_Reference", ReferenceControls, Entry)

RANK_REPETITIONS = 10_000
"""Resamples behind a rank's interval; they are kept per submission, and compared with each other."""


@dataclass(frozen=True, order=True)
class Track:
    """What is ranked against each other.

    Attributes:
        learner: Id of the learner, or "none".
        ruleset: ``fixed`` or ``tuned``.
        source_class: ``standard`` or ``multi-expert``.
        external_knowledge: Whether knowledge from beyond the sources was used.
    """

    learner: str
    ruleset: Ruleset
    source_class: SourceClass
    external_knowledge: bool

    @classmethod
    def of(cls, metadata: Metadata) -> Track:
        """The track of a submission."""
        external = metadata.external_knowledge is not None
        return cls(metadata.learner or "none", metadata.ruleset, metadata.source_class, external)

    def __str__(self) -> str:
        external = "with external knowledge" if self.external_knowledge else "no external knowledge"
        return f"learner {self.learner}, {self.ruleset}, {self.source_class} sources, {external}"


@dataclass(frozen=True, eq=False)
class Standing:
    """One submission's results. They depend on it, its suite and the reference controls alone: cache at will.

    Attributes:
        entry: The submission's entry.
        summary: All metrics per transfer task and for the suite.
        curves: The curves that they were computed from.
        scores: Replicates of the score for rank intervals, ``[repetitions]``.
        own_controls: How many of its controls were replaced by the leaderboard's.
        flags: What a reader must know, one line each.
    """

    entry: Entry
    summary: Summary
    curves: tuple[TaskCurves, ...]
    scores: FloatArray
    own_controls: int
    flags: tuple[str, ...]

    @property
    def result(self) -> SuiteResult:
        """The results for the suite."""
        return self.summary.suites[0]

    @property
    def score(self) -> float:
        """The score; minus infinity if no scored task was run."""
        return self.result.score.estimate if self.result.score else -np.inf


@dataclass(frozen=True, eq=False)
class Row:
    """A row of a ranking: ``rank`` is None for reference rows and where scored tasks are missing."""

    standing: Standing
    rank: Interval | None
    earlier: int


@dataclass(frozen=True, eq=False)
class Ranking:
    """The state of a leaderboard on one suite.

    Attributes:
        suite: The suite.
        snapshot: Digest of the state.
        tracks: Rows by track, best first.
        references: Rows of learners from scratch, shown beside every track.
    """

    suite: SuiteSpec
    snapshot: str
    tracks: Mapping[Track, tuple[Row, ...]]
    references: tuple[Row, ...]

    def rows(self) -> list[Row]:
        """All rows, references last."""
        return [*(row for rows in self.tracks.values() for row in rows), *self.references]


def analyse(
    suite: SuiteSpec,
    entry: Entry,
    submission: Submission,
    reference: ReferenceControls | None = None,
    bootstrap: Bootstrap | None = None,
) -> Standing:
    """Compute everything about one submission.

    Args:
        suite: Its suite.
        entry: Its entry.
        submission: The submission, validated when it was accepted.
        reference: The leaderboard's controls of its learner, if there are any but its own.
        bootstrap: Source of resamples; share one, it keeps its draws.
    """
    bootstrap = bootstrap or Bootstrap()
    own = reference.records if reference else {}
    curves = method_curves(suite, submission, own)
    scored = [name for name, transfer in suite.transfers.items() if transfer.scored]
    summary = summarise({submission.metadata.name: curves}, bootstrap, scored)
    weak = weak_controls(method_curves(suite, submission, {}) if reference else curves, reference)
    flags = []
    if weak:
        flags.append(f"its control is significantly below the leaderboard's on {', '.join(weak)}")
    if submission.metadata.learner and reference is None and not entry.is_control:
        flags.append(f"the leaderboard has no control of its own for {submission.metadata.learner}")
    diverged = sum(own.get(r.key, r).diverged for r in submission.controls())
    if diverged:
        flags.append(
            f"{diverged} {'run' if diverged == 1 else 'runs'} of its control diverged, which flatters its gain"
        )
    draws = Bootstrap(RANK_REPETITIONS, bootstrap.seed, bootstrap.confidence)
    scores = _score_replicates(curves, draws)
    return Standing(entry, summary, tuple(curves), scores, replaced(submission, reference), tuple(flags))


class RunningRanks:
    """Ranks of submissions with their intervals; a growing track is compared only with what is new in it.

    Every resample is ranked, tied submissions sharing the mean of their ranks.
    """

    def __init__(self) -> None:
        self._bootstrap = Bootstrap(RANK_REPETITIONS)
        self._above: dict[Track, dict[Standing, FloatArray]] = {}

    def __call__(self, standings: Sequence[Standing]) -> dict[str, Interval]:
        """Rank of each submission, by id.

        Args:
            standings: Those of one track that ran every scored task.
        """
        if not standings:
            return {}
        above = self._above.setdefault(Track.of(standings[0].entry.metadata), {})
        for gone in [s for s in above if s not in standings]:
            del above[gone]
            for standing in above:
                above[standing] -= _higher(gone, standing)
        for new in [s for s in standings if s not in above]:
            count = np.full(new.scores.shape, 1.0)
            for standing in above:
                lower = _higher(new, standing)
                above[standing] += lower
                count += 1.0 - lower
            above[new] = count
        points = ranks(np.array([[s.score] for s in standings]))[:, 0].tolist()
        intervals: dict[str, Interval] = {}
        for standing, point in zip(standings, points, strict=True):
            found = self._bootstrap.interval(point, above[standing], standing.result.seeds)
            intervals[standing.entry.id] = found
        return intervals


def _higher(x: Standing, y: Standing) -> FloatArray:
    """Per resample: 1 where x scores higher than y, a half where they are tied."""
    return np.asarray((x.scores > y.scores) + 0.5 * (x.scores == y.scores), dtype=np.float64)


def rank(
    suite: SuiteSpec,
    standings: Sequence[Standing],
    earlier: Mapping[str, int],
    state: str,
    place: RunningRanks | None = None,
) -> Ranking:
    """Rank standings within their tracks.

    Args:
        suite: The suite.
        standings: One per active entry.
        earlier: How many submissions each entry (by id) replaced.
        state: The snapshot's digest.
        place: Keeps what was compared; share one for several states of a board.
    """
    place = place or RunningRanks()
    tracks: dict[Track, tuple[Row, ...]] = {}
    methods = [s for s in standings if not s.entry.is_control]
    for track in sorted({Track.of(s.entry.metadata) for s in methods}):
        members = [s for s in methods if Track.of(s.entry.metadata) == track]
        members.sort(key=lambda s: (bool(s.result.missing), -s.score, s.entry.order))
        placed = place([s for s in members if not s.result.missing])
        tracks[track] = tuple(Row(s, placed.get(s.entry.id), earlier.get(s.entry.id, 0)) for s in members)
    scratch = sorted((s for s in standings if s.entry.is_control), key=lambda s: (-s.score, s.entry.order))
    references = tuple(Row(s, None, earlier.get(s.entry.id, 0)) for s in scratch)
    return Ranking(suite, state, tracks, references)


def rank_board(
    board: Board, suite: SuiteSpec, bootstrap: Bootstrap | None = None, snapshot: str | None = None
) -> Ranking:
    """Read a board and rank its active submissions on a suite.

    Args:
        board: The board.
        suite: The suite.
        bootstrap: Source of resamples.
        snapshot: An earlier state, by its digest or the start of it; none: the present one.

    Raises:
        TlbenchError: If a bundle is damaged, or there is no such snapshot.
    """
    bootstrap = bootstrap or Bootstrap()
    entries = of_suite(board.entries(), suite.digest)
    if snapshot is not None:
        entries = at_snapshot(entries, snapshot)
    references = board_references(board, suite, entries)
    active = lines(entries)
    standings = [
        analyse(suite, line.active, board.submission(line.active), reference_for(line.active, references), bootstrap)
        for line in active
    ]
    earlier = {line.active.id: len(line.earlier) for line in active}
    return rank(suite, standings, earlier, snapshot_of(entries))


def standing_of(board: Board, suite: SuiteSpec, entry: Entry) -> tuple[Standing, str]:
    """One submission's standing on a board, active or not, and the digest of the board's state on its suite."""
    entries = of_suite(board.entries(), suite.digest)
    reference = reference_for(entry, board_references(board, suite, entries))
    return analyse(suite, entry, board.submission(entry), reference), snapshot_of(entries)


def board_references(board: Board, suite: SuiteSpec, entries: Sequence[Entry]) -> dict[str, ReferenceControls]:
    """A board's own controls by learner."""
    first = reference_entries(of_suite(entries, suite.digest))
    return {learner: reference_controls(suite, board.submission(entry)) for learner, entry in first.items()}


def reference_entries(entries: Sequence[Entry]) -> dict[str, Entry]:
    """The ``scratch-`` submissions that a board's own controls are from: the first accepted for each learner.

    The first, not the active one: a later submission can't move what all others are held against.

    Args:
        entries: The entries of one suite, in order.
    """
    first: dict[str, Entry] = {}
    for entry in entries:
        metadata = entry.metadata
        if entry.is_control and metadata.ruleset == "fixed" and metadata.external_knowledge is None:
            first.setdefault(metadata.learner or "", entry)
    return first


def reference_for(entry: Entry, references: Mapping[str, _Reference]) -> _Reference | None:
    """The reference that an entry is held against; none for the reference itself."""
    found = references.get(entry.metadata.learner or "")
    return None if found is None or found.id == entry.id else found


def _score_replicates(curves: Sequence[TaskCurves], bootstrap: Bootstrap) -> FloatArray:
    scored = [c for c in curves if c.scored]
    universe = sorted({seed for c in scored for seed in c.seeds.tolist()})
    total = np.zeros(bootstrap.repetitions)
    for task in scored:
        weights = bootstrap.weights(task.seeds, task.expert_seeds if task.crossed else None, universe)
        total += 100 * resampled_iqm(run_values(task)["auc"], weights) / len(scored)
    return total
