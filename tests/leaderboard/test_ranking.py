from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.leaderboard.conftest import STUDY, records_of, small_suite, submission_of
from tlbench.analysis.bootstrap import Bootstrap
from tlbench.leaderboard.assembly import assemble
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.entries import snapshot_of
from tlbench.leaderboard.ranking import Ranking, Track, rank_board, standing_of
from tlbench.leaderboard.submission import Submission
from tlbench.protocol.records import Record

SUITE = small_suite()
SUITES = {SUITE.id: SUITE}
FEW = Bootstrap(500)


def board_of(folder: Path, *submissions: Submission) -> Board:
    board = Board(folder)
    for submission in submissions:
        board.add(submission.to_bytes(), SUITES)
    return board


def table(ranking: Ranking) -> dict[str, list[tuple[str, float | None]]]:
    return {
        str(track): [(row.standing.entry.metadata.name, row.rank.estimate if row.rank else None) for row in rows]
        for track, rows in ranking.tracks.items()
    }


def raised(submission: Submission, by: float, only_controls: bool = False) -> Submission:
    """The same records with better (or worse) curves on the same keys, packed properly."""

    def better(record: Record) -> Record:
        if record.kind == "expert" or (only_controls and record.knowledge_key is not None):
            return record
        curve = [p.model_copy(update={"returns": tuple(r + by for r in p.returns)}) for p in record.curve]
        return record.model_copy(update={"curve": tuple(curve)})

    records = [better(r) for r in submission.records]
    about = submission.metadata.model_dump(include={"name", "contact"})
    runs = [r for r in records if r.kind == "run"]
    experts = [r for r in records if r.kind == "expert"]
    return assemble(SUITE, runs, experts, method=submission.metadata.method, about=about)


def test_scores_by_hand(tmp_path: Path, spam: Submission) -> None:
    runs, experts = records_of(SUITE, mean=60.0, control=40.0)
    flat = [
        r.model_copy(
            update={
                "curve": tuple(
                    p.model_copy(update={"returns": (80.0, 80.0) if r.knowledge_key else (30.0, 30.0)}) for p in r.curve
                )
            }
        )
        for r in runs
    ]
    submission = assemble(SUITE, flat, experts, method="spam-vpg", about={"name": "X", "contact": "y"})
    board = board_of(tmp_path, submission)
    row = rank_board(board, SUITE, FEW).rows()[0]
    assert row.standing.result.score is not None
    assert row.standing.result.score.estimate == pytest.approx(80.0)
    assert row.standing.result.gain is not None
    assert row.standing.result.gain.transfer_gain.estimate == pytest.approx(50.0)
    assert row.standing.result.self_gain is not None
    assert row.standing.result.self_gain.estimate == pytest.approx(50.0)


def test_tracks_ranks_and_reference_rows(tmp_path: Path, scratch: Submission) -> None:
    best = submission_of(SUITE, name="Best", mean=80.0)
    board = board_of(
        tmp_path,
        scratch,
        submission_of(SUITE, "finetune-vpg", name="Middle", mean=60.0),
        best,
        submission_of(SUITE, "zero-shot-vpg", name="Lowest", mean=30.0),
        submission_of(SUITE, "spam-linear-vpg", name="Tuned", about={"ruleset": "tuned"}),
        submission_of(SUITE, "finetune-reset-head-vpg", name="Web", about={"external_knowledge": "pretrained"}),
        submission_of(SUITE, "random", name="Random"),
    )
    ranking = rank_board(board, SUITE, FEW)
    plain = "learner vpg, fixed, standard sources, no external knowledge"
    assert table(ranking) == {
        "learner none, fixed, standard sources, no external knowledge": [("Random", 1)],
        plain: [("Best", 1), ("Middle", 2), ("Lowest", 3)],
        "learner vpg, fixed, standard sources, with external knowledge": [("Web", 1)],
        "learner vpg, tuned, standard sources, no external knowledge": [("Tuned", 1)],
    }
    assert [row.standing.entry.metadata.name for row in ranking.references] == ["VPG from scratch"]
    assert ranking.references[0].rank is None
    assert ranking.snapshot == snapshot_of(board.entries())
    rows = ranking.tracks[Track("vpg", "fixed", "standard", False)]
    assert rows[0].rank is not None
    assert (rows[0].rank.low, rows[0].rank.high) == (1, 1)


def test_close_methods_have_wide_rank_intervals(tmp_path: Path) -> None:
    board = board_of(
        tmp_path,
        submission_of(SUITE, "finetune-vpg", name="A", mean=60.0, noise=1),
        submission_of(SUITE, "spam-vpg", name="B", mean=60.0, noise=2),
    )
    for row in rank_board(board, SUITE, FEW).rows():
        assert row.rank is not None
        assert (row.rank.low, row.rank.high) == (1, 2)


