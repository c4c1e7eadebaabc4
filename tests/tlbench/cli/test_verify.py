from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import tlbench
from tests.leaderboard.conftest import SELF, SMALL
from tests.leaderboard.conftest import submission_of as by_hand
from tlbench.analysis.rerun_test import ALPHA
from tlbench.cli import verification
from tlbench.cli.app import app
from tlbench.execution.store import find_stores
from tlbench.leaderboard.assembly import assemble
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.client import Sent
from tlbench.leaderboard.submission import Submission
from tlbench.leaderboard.verification import Verification, parse_verification, sealed
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec, load_suite

SEEDS = 5
METHOD = "finetune-vpg"
STATED = {
    "system": "Linux",
    "machine": "x86_64",
    "cpu_capability": "AVX2",
    "git_commit": "a" * 40,
    "git_dirty": False,
}

Verify = Callable[..., Result]


@pytest.fixture(scope="module")
def suite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "small.toml"
    path.write_text(SMALL.format(seeds=SEEDS) + SELF)
    return path


@pytest.fixture(scope="module")
def suite(suite_file: Path) -> SuiteSpec:
    return load_suite(suite_file)


@pytest.fixture(scope="module")
def honest(suite: SuiteSpec) -> Submission:
    """A submission whose records stand for what its runs really give."""
    submission = by_hand(suite, METHOD, name="Honest")
    stated = [r.model_copy(update={"provenance": {**r.provenance, **STATED}}) for r in submission.records]
    return assembled(suite, stated, METHOD, "Honest")


def assembled(suite: SuiteSpec, records: list[Record], method: str, name: str) -> Submission:
    runs, experts = ([r for r in records if r.kind == kind] for kind in ("run", "expert"))
    about = {"name": name, "contact": "someone@example.org"}
    return assemble(suite, runs, experts, method=method, about=about)


def evaluated(suite: SuiteSpec, reference: str, method: str, folder: Path, **settings: Any) -> Submission:
    """A submission that was really run."""
    tlbench.evaluate(reference, suite, out=folder, settings=settings, jobs=2, progress=False)
    (store,) = find_stores(folder)
    return assembled(suite, [*store.records(), *store.expert_records()], method, "Evaluated")


def made_up(suite: SuiteSpec, honest: Submission, change: Callable[[Record], Record]) -> Submission:
    """A submission whose records say something else, checksums and all."""
    mine = {r.key for r in honest.runs()}
    return assembled(suite, [change(r) if r.key in mine else r for r in honest.records], METHOD, "Made up")


def better(record: Record) -> Record:
    """The record with returns that were never earned."""
    points = tuple(
        p.model_copy(update={"returns": tuple(min(500.0, x + 300) for x in p.returns)}) for p in record.curve
    )
    return record.model_copy(update={"curve": points})


@pytest.fixture
def verify(suite_file: Path, suite: SuiteSpec, tmp_path: Path) -> Verify:
    """Runs ``tlbench verify`` on a submission that was added to a board."""

    def start(submission: Submission, *arguments: str, name: str | None = None) -> Result:
        Board(tmp_path / "board").add(submission.to_bytes(), {suite.id: suite})
        common = ["--board", str(tmp_path / "board"), "--suite", str(suite_file), "--jobs", "2"]
        return CliRunner().invoke(app, ["verify", name or submission.id, *common, *arguments])

    return start


