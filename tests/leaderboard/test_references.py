"""The reference submissions that come with tlbench."""

from importlib.resources import files
from pathlib import Path

import pytest

from tlbench.leaderboard import submission as submissions
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.ranking import rank_board
from tlbench.leaderboard.validation import validate
from tlbench.leaderboard.verification_runs import check_runs
from tlbench.protocol.discovery import find_suite, suites

BOARD = Board(Path(str(files("tlbench.leaderboard"))))
ENTRIES = BOARD.entries()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.metadata.suite}-{e.metadata.method}")
def test_each_would_be_accepted_today(entry):
    submission = submissions.read(BOARD.bundle(entry))
    validate(submission, suites())
    assert submission.id == entry.id
    assert submission.metadata == entry.metadata


def test_the_index_lists_what_is_there(tmp_path):
    assert BOARD._index() == [BOARD._load(name) for name in sorted(BOARD._names(), key=_accepted)]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.metadata.suite}-{e.metadata.method}")
def test_verifications_are_of_their_runs(entry):
    submission = BOARD.submission(entry)
    for document in BOARD.verifications(entry):
        check_runs(document, submission)


def _accepted(name):
    return next(e.order for e in ENTRIES if e.id == name)


def test_every_learner_has_its_controls_on_classic():
    ranking = rank_board(BOARD, find_suite("classic"))
    learners = {row.standing.entry.metadata.learner for row in ranking.rows()}
    controls = {row.standing.entry.metadata.learner for row in ranking.references}
    assert learners == controls
    assert not any(row.standing.flags for row in ranking.rows())


def test_all_were_run_from_commits():
    for entry in ENTRIES:
        for record in BOARD.submission(entry).records:
            assert record.provenance["git_commit"]
            assert record.provenance["git_dirty"] is False