def test_earlier_versions_are_counted_and_snapshots_readable(tmp_path: Path) -> None:
    first, second = submission_of(SUITE, mean=60.0, name="Old"), submission_of(SUITE, mean=70.0, name="New")
    board = board_of(tmp_path, first)
    before = rank_board(board, SUITE, FEW)
    board.add(second.to_bytes(), SUITES)
    after = rank_board(board, SUITE, FEW)
    assert [(r.standing.entry.metadata.name, r.earlier) for r in after.rows()] == [("New", 1)]
    again = rank_board(board, SUITE, FEW, snapshot=before.snapshot[:12])
    assert [(r.standing.entry.metadata.name, r.earlier) for r in again.rows()] == [("Old", 0)]
    assert again.snapshot == before.snapshot
    old = next(e for e in board.entries() if e.id == first.id)
    standing, state = standing_of(board, SUITE, old)
    assert standing.score == pytest.approx(before.rows()[0].standing.score)
    assert state == after.snapshot


class TestControls:
    def test_on_equal_keys_the_boards_own_are_used(self, tmp_path: Path, spam: Submission, scratch: Submission) -> None:
        weak = raised(spam, -30.0, only_controls=True)
        alone = rank_board(board_of(tmp_path / "alone", weak), SUITE, FEW).rows()[0].standing
        held = rank_board(board_of(tmp_path / "held", scratch, weak), SUITE, FEW).rows()[0].standing
        honest = rank_board(board_of(tmp_path / "honest", scratch, spam), SUITE, FEW).rows()[0].standing
        gains = [s.result.gain.transfer_gain.estimate for s in (alone, held, honest) if s.result.gain]
        assert gains[0] == pytest.approx(gains[2] + 30.0)
        assert gains[1] == gains[2]
        assert (alone.own_controls, held.own_controls) == (0, 16)

    def test_a_weak_control_is_flagged(self, tmp_path: Path, spam: Submission, scratch: Submission) -> None:
        weak = raised(spam, -30.0, only_controls=True)
        held = rank_board(board_of(tmp_path / "a", scratch, weak), SUITE, FEW).rows()[0].standing
        assert held.flags == ("its control is significantly below the leaderboard's on close, self",)
        honest = rank_board(board_of(tmp_path / "b", scratch, spam), SUITE, FEW).rows()[0].standing
        assert honest.flags == ()
        strong = rank_board(board_of(tmp_path / "c", scratch, raised(spam, 30.0)), SUITE, FEW).rows()[0].standing
        assert strong.flags == ()
        alone = rank_board(board_of(tmp_path / "d", spam), SUITE, FEW).rows()[0].standing
        assert alone.flags == ("the leaderboard has no control of its own for vpg",)

    def test_a_control_that_diverged_is_flagged_where_it_counts(
        self, tmp_path: Path, spam: Submission, scratch: Submission
    ) -> None:
        control = next(r for r in spam.records if r.method is not None and r.method.id == "scratch-vpg")
        shorter = {"diverged": True, "curve": control.curve[:2]}
        runs = [r.model_copy(update=shorter) if r is control else r for r in spam.records if r.kind == "run"]
        experts = [r for r in spam.records if r.kind == "expert"]
        about = spam.metadata.model_dump(include={"name", "contact"})
        submission = assemble(SUITE, runs, experts, method="spam-vpg", about=about)
        alone = rank_board(board_of(tmp_path / "a", submission), SUITE, FEW).rows()[0].standing
        assert "1 run of its control diverged, which flatters its gain" in alone.flags
        held = rank_board(board_of(tmp_path / "b", scratch, submission), SUITE, FEW).rows()[0].standing
        assert held.flags == ()

    def test_the_first_reference_stays(self, tmp_path: Path, spam: Submission, scratch: Submission) -> None:
        later = raised(scratch, 50.0)
        ranking = rank_board(board_of(tmp_path, scratch, later, spam), SUITE, FEW)
        row = ranking.rows()[0]
        assert row.standing.result.gain is not None
        assert row.standing.result.gain.transfer_gain.estimate == pytest.approx(20.0, abs=3)
        reference = ranking.references[0]
        assert (reference.standing.entry.id, reference.earlier) == (later.id, 1)
        assert reference.standing.score == pytest.approx(93.5, abs=2)

    def test_two_transfer_tasks_with_one_control(self) -> None:
        suite = small_suite(extra=STUDY)
        submission = submission_of(suite, mean=50)
        assert len({np.mean(r.curve[0].returns) for r in submission.controls()}) == 2 * suite.seeds
