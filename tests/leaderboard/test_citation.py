from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.leaderboard.conftest import small_suite, submission_of
from tlbench.analysis.bootstrap import Interval
from tlbench.leaderboard import citation
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.entries import Entry
from tlbench.leaderboard.ranking import standing_of

SUITE = small_suite()


def entry_of(tmp_path: Path, **about: str) -> tuple[Board, Entry]:
    board = Board(tmp_path)
    submission = submission_of(SUITE, about=about)
    return board, board.add(submission.to_bytes(), {SUITE.id: SUITE}).entry


def test_the_standardized_score(tmp_path: Path) -> None:
    board, entry = entry_of(tmp_path)
    standing, snapshot = standing_of(board, SUITE, entry)
    gain = standing.result.gain
    assert gain is not None
    gain = dataclasses.replace(gain, transfer_gain=Interval(4.1, 1.2, 7.0), negative_tasks=2, testable_tasks=7)
    result = dataclasses.replace(standing.result, score=Interval(61.2, 58.0, 64.1), gain=gain, seeds=10)
    assert citation.score_line(entry, result, snapshot) == (
        "SPAM on small-v1: score 61.2 [58.0, 64.1], transfer gain +4.1 [1.2, 7.0], negative transfer on 2 of 7 "
        f"testable tasks (10 seeds); tlbench {version('tlbench')}, snapshot {snapshot[:12]}"
    )
    few = dataclasses.replace(result, gain=dataclasses.replace(gain, testable_tasks=0))
    assert "negative transfer not tested: no testable task (10 seeds)" in citation.score_line(entry, few, snapshot)


def test_bibtex_escapes_what_strangers_wrote(tmp_path: Path) -> None:
    board, entry = entry_of(
        tmp_path, name="50 % of {A} & \\B_1", contact="a}, evil = {x", url="https://example.org/a_b"
    )
    standing, snapshot = standing_of(board, SUITE, entry)
    text = citation.submission_bibtex(entry, standing.result, snapshot)
    assert r"50 \% of \{A\} \& \textbackslash{}B\_1 on small-v1" in text
    assert r"author = {{a\}, evil = \{x}}" in text
    assert text.count("\n  ") == 5
    assert text.startswith(f"@misc{{tlbench-spam-vpg-1-small-v1-{entry.short_id},\n")
    assert entry.id in text
    assert "a}, evil = {x (20" in citation.submission_apa(entry, standing.result, snapshot)


def test_suite_and_software() -> None:
    assert f"suite digest {SUITE.digest}" in citation.suite_bibtex(SUITE)
    assert f"version = {{{version('tlbench')}}}" in citation.software_bibtex()


def test_citation_file_is_valid() -> None:
    path = Path(__file__).parents[2] / "CITATION.cff"
    if not path.exists():
        pytest.skip("not in a checkout")
    pytest.importorskip("cffconvert")
    code = "import sys; from cffconvert.cli.cli import cli; cli()"
    command = [sys.executable, "-W", "ignore", "-c", code, "--validate", "-i", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout.lower()
    assert f"version: {version('tlbench')}" in path.read_text()
    assert citation.TITLE in path.read_text()
