"""The guide's code blocks are run as a reader would run them."""

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import tlbench
from tlbench.cli.commands.check import lines
from tlbench.cli.conformance import check_method, small_form
from tlbench.execution.conformance import Check
from tlbench.protocol.discovery import find_suite

GUIDE = Path(__file__).parents[2] / "docs" / "write-a-method.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
FILES = {
    text.partition("\n")[0].removeprefix("# "): text
    for language, text in BLOCKS
    if language == "python" and text.startswith("# ")
}
TASKS = ("cartpole-self", "inverted-pendulum-to-cartpole")


@pytest.fixture(params=sorted(FILES))
def method_file(request, tmp_path):
    path = tmp_path / request.param
    path.write_text(FILES[request.param], encoding="utf-8")
    return str(path)


def test_the_guide_has_its_two_methods_and_every_python_block_is_run():
    assert set(FILES) == {"shrink_and_perturb.py", "hill_climbing.py"}
    assert len(FILES) == sum(language == "python" for language, _ in BLOCKS)


def test_the_methods_pass_the_check(method_file):
    report = check_method(method_file, find_suite("classic"), jobs=2, budget=2000)
    assert report.ok, lines(report)
    assert len(report.transfers) >= 4


def test_the_methods_can_be_evaluated(method_file, tmp_path):
    suite = small_form(find_suite("classic"), TASKS, 2000).model_copy(update={"smoothing_window": 1})
    result = tlbench.evaluate(method=method_file, suite=suite, out=tmp_path / "runs", jobs=2, progress=False)
    assert not result.outcome.failed
    assert len(result.to_frame()) == len(TASKS)
    own = [record for record in result.records() if record.method and record.method.code and record.knowledge_key]
    assert len(own) == len(TASKS)
    assert all(record.sources for record in own)


def test_the_settings_of_the_guide_are_the_methods(tmp_path):
    path = tmp_path / "shrink_and_perturb.py"
    path.write_text(FILES["shrink_and_perturb.py"], encoding="utf-8")
    suite = find_suite("classic")
    report = check_method(str(path), suite, tasks=["cartpole-self"], settings={"shrink": 0.4}, budget=1000)
    assert report.ok, lines(report)


def test_the_table_of_checks_is_complete():
    rows = re.findall(r"^\| (.+?) \|", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    rows = [row for row in rows if not row.startswith("-")]
    assert len(rows) == len(Check)
    for row, check in zip(rows, Check, strict=True):
        assert row.split()[:3] == str(check).split()[:3]


def test_the_entry_point_groups_are_the_ones_that_are_read():
    (text,) = (text for language, text in BLOCKS if language == "toml")
    groups = tomllib.loads(text)["project"]["entry-points"]
    source = (Path(tlbench.__file__).parent / "protocol" / "discovery.py").read_text(encoding="utf-8")
    assert set(groups) == set(re.findall(r'"(tlbench\.(?:methods|learners|suites))"', source))
    assert entry_points(group="tlbench.methods") is not None


def test_every_option_in_the_guide_exists():
    from typer.main import get_command

    from tlbench.cli.app import app

    known = {option for command in get_command(app).commands.values() for p in command.params for option in p.opts}
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", GUIDE.read_text(encoding="utf-8")))
    assert used <= known, used - known