@pytest.fixture
def known(honest: Submission, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Spares the re-runs: their records are the honest ones, with what the test changes in their provenance."""
    changes: dict[str, Any] = {}
    by_key = {r.key: r for r in honest.records}

    def rerun(prepared: verification.Rerun, **_: Any) -> list[Record]:
        found = [by_key[node.key] for node in prepared.nodes]
        return [r.model_copy(update={"provenance": {**r.provenance, **changes}}) for r in found]

    monkeypatch.setattr(verification, "rerun", rerun)
    return changes


def one_line(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


def documents(tmp_path: Path, submission: Submission) -> Any:
    board = Board(tmp_path / "board")
    (entry,) = (e for e in board.entries() if e.id == submission.id)
    return board.verifications(entry)


@pytest.mark.usefixtures("known")
def test_an_honest_submission_is_identical(
    verify: Verify, honest: Submission, suite_file: Path, tmp_path: Path
) -> None:
    result = verify(honest, "--by", "somebody", "--out", str(tmp_path / "out.json"), name=METHOD)
    assert result.exit_code == 0, result.output
    assert "outcome: identical" in result.stdout
    assert "is reproduced" in result.stdout
    made = parse_verification((tmp_path / "out.json").read_bytes())
    assert documents(tmp_path, honest) == (made,)
    assert (made.kind, made.by, made.seeds, made.test, len(made.runs)) == (
        "reproduced",
        "somebody",
        "recorded",
        None,
        3,
    )
    assert {run.key for run in made.runs} <= {r.key for r in honest.runs()}
    assert {run.transfer for run in made.runs} == {"self", "close"}
    assert all(run.same_environment and run.recorded == run.found for run in made.runs)
    shown = CliRunner().invoke(
        app, ["leaderboard", "show", "--board", str(tmp_path / "board"), "--suite", str(suite_file)]
    )
    assert "reproduced" in shown.stdout


def test_a_submission_made_up_with_care_is_different(
    verify: Verify, honest: Submission, suite: SuiteSpec, suite_file: Path, known: dict[str, Any], tmp_path: Path
) -> None:
    forged = made_up(suite, honest, better)
    result = verify(forged)
    assert result.exit_code == 3, result.output
    assert "outcome: different" in result.stdout
    assert "is self-reported" in result.stdout
    (made,) = documents(tmp_path, forged)
    assert all(run.same_environment and run.verdict == "different" for run in made.runs)
    shown = CliRunner().invoke(
        app, ["leaderboard", "show", "--board", str(tmp_path / "board"), "--suite", str(suite_file)]
    )
    assert "self-reported" in shown.stdout
    assert "3 of 3 runs differ" in shown.stdout
    known["cpu_capability"] = "another"  # the environment promises nothing now: it is the test that finds it
    assert verify(forged).exit_code == 3
    assert [v.outcome for v in documents(tmp_path, forged)] == ["different"] * 2


def test_honest_curves_of_another_environment_are_consistent(
    verify: Verify, honest: Submission, suite: SuiteSpec, known: dict[str, Any], tmp_path: Path
) -> None:
    known["cpu_capability"] = "another"
    runs = {(r.target, r.seed): r for r in honest.runs()}

    def elsewhere(record: Record) -> Record:  # what another machine gives: other runs of the same method
        other = runs[record.target, (record.seed + 1) % SEEDS]
        return record.model_copy(update={"curve": other.curve, "training": other.training})

    result = verify(made_up(suite, honest, elsewhere), "--runs", "4", "--draw", "3")
    assert result.exit_code == 0, result.output
    assert "outcome: consistent" in result.stdout
    assert "is reproduced" in result.stdout


def test_one_run_of_another_environment_cannot_tell(
    verify: Verify, honest: Submission, suite: SuiteSpec, known: dict[str, Any], tmp_path: Path
) -> None:
    known["python"] = "3.12.0"
    result = verify(made_up(suite, honest, better), "--runs", "1", "--no-add", "--out", str(tmp_path / "x.json"))
    assert result.exit_code == 4, result.output
    assert "too few runs or seeds to tell" in result.stdout
    assert "kept" not in result.stdout
    assert parse_verification((tmp_path / "x.json").read_bytes()).outcome == "undecided"


@pytest.mark.usefixtures("known")
def test_a_bundle_file(verify: Verify, honest: Submission, suite_file: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.zip"
    bundle.write_bytes(honest.to_bytes())
    alone = CliRunner().invoke(app, ["verify", str(bundle), "--suite", str(suite_file)])
    assert alone.exit_code == 0, alone.output
    assert "kept" not in alone.stdout
    empty = ["--board", str(tmp_path / "empty")]
    assert "is not on" in one_line(CliRunner().invoke(app, ["verify", str(bundle), "--suite", str(suite_file), *empty]))
    assert "is reproduced" in verify(honest, name=str(bundle)).stdout


@pytest.mark.usefixtures("known")
def test_the_same_outcome_twice_is_kept_once(verify: Verify, honest: Submission, tmp_path: Path) -> None:
    for _ in range(2):
        assert verify(honest, "--draw", "5").exit_code == 0
    assert len(documents(tmp_path, honest)) == 1


@pytest.mark.usefixtures("known")
def test_an_installed_method_is_verified_as_it_is(verify: Verify, honest: Submission) -> None:
    assert "is verified" in verify(honest, "--maintainer").stdout


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "0"], "--runs must be 1 to 10"),
        (["--runs", "11"], "--runs must be 1 to 10"),
        (["--by", "a\nb"], "--by"),
        (["--method-file", "finetune-vpg"], "--method-file takes path/to/file.py"),
        (["--method-file", "nowhere.py"], "nowhere.py"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--device", "gpu"], "no torch device 'gpu'"),
    ],
)
def test_mistakes_are_one_line(verify: Verify, honest: Submission, arguments: list[str], message: str) -> None:
    assert message in one_line(verify(honest, *arguments))


def test_names_that_are_not_there(verify: Verify, honest: Submission, tmp_path: Path) -> None:
    assert "there is no submission 'ppo'" in one_line(verify(honest, name="ppo"))
    assert "can't be read" in one_line(verify(honest, name=str(tmp_path / "no.zip")))
    result = CliRunner().invoke(app, ["verify", honest.id, "--board", str(tmp_path / "board")])
    assert "name its file with --suite" in one_line(result)


def test_another_version_or_configuration_is_named(
    verify: Verify, honest: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tlbench.protocol.discovery import find_method, learners

    with monkeypatch.context() as patch:
        patch.setattr(find_method(METHOD).cls, "version", "99")
        assert f"{METHOD} is version 99 here, 1 in the submission" in one_line(verify(honest))
    with monkeypatch.context() as patch:
        patch.setattr(type(learners()["vpg"]), "version", "99")
        assert "vpg is version 99 here" in one_line(verify(honest))
    with monkeypatch.context() as patch:
        patch.setattr("tlbench.execution.plan.PROTOCOL", 99)
        assert "its key differs, so tlbench, an expert's learner or the suite" in one_line(verify(honest))


@pytest.mark.usefixtures("known")
def test_a_file_for_a_method_that_was_installed(
    verify: Verify, honest: Submission, write_method: Callable[..., str]
) -> None:
    path = write_method(f'id = "{METHOD}"\ndef transform(self, knowledge, fresh, ctx):\n    return {{}}, ()\n')
    line = one_line(verify(honest, "--method-file", path))
    assert f"{METHOD} was not run from a file, but installed: leave --method-file out" in line


@pytest.mark.usefixtures("known")
def test_outcomes_of_others_are_added_by_hand(verify: Verify, honest: Submission, tmp_path: Path) -> None:
    outcome, board = tmp_path / "outcome.json", ["--board", str(tmp_path / "board")]
    verify(honest, "--no-add", "--out", str(outcome))
    add = ["leaderboard", "add", str(outcome), *board]
    assert "is reproduced" in CliRunner().invoke(app, add).stdout
    assert "nothing was changed" in CliRunner().invoke(app, add).stdout
    verify(honest, "--maintainer", "--no-add", "--out", str(outcome))
    assert "the badge `verified` is the maintainer's" in one_line(CliRunner().invoke(app, add))
    elsewhere = CliRunner().invoke(app, [*add[:3], "--board", str(tmp_path / "other")])
    assert "is the maintainer's" in one_line(elsewhere)
    outcome.write_text("{}")
    assert "outcome.json" in one_line(CliRunner().invoke(app, add))


@pytest.mark.usefixtures("known")
def test_an_outcome_of_runs_that_are_not_the_submissions_is_refused(
    verify: Verify, honest: Submission, tmp_path: Path
) -> None:
    outcome = tmp_path / "outcome.json"
    verify(honest, "--no-add", "--out", str(outcome))
    made = parse_verification(outcome.read_bytes())
    content = {name: getattr(made, name) for name in type(made).model_fields if name != "digest"}
    other = made.runs[0].model_copy(update={"key": "0" * 64})
    outcome.write_bytes(sealed(**{**content, "runs": [other, *made.runs[1:]]}).to_bytes())
    add = CliRunner().invoke(app, ["leaderboard", "add", str(outcome), "--board", str(tmp_path / "board")])
    assert "run 000000000000" in one_line(add)
    assert f"is not a run of the submission {honest.id[:12]}" in one_line(add)
    assert documents(tmp_path, honest) == ()


@pytest.mark.usefixtures("known")
def test_an_outcome_is_sent_to_a_server(verify: Verify, honest: Submission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TLBENCH_TOKEN", raising=False)
    assert "TLBENCH_TOKEN" in one_line(verify(honest, "--to", "https://example.org"))
    sent = []

    class Server:
        def send_verification(self, document: Verification) -> Sent:
            sent.append(document)
            return Sent(True, "https://example.org/outcome", None)

    monkeypatch.setattr("tlbench.cli.servers.open_client", lambda url, token_file: Server())
    result = verify(honest, "--to", "https://example.org", "--no-add")
    assert "accepted: https://example.org/outcome" in result.stdout
    assert [document.submission for document in sent] == [honest.id]


@pytest.mark.slow
class TestRunsThatAreReallyRun:
    @pytest.fixture(scope="class")
    def tiny_path(self, tiny_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The tiny suite with more seeds and without its unscored transfer task."""
        text = tiny_text.replace("seeds = 3", f"seeds = {SEEDS}").replace("2400", "800")
        path = tmp_path_factory.mktemp("tiny") / "tiny.toml"
        path.write_text(
            text[: text.index("[tasks.pendulum]")]
            + text[text.index("[transfers.self]") : text.index("[transfers.far]")]
        )
        return path

    def test_an_installed_method(self, tiny_path: Path, tmp_path: Path) -> None:
        suite = load_suite(tiny_path)
        submission = evaluated(suite, METHOD, METHOD, tmp_path / "runs")
        board = Board(tmp_path / "board")
        entry = board.add(submission.to_bytes(), {suite.id: suite}).entry
        before = sorted((tmp_path / "runs").rglob("*"))

        def call(*arguments: str) -> Result:
            common = ["--board", str(board.folder), "--suite", str(tiny_path), "--jobs", "2", "--draw", "1"]
            return CliRunner().invoke(app, ["verify", METHOD, *common, *arguments])

        result = call()
        assert result.exit_code == 0, result.output
        (made,) = board.verifications(entry)
        assert made.outcome == "identical"
        assert all(run.recorded == run.found for run in made.runs)
        result = call("--fresh-seeds")
        (made,) = (v for v in board.verifications(entry) if v.seeds == "fresh")
        assert made.test is not None
        passed = made.test.p_value > ALPHA  # honest runs fail as often as the level says
        assert result.exit_code == (0 if passed else 3), result.output
        assert (made.outcome, made.draw) == ("consistent" if passed else "different", 1)
        assert all(run.seed > 1000 and run.recorded is None for run in made.runs)
        assert not {run.key for run in made.runs} & {r.key for r in submission.records}
        assert sorted((tmp_path / "runs").rglob("*")) == before

    def test_a_method_from_its_file(self, tiny_path: Path, write_method: Callable[..., str], tmp_path: Path) -> None:
        text = tiny_path.read_text().replace(f"seeds = {SEEDS}", "seeds = 2")
        small = tmp_path / "small.toml"
        small.write_text(text[: text.index("[transfers.inversion]")])
        suite = load_suite(small)
        body = "def transform(self, knowledge, fresh, ctx):\n    return carried(knowledge.tensors, fresh), ()\n"
        path = write_method(body)
        submission = evaluated(suite, path, "plugin", tmp_path / "runs", **{"learner.learning_rate": 0.01})
        board = Board(tmp_path / "board")
        entry = board.add(submission.to_bytes(), {suite.id: suite}).entry

        def call(*arguments: str) -> Result:
            common = ["--board", str(board.folder), "--suite", str(small), "--jobs", "2", "--runs", "2"]
            return CliRunner().invoke(app, ["verify", "plugin", *common, *arguments])

        assert "plugin was run from a file: name it with --method-file" in one_line(call())
        assert "name it with --method-file" in one_line(call("--maintainer"))
        other = write_method(body + "# changed\n", name="other.py")
        assert "other.py is not the file that plugin was run from" in one_line(call("--method-file", other))
        renamed = write_method('id = "another"\n' + body, name="renamed.py")
        assert "has the method another; the submission is of plugin" in one_line(call("--method-file", renamed))
        assert board.verifications(entry) == ()
        result = call("--method-file", path, "--maintainer")
        assert result.exit_code == 0, result.output
        (made,) = board.verifications(entry)
        assert (made.outcome, made.kind) == ("identical", "verified")
        assert made.method_file == submission.metadata.configurations[0].method["code"]
