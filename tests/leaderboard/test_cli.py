from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.leaderboard.conftest import SELF, SMALL, records_of, small_suite
from tlbench.cli.app import app
from tlbench.execution.store import Store
from tlbench.leaderboard import submission as submissions
from tlbench.protocol.records import to_json
from tlbench.protocol.specs import SuiteSpec

SUITE = small_suite()
ABOUT = ["--name", "SPAM <1>", "--contact", "someone@example.org"]

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs a command in a folder with a suite file and results of several methods."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL.format(seeds=8) + SELF)
    fill(SUITE, "spam-vpg", "scratch-vpg", "random")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


def fill(suite: SuiteSpec, *methods: str) -> None:
    store = Store(Path("runs"), suite)
    store.open()
    for method in methods:
        runs, experts = records_of(suite, method)
        for record in runs:
            store.write_record(record.key, record)
        for expert in experts:
            path = store.folder / "experts" / f"{expert.key}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(to_json(expert))


def submit(call: Call, *more: str, method: str = "spam") -> Result:
    return call("submit", "runs", "--method", method, *ABOUT, "--suite", "small.toml", *more)


def told(result: Result, code: int = 1) -> str:
    """The error that a user sees: one line."""
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_submit_show_cite(call: Call) -> None:
    assert re.search(
        r"added SPAM <1> \(spam-vpg 1\) on small-v1 as [0-9a-f]{12} to board", submit(call, "--board", "board").stdout
    )
    assert "nothing was changed" in submit(call, "--board", "board").stdout
    assert submit(call, "--board", "board", method="scratch-vpg").exit_code == 0
    shown = call("leaderboard", "show", "--suite", "small.toml", "--board", "board")
    assert shown.exit_code == 0, shown.output
    assert "learner vpg, fixed, standard sources, no external knowledge" in shown.stdout
    assert re.search(r"1 \[1, 1\] +SPAM <1> +spam-vpg 1 +6\d\.\d \[", shown.stdout)
    assert "from scratch" in shown.stdout
    snapshot = re.search(r"snapshot ([0-9a-f]{64})", shown.stdout)
    assert snapshot
    cited = call("cite", "spam", "--suite", "small.toml", "--board", "board")
    assert cited.exit_code == 0, cited.output
    line = cited.stdout.partition("\n")[0]
    assert re.fullmatch(
        r"SPAM <1> on small-v1: score 6\d\.\d \[.*\], transfer gain \+\d\d\.\d \[.*\], negative transfer on 0 of 1 "
        rf"testable tasks \(8 seeds\); tlbench [\d.]+, snapshot {snapshot[1][:12]}",
        line,
    )
    assert "@misc{tlbench-spam-vpg-1-small-v1-" in cited.stdout
    assert r"SPAM \textless{}1\textgreater{}" in cited.stdout
    apa = call("cite", "spam-vpg@1", "--suite", "small.toml", "--board", "board", "--apa")
    assert "[Leaderboard submission " in apa.stdout
    earlier = call("leaderboard", "show", "--suite", "small.toml", "--board", "board", "--snapshot", "ffff")
    assert "no snapshot begins" in told(earlier)


def test_a_dry_run_shows_everything_and_writes_nothing(call: Call, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    shown = submit(call, "--dry-run", "--url", "https://example.org", "--external-knowledge", "a pretrained encoder")
    assert shown.exit_code == 0, shown.output
    assert '"external_knowledge": "a pretrained encoder"' in shown.stdout
    assert "records.parquet: 40 records" in shown.stdout
    assert "spam-vpg on negated, seed 7: 3 points x 2 episodes" in shown.stdout
    assert "packages: tlbench 0.1.0" in shown.stdout
    assert "nothing was sent" in shown.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bundle_in_a_file(call: Call) -> None:
    first = submit(call, "--out", "bundle.zip")
    assert "wrote bundle.zip" in first.stdout
    assert not Path("leaderboard-data").exists()
    data = Path("bundle.zip").read_bytes()
    assert submissions.read(data).metadata.name == "SPAM <1>"
    assert "added SPAM <1>" in call("leaderboard", "add", "bundle.zip", "--suite", "small.toml").stdout
    assert len(list(Path("leaderboard-data/submissions").iterdir())) == 1
    Path("bad.zip").write_bytes(data[:-5])
    assert "bad.zip: the bundle is not a sound zip" in told(call("leaderboard", "add", "bad.zip"))
    assert "'small-v1' is not known here" in told(call("leaderboard", "add", "bundle.zip"))


def test_what_is_refused(call: Call) -> None:
    assert "no runs of 'finetune-vpg' here" in told(submit(call, method="finetune-vpg"))
    result = call("submit", "runs", "--method", "spam", *ABOUT)
    assert "a suite of your own: --suite FILE.toml" in told(result)
    record = next(p for p in Path("runs/small-v1/records").glob("*.json") if "spam-vpg" in p.read_text())
    text = record.read_text()
    record.write_text(text.replace('"count": 500', '"count": 501'))
    assert "changed after it was written: its checksum is wrong" in told(submit(call))
    record.unlink()
    assert "incomplete: 1 of 16 runs" in told(submit(call))
    Path("small.toml").write_text(SMALL.format(seeds=7) + SELF)
    assert "made with another small-v1" in told(submit(call))
    assert "holds no results" in told(call("submit", "nothing", "--method", "spam", *ABOUT))


def test_a_files_runs_are_those_of_the_file_as_it_is(call: Call, write_method: Callable[..., str]) -> None:
    path = write_method('learners = ("vpg",)')
    code = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    runs, _ = records_of(SUITE, "spam-vpg")
    store = Store(Path("runs"), SUITE)
    for number, record in enumerate(runs):
        if record.method is not None and record.method.id == "spam-vpg":
            mine = record.method.model_copy(update={"id": "plugin", "code": code})
            store.write_record(f"plugin/{number}", record.model_copy(update={"method": mine, "key": f"{number:064x}"}))
    assert "was changed since" not in submit(call, "--dry-run", method=path).stderr
    Path(path).write_text(Path(path).read_text() + "\n# better now\n")
    assert "plugin.py was changed since these runs of plugin: run `tlbench evaluate` again" in told(
        submit(call, "--dry-run", method=path)
    )


def test_quick_results(call: Call) -> None:
    Store(Path("quick"), SUITE.quick_form()).open()
    assert "quick records" in told(call("submit", "quick", "--method", "spam", *ABOUT))


def test_an_empty_board(call: Call) -> None:
    shown = call("leaderboard", "show", "--suite", "small.toml", "--board", "nowhere")
    assert "no submissions on small-v1 yet" in shown.stdout
    assert not Path("nowhere").exists()
    assert "there is no submission 'spam-vpg'; there are: " in told(call("cite", "spam", "--board", "nowhere"))
    assert "@software{tlbench," in call("cite").stdout
    assert "@misc{tlbench-small-v1," in call("cite", "small.toml").stdout
    assert "names a leaderboard's folder" in told(call("leaderboard", "show", "--board", "small.toml"))


def test_the_command_line_starts_without_heavy_imports() -> None:
    heavy = "('torch', 'pandas', 'pyarrow', 'scipy', 'numpy', 'stable_baselines3')"
    code = f"import sys, tlbench.cli.app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_reading_and_ranking_need_no_torch() -> None:
    code = "import sys, tlbench.leaderboard.ranking; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
