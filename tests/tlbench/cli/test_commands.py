"""The command line: what it shows, what it refuses and how, what it leaves alone."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import tlbench
from tlbench.cli import main
from tlbench.protocol.discovery import methods, suites
from tlbench.protocol.specs import SuiteSpec

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Runs ``tlbench`` in a folder of its own: exit status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def start(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tlbench", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:  # noqa: PT012
            main()
            raise SystemExit(0)
        sys.stdout.flush()
        out, err = capfd.readouterr()
        code = caught.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), out, err

    return start


@pytest.fixture(scope="session")
def finished(tiny: SuiteSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two methods with all seeds of the tiny suite's transfer task ``self``."""
    root = tmp_path_factory.mktemp("finished")
    for method in ("finetune-vpg", "random"):
        tlbench.evaluate(method, tiny, out=root, tasks="self", jobs=2, progress=False)
    return root


def one_line(result: tuple[int, str, str]) -> str:
    code, out, err = result
    assert code != 0
    assert out == ""
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    return lines[0]


def files(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_version(call: Call) -> None:
    assert call("--version") == (0, version("tlbench") + "\n", "")
    assert tlbench.__version__ == version("tlbench")


def test_help_names_every_command(call: Call) -> None:
    _, out, err = call("--help")
    for command in ("evaluate", "report", "suites", "methods", "check"):
        assert command in out + err


def test_methods_of_one_learner(call: Call) -> None:
    code, out, _ = call("methods", "--learner", "vpg")
    assert code == 0
    assert "spam-vpg" in out
    assert "-ppo" not in out
    code, out, err = call("methods", "--learner", "nothing")
    assert (code, out) == (1, "")
    assert "unknown learner 'nothing'" in err


@pytest.mark.parametrize("suite", suites())
def test_every_suite_is_shown_with_a_time(call: Call, suite: str) -> None:
    code, out, _ = call("suites", suite)
    assert code == 0
    assert suites()[suite].digest in out
    assert f"with {suites()[suite].seeds} seeds on" in out


def test_a_suite_whose_extra_is_missing_is_shown_and_left_out_of_the_methods(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, out, err = call("suites", "atari")
    assert code == 1
    assert suites()["atari-v1"].digest in out
    assert "pip install 'tlbench[atari]'" in err
    code, out, _ = call("methods", "--learner", "dqn")
    assert code == 0
    assert "left out: atari-v1: task breakout: " in out
    assert "atari-v1, " not in out
    assert "classic-v1" in out


def test_an_old_version_of_a_suite_is_called_that(call: Call, tmp_path: Path) -> None:
    _, out, _ = call("suites")
    assert out.count("(corrected by point-goal-v2)") == 1
    for command in (("suites", "{}"), ("leaderboard", "show", "--board", str(tmp_path), "--suite", "{}")):
        for asked, noted in (("point-goal-v1", True), ("point-goal-v2", False)):
            _, out, _ = call(*(word.format(asked) for word in command))
            assert ("note: point-goal-v2 corrects this version" in out) == noted


def test_suites_and_methods_list_what_is_found(call: Call) -> None:
    code, out, _ = call("suites")
    assert code == 0
    assert all(name in out and suite.digest[:12] in out for name, suite in suites().items())
    code, out, _ = call("methods")
    assert code == 0
    assert all(name in out for name in methods())
    assert "goes on training (reset_head=true)." in out


def test_a_suite_is_shown_with_tasks_budgets_digest_and_time(call: Call, tiny_file: str, tiny: SuiteSpec) -> None:
    code, out, _ = call("suites", tiny_file, "--method", "finetune-vpg")
    assert code == 0
    assert tiny.digest in out
    assert all(name in out for name in tiny.transfers)
    assert "2,400" in out
    assert "5 x 3" in out
    assert "about" in out


def test_a_suite_shows_how_alike_source_and_target_are(call: Call, tiny_file: str, tiny: SuiteSpec) -> None:
    assert "similarity" not in call("suites", tiny_file, "--method", "finetune-vpg")[1]
    text = Path(tiny_file).read_text()
    head = "[transfers.self]\n"
    stated = 'similarity = { action_overlap = 0.75, game_objective = "the same" }\n'
    Path(tiny_file).write_text(text.replace(head, head + stated))
    code, out, _ = call("suites", tiny_file, "--method", "finetune-vpg")
    assert code == 0
    assert all(part in out for part in ("action overlap", "0.75", "game objective", "the same"))
    assert tiny.digest not in out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--method", "spma"], ["unknown method 'spma'", "did you mean spam"]),
        (["--method", "spam", "--suite", "clasic"], ["unknown suite 'clasic'", "classic"]),
        (["--method", "spam", "--suite", "absent.toml"], ["can't read the suite absent.toml"]),
        (["--method", "absent.py"], ["can't read the method file absent.py"]),
        (["--method", "spam", "--seeds", "0-99"], ["--seeds"]),
        (["--method", "spam", "--seeds", "x"], ["--seeds takes numbers and ranges such as 0,3,5-7, not 'x'"]),
        (["--method", "spam", "--tasks", "cartpole-slef"], ["no transfer task 'cartpole-slef'", "cartpole-self"]),
        (["--method", "spam", "--set", "steps"], ["--set takes key=value"]),
        (["--method", "spam", "--set", "stepz=1"], ["stepz", "it has: layers"]),
        (["--method", "spam", "--set", "steps=x"], ["steps"]),
        (["--method", "spam", "--set", "steps=1", "--set", "steps=2"], ["given twice"]),
        (["--method", "spam", "--set", "learner.lr=1"], ["settings of vpg: lr"]),
        (["--method", "spam", "--jobs", "0"], ["--jobs must be at least 1"]),
        (["--method", "spam", "--jobs", "-2"], ["--jobs must be at least 1"]),
        (["--method", "spam", "--device", "cuda:99"], ["no torch device 'cuda:99'", "--device cpu"]),
        (["--method", "spam", "--device", "gpu"], ["no torch device 'gpu'"]),
        (["--method", "spam", "--out", "file"], ["can't write"]),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    call: Call, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    before = files(tmp_path)
    line = one_line(call("evaluate", *arguments))
    assert line.startswith("error: ")
    for part in parts:
        assert part in line
    assert files(tmp_path) == before


def test_a_dry_run_says_what_would_run_and_writes_nothing(call: Call, tmp_path: Path, tiny_file: str) -> None:
    before = files(tmp_path)
    arguments = ("evaluate", "--method", "spam", "--suite", tiny_file, "--dry-run", "--jobs", "2")
    code, out, _ = call(*arguments)
    assert code == 0
    assert files(tmp_path) == before
    words = [line.split() for line in out.splitlines()]
    assert words[:4] == [
        ["experts", "3", "to", "do,", "0", "cached", "or", "not", "needed"],
        ["knowledge", "3", "to", "do,", "0", "cached", "or", "not", "needed"],
        ["controls", "9", "to", "do,", "0", "cached", "or", "not", "needed"],
        ["runs", "9", "to", "do,", "0", "cached", "or", "not", "needed"],
    ]
    assert "expert vpg on cartpole, seed 0" in out
    assert "with 2 processes" in out


def test_a_dry_run_leaves_damage_and_other_digests_alone(
    call: Call, finished: Path, tmp_path: Path, tiny_file: str, tiny_text: str
) -> None:
    import shutil

    shutil.copytree(finished, tmp_path / "runs")
    [record, *_] = sorted((tmp_path / "runs").rglob("records/finetune-vpg/*.json"))
    record.write_text("{")
    before = files(tmp_path)
    code, out, _ = call("evaluate", "--method", "finetune-vpg", "--suite", tiny_file, "--tasks", "self", "--dry-run")
    assert code == 0
    assert "1 to do,    2 cached" in out
    other = tmp_path / "other.toml"
    other.write_text(tiny_text.replace("threshold = 475.0", "threshold = 470.0"))
    line = one_line(call("evaluate", "--method", "finetune-vpg", "--suite", str(other), "--dry-run"))
    assert "was made with another tiny-v1" in line
    other.unlink()
    assert files(tmp_path) == before


def test_an_evaluation_shows_tables_and_says_that_it_is_incomplete(call: Call, tiny_file: str, tmp_path: Path) -> None:
    arguments = ("evaluate", "--method", "finetune-vpg", "--suite", tiny_file, "--seeds", "0-1", "--tasks", "self")
    code, out, err = call(*arguments)
    assert code == 0, err
    assert "tiny-v1, per transfer task" in out
    assert "incomplete" in out
    assert "Traceback" not in err
    assert "\r" not in err  # plain lines where there is no terminal
    assert "8 of 8 done" in err
    assert list((tmp_path / "runs" / "tiny-v1" / "records" / "finetune-vpg").iterdir())
    code, again, err = call(*arguments)
    assert (code, again) == (0, out)
    assert "done" not in err


def test_a_plugins_failure_is_told_at_the_end_and_the_others_are_shown(
    call: Call, tiny_file: str, write_method: Callable[..., str], tmp_path: Path
) -> None:
    path = write_method(
        """
        def learn_target(self, target, knowledge, ctx):
            if not os.path.exists(__file__ + ".once"):
                open(__file__ + ".once", "w").close()
                raise ValueError("something")
            learn_from_scratch(target, ctx)
        """
    )
    code, out, err = call(
        "evaluate", "--method", path, "--suite", tiny_file, "--seeds", "0-1", "--tasks", "self", "--jobs", "1"
    )
    assert code == 1
    assert "tiny-v1, per transfer task" in out
    assert "Traceback" not in out + err
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: 1 failed; tracebacks are in ")
    assert "the same command runs the rest" in last
    assert "failed: plugin on self, seed 0: ValueError: something" in err
    log = (tmp_path / "runs" / "tiny-v1" / "failures.log").read_text()
    assert "Traceback" in log
    assert "ValueError: something" in log


@pytest.mark.parametrize("format_", ["terminal", "markdown", "latex", "csv", "json"])
def test_report_in_every_format(call: Call, finished: Path, format_: str) -> None:
    code, out, err = call("report", str(finished), "--format", format_)
    assert code == 0
    assert ("note: random: not run: inversion, far" in err) == (format_ != "terminal")
    for name in ("finetune-vpg", "random"):
        assert name in out
    if format_ == "json":
        assert json.loads(out)
    elif format_ == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert len(rows) >= 2
    elif format_ == "latex":
        assert "\\begin{" in out
    elif format_ == "markdown":
        assert "|---" in out or "| ---" in out or "|:--" in out


def test_report_of_some_methods(call: Call, finished: Path) -> None:
    code, out, _ = call("report", str(finished / "tiny-v1"), "--methods", "random", "--format", "csv")
    assert code == 0
    assert "finetune-vpg" not in out
    line = one_line(call("report", str(finished), "--methods", "spam"))
    assert "holds no runs of 'spam-vpg'; it holds: finetune-vpg, random, scratch-vpg" in line


def test_report_of_nothing(call: Call, tmp_path: Path) -> None:
    assert "holds no results: run `tlbench evaluate` first" in one_line(call("report"))
    assert "holds no results" in one_line(call("report", str(tmp_path)))


def test_report_of_another_suite_or_of_damage(call: Call, finished: Path, tmp_path: Path) -> None:
    import shutil

    assert "holds no results of classic-v1" in one_line(call("report", str(finished), "--suite", "classic-v1"))
    shutil.copytree(finished, tmp_path / "copy")
    [record, *_] = sorted((tmp_path / "copy").rglob("records/random/*.json"))
    record.write_text(record.read_text()[:50])
    line = one_line(call("report", str(tmp_path / "copy")))
    assert str(record) in line
    assert "the same `tlbench evaluate`" in line


def test_python_does_the_same_as_the_command_line(finished: Path, tiny: SuiteSpec) -> None:
    evaluation = tlbench.evaluate(method="finetune-vpg", suite=tiny, out=finished, tasks=["self"], progress=False)
    assert evaluation.outcome.done == 0
    frame = evaluation.to_frame()
    assert len(frame) == 1
    assert len(evaluation.suite_frame()) == 1
    with pytest.raises(tlbench.TlbenchError, match="unknown method"):
        tlbench.evaluate(method="spma", suite=tiny, out=finished)


def test_a_closed_pipe_is_quiet(finished: Path) -> None:
    command = [sys.executable, "-c", "from tlbench.cli import main; main()", "report", str(finished)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    os.close(write)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["evaluate", "report", "suites", "methods", "check"])
def test_every_command_has_help(call: Call, command: str) -> None:
    result: Any = call(command, "--help")
    assert result[0] == 0
