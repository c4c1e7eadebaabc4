import json
import shutil

import pytest
from typer.testing import CliRunner

import tlbench
from tlbench.analysis.figures import collect
from tlbench.analysis.page.facts import method_facts
from tlbench.cli.app import app
from tlbench.execution.store import find_stores


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for method in ("finetune-vpg", "zero-shot-vpg"):
        tlbench.evaluate(method, tiny, out=folder, seeds="0,1", tasks="self,inversion", jobs=1, progress=False)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_a_report_is_written_and_the_tables_stay(runs, tmp_path):
    plain, result = run(runs), run(runs, "--out", tmp_path / "report")
    assert result.exit_code == 0, result.output
    assert "wrote" in result.stderr
    assert "per transfer task" in result.stdout
    assert plain.stdout.splitlines()[-1] in result.stdout
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    for text in ("finetune-vpg", "zero-shot-vpg", "scratch-vpg", "inversion", "2 of 3 seeds", tlbench.__version__):
        assert text in page
    assert str(runs) not in page
    assert str(tmp_path) not in page


def test_two_reports_of_the_same_runs_are_equal(runs, tmp_path):
    for name in ("a", "b"):
        assert run(runs, "--out", tmp_path / name, "--methods", "finetune-vpg").exit_code == 0
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) > 15
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_methods_are_shown_in_the_order_asked_for(runs, tmp_path):
    result = run(runs, "--out", tmp_path, "--methods", "zero-shot-vpg, finetune-vpg", "--format", "json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert list(dict.fromkeys(row["method"] for row in rows)) == ["zero-shot-vpg", "finetune-vpg"]


def test_methods_that_are_not_there_are_named(runs, tmp_path):
    result = run(runs, "--out", tmp_path / "report", "--methods", "spam")
    assert result.exit_code == 1
    assert "holds no runs of 'spam-vpg'; it holds: finetune-vpg, scratch-vpg, zero-shot-vpg" in result.stderr
    assert not (tmp_path / "report").exists()


@pytest.fixture(scope="module")
def rates(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    for rate in (0.01, 0.001):
        settings = {"learner.learning_rate": rate}
        tlbench.evaluate(
            "finetune-vpg", tiny, out=folder, seeds="0,1", tasks="self", jobs=1, settings=settings, progress=False
        )
    return folder


def test_results_are_grouped_by_a_setting(rates, tmp_path):
    result = run(rates, "--by", "learner.learning_rate", "--out", tmp_path, "--methods", "finetune-vpg")
    assert result.exit_code == 0, result.output
    table = result.stdout[result.stdout.index("by learner.learning_rate") :]
    rows = [line.split() for line in table.splitlines() if "finetune-vpg" in line]
    assert [row[:3] for row in rows] == [["finetune-vpg", "self", "0.001"], ["finetune-vpg", "self", "0.01"]]
    assert (tmp_path / "figures" / "score_by_setting.pdf").exists()
    assert "Results by learner.learning_rate" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_formats_hold_the_groups(rates):
    arguments = (rates, "--by", "learner.learning_rate", "--format")
    assert run(*arguments, "csv").stdout.startswith("method,task,relation,scored,value,")
    assert {row["value"] for row in json.loads(run(*arguments, "json").stdout)} >= {0.001, 0.01}
    markdown = run(*arguments, "markdown").stdout
    assert "| method | transfer task | learner.learning_rate |" in markdown
    assert r"learner.learning\_rate" in run(*arguments, "latex").stdout


def test_a_setting_that_no_run_has_is_one_line(rates, tmp_path):
    result = run(rates, "--by", "learner.rate", "--out", tmp_path / "report")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: no run on tiny-v1 has a setting 'learner.rate'; settings that differ there: learner.learning_rate\n"
    )
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_written_is_one_line(runs, tmp_path):
    (tmp_path / "file").write_text("")
    result = run(runs, "--out", tmp_path / "file")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: can't write the report to")
    assert len(result.stderr.splitlines()) == 1


def test_several_suites_get_a_folder_each(runs, tiny, tmp_path):
    tlbench.evaluate("random", tiny, out=tmp_path / "runs", seeds="0", tasks="far", jobs=1, progress=False)
    tlbench.evaluate("random", tiny, out=tmp_path / "runs", quick=True, jobs=1, progress=False)
    result = run(tmp_path / "runs", "--out", tmp_path / "report")
    assert result.exit_code == 0, result.output
    assert sorted(p.parent.name for p in (tmp_path / "report").glob("*/index.html")) == ["tiny-v1", "tiny-v1-quick"]
    page = (tmp_path / "report" / "tiny-v1-quick" / "index.html").read_text(encoding="utf-8")
    assert "quick form: a picture, not a result" in page


@pytest.fixture
def two_suites(runs, tiny, tmp_path):
    """A folder with finished runs on one suite, and on another with runs whose controls are missing."""
    shutil.copytree(runs, tmp_path / "runs")
    tlbench.evaluate("finetune-vpg", tiny, out=tmp_path / "runs", quick=True, jobs=1, progress=False)
    for control in (tmp_path / "runs" / "tiny-v1-quick" / "records" / "scratch-vpg").glob("*.json"):
        control.unlink()
    return tmp_path / "runs"


def test_a_suite_that_has_only_begun_keeps_no_other_from_being_shown(two_suites):
    result = run(two_suites, "--format", "markdown")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("## tiny-v1\n\n|")
    assert "note: there is no finished run with its control on tiny-v1-quick yet" in result.stderr
    assert run(two_suites, "--suite", "tiny-v1-quick").exit_code == 1
    wanted = run(two_suites, "--methods", "zero-shot-vpg")
    assert wanted.exit_code == 0, wanted.output
    assert "holds no runs of 'zero-shot-vpg'" in wanted.stderr


@pytest.mark.parametrize("output", ["csv", "json"])
def test_one_document_holds_one_suite(two_suites, output):
    result = run(two_suites, "--format", output)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "name it with --suite (tiny-v1, tiny-v1-quick)" in result.stderr
    assert run(two_suites, "--format", output, "--suite", "tiny-v1").exit_code == 0


@pytest.mark.parametrize("output", ["markdown", "latex", "csv", "json"])
def test_notes_stand_beside_every_format(runs, output):
    result = run(runs, "--format", output)
    assert "note: finetune-vpg: not run: " in result.stderr
    assert "note: " not in result.stdout


def test_controls_and_facts_come_from_the_records(runs):
    (store,) = find_stores(runs)
    records = list(store.records())
    data = collect(store.suite, records)
    assert data.methods == ("finetune-vpg", "zero-shot-vpg", "scratch-vpg")
    assert set(data.controls.values()) == {"scratch-vpg"}
    assert [m for m in data.methods if data.is_reference(m)] == ["scratch-vpg"]
    facts = method_facts(records, data.methods)
    assert [f.label for f in facts] == list(data.methods)
    assert facts[0].seed_text == "0 to 1"
    assert facts[0].runs == 4
    assert facts[0].target.endswith("env steps")
    assert list(facts[0].expert) == ["cartpole"]


def test_a_method_that_is_its_own_control_is_no_reference(runs):
    (store,) = find_stores(runs)
    records = [r for r in store.records() if r.method.id in ("finetune-vpg", "scratch-vpg")]
    method = next(r for r in records if r.method.id == "finetune-vpg")
    own = {"method": method.method, "config_hash": method.config_hash}
    records = [r.model_copy(update=own) if r.method.id == "scratch-vpg" else r for r in records]
    data = collect(store.suite, records)
    assert data.controls == {"finetune-vpg": "finetune-vpg without knowledge"}
    assert data.arms == ("finetune-vpg without knowledge", "finetune-vpg")


def test_of_two_published_versions_the_newer_is_shown(tmp_path):
    result = run(tmp_path, "--published", "--suite", "point-goal-v2", "--methods", "maml", "--format", "json")
    assert result.exit_code == 0, result.output
    assert {row["method"] for row in json.loads(result.stdout)} == {"maml"}
    assert "not shown, as there is a newer version: maml 1 (" in result.stderr


def test_a_file_is_no_folder_of_results(tmp_path):
    (tmp_path / "file").write_text("")
    result = run(tmp_path / "file")
    assert result.exit_code == 1
    assert "holds no results" in result.stderr
