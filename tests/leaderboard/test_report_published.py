"""``tlbench report --published``: a leaderboard's submissions beside one's own results, or alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.leaderboard.conftest import SELF, SMALL, records_of, small_suite, submission_of
from tlbench.cli.app import app
from tlbench.execution.store import Store
from tlbench.leaderboard.assembly import assemble
from tlbench.leaderboard.board import Board

SUITE = small_suite()

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs the command in a folder with a leaderboard of two submissions, whose suite is a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL.format(seeds=8) + SELF)
    board = Board.local(tmp_path / "board")
    for method, mean in (("spam-vpg", 60.0), ("scratch-vpg", 40.0)):
        board.add(submission_of(SUITE, method, mean=mean).to_bytes(), {SUITE.id: SUITE})

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["report", *arguments, "--format", "json"])

    return run


def fill(method: str, seeds: int = 8, **how: float) -> None:
    """Results of one's own."""
    store = Store(Path("runs"), SUITE)
    store.open()
    for record in records_of(SUITE, method, **how)[0]:
        if record.seed < seeds:
            store.write_record(record.key, record)


def rows(result: Result) -> dict[tuple[str, str], dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return {(row["method"], row["task"]): row for row in json.loads(result.stdout)}


def test_submissions_are_shown_beside_ones_own_results(call: Call) -> None:
    fill("finetune-vpg", mean=50.0)
    alone, beside = rows(call("runs")), rows(call("runs", "--board", "board"))
    assert {method for method, _ in alone} == {"finetune-vpg", "scratch-vpg"}
    assert {method for method, _ in beside} == {"finetune-vpg", "scratch-vpg", "spam-vpg"}
    assert beside["finetune-vpg", "close"] == alone["finetune-vpg", "close"]
    assert beside["spam-vpg", "close"]["score"]["estimate"] == pytest.approx(60 + 3.5, abs=3)


def test_a_method_that_was_run_here_is_not_mixed_with_its_submission(call: Call) -> None:
    fill("spam-vpg", seeds=3, mean=90.0)
    result = call("runs", "--board", "board")
    assert rows(result)["spam-vpg", "close"]["seeds"] == 3
    assert "not from the leaderboard, as it was run here: spam-vpg 1" in result.stderr


def test_a_control_of_ones_own_is_not_filled_up_with_other_runs(call: Call) -> None:
    """Published methods are paired with published controls where one's own are missing; the row is one's own."""
    fill("finetune-vpg", seeds=3)
    alone, beside = rows(call("runs")), rows(call("runs", "--board", "board"))
    assert beside["scratch-vpg", "close"] == alone["scratch-vpg", "close"]
    assert (beside["scratch-vpg", "close"]["seeds"], beside["spam-vpg", "close"]["seeds"]) == (3, 8)


def test_a_suites_file_names_ones_own_results_too(call: Call) -> None:
    fill("finetune-vpg")
    for name in ("small.toml", "small", "small-v1"):
        assert ("finetune-vpg", "close") in rows(call("runs", "--board", "board", "--suite", name)), name


def test_a_suites_name_never_means_quick_results(call: Call) -> None:
    store = Store(Path("runs"), SUITE.quick_form())
    store.open()
    result = call("runs", "--board", "board", "--suite", "small")
    assert {method for method, _ in rows(call("--board", "board", "--suite", "small.toml"))} == {
        "spam-vpg",
        "scratch-vpg",
    }
    assert "unknown suite 'small'" in result.stderr  # the name is the real suite's, which isn't installed


def test_without_results_of_ones_own_a_suite_must_be_named(call: Call) -> None:
    result = call("--board", "board")
    assert result.exit_code == 1
    assert "runs holds no results: name its folder, or a suite with --suite" in result.stderr
    shown = rows(call("--board", "board", "--suite", "small.toml"))
    assert {method for method, _ in shown} == {"spam-vpg", "scratch-vpg"}


def test_only_the_methods_asked_for_are_read(call: Call) -> None:
    fill("finetune-vpg")
    shown = rows(call("runs", "--board", "board", "--methods", "spam,finetune-vpg"))
    assert list(dict.fromkeys(method for method, _ in shown)) == ["spam-vpg", "finetune-vpg"]
    missing = call("runs", "--board", "board", "--methods", "distill-last1-fixed")
    assert missing.exit_code == 1
    assert "it holds: finetune-vpg, scratch-vpg, spam-vpg" in missing.stderr


def test_a_board_without_the_suite_says_so(call: Call) -> None:
    Path("empty").mkdir()
    result = call("--board", "empty", "--suite", "small.toml")
    assert result.exit_code == 1
    assert "the leaderboard has no submission on small-v1 that could be shown" in result.stderr
    fill("finetune-vpg")
    beside = call("runs", "--board", "empty")
    assert {method for method, _ in rows(beside)} == {"finetune-vpg", "scratch-vpg"}
    assert "the leaderboard has no submission on small-v1 (digest " in beside.stderr
    typo = call("runs", "--board", "typo")
    assert typo.exit_code == 1
    assert "there is no leaderboard in typo" in typo.stderr


def test_settings_that_differ_between_tasks_are_left_out(call: Call) -> None:
    runs = [
        r
        for rate, task in ((0.01, "close"), (0.001, "self"))
        for r in records_of(SUITE, "finetune-vpg", settings={"learner.learning_rate": rate})[0]
        if task in r.transfers or r.control_key == r.key
    ]
    about = {"name": "Tuned", "contact": "someone@example.org", "ruleset": "tuned"}
    experts = records_of(SUITE, "finetune-vpg")[1]
    tuned = assemble(SUITE, runs, experts, method="finetune-vpg", about=about)
    Board.local(Path("board")).add(tuned.to_bytes(), {SUITE.id: SUITE})
    result = call("--board", "board", "--suite", "small.toml")
    assert "not shown, as its settings differ between transfer tasks: finetune-vpg 1" in result.stderr
    assert {method for method, _ in rows(result)} == {"spam-vpg", "scratch-vpg"}
