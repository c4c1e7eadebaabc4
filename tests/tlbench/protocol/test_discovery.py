"""Methods, learners and suites are found where they lie; what can't be found is told with the closest names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tlbench.protocol import discovery
from tlbench.protocol.discovery import aliases, find_method, find_suite, learners, methods, newer_version, suites
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec


def complaint(name: str) -> str:
    with pytest.raises(TlbenchError) as caught:
        find_method(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_of_the_first_methods_are_found_for_every_learner() -> None:
    for learner in ("vpg", "ppo"):
        for name in ("scratch", "finetune", "finetune-reset-head", "zero-shot", "spam", "spam-linear"):
            assert methods()[f"{name}-{learner}"].learner == learner
    assert methods()["random"].learner is None
    assert {"vpg", "ppo"} <= set(learners())


@pytest.mark.parametrize("name", list(methods()))
def test_every_method_can_be_built_and_says_what_it_does(name: str) -> None:
    entry = methods()[name]
    method = entry.cls(entry.cls.Config.model_validate(dict(entry.preset)))
    assert method.config is not None
    assert entry.summary.endswith(".")
    assert entry.learner is None or entry.learner in learners()
    assert not inspect.isabstract(entry.cls)


def test_aliases_and_versions() -> None:
    assert aliases()["spam"] == "spam-vpg"
    assert find_method("spam") == methods()["spam-vpg"]
    assert find_suite("classic") is suites()["classic-v1"]
    assert find_suite("classic-v1") is suites()["classic-v1"]


def test_a_bare_name_is_the_newest_version(tiny: SuiteSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [tiny.model_copy(update={"version": v}) for v in (2, 10, 9)]
    monkeypatch.setattr(discovery, "suites", lambda: {s.id: s for s in versions})
    assert find_suite("tiny").version == 10
    assert find_suite("tiny-v9").version == 9
    assert [newer_version(suite) for suite in versions] == [versions[1], None, versions[1]]
    assert newer_version(tiny.model_copy(update={"name": "own"})) is None


@pytest.mark.parametrize(
    ("name", "hint"), [("spma", "spam"), ("finetune-vgp", "finetune-vpg"), ("scratch", "scratch-vpg")]
)
def test_an_unknown_method_suggests_the_closest(name: str, hint: str) -> None:
    message = complaint(name)
    assert message.startswith(f"unknown method {name!r}; did you mean ")
    assert hint in message
    assert "--method path/to/file.py" in message


def test_an_unknown_name_that_is_close_to_nothing_lists_all() -> None:
    assert "known:" in complaint("???")
    with pytest.raises(TlbenchError, match=r"unknown suite 'clasic'; did you mean .*classic"):
        find_suite("clasic")


def test_a_method_in_a_file(write_method: Callable[..., str]) -> None:
    path = write_method("")
    entry = find_method(path)
    assert (entry.id, entry.learner) == ("plugin", "vpg")
    assert entry.code is not None
    assert find_method(f"{path}:Plugin") == entry
    assert find_method(write_method("x = 1")).code != entry.code  # edited: another method


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "has no method"),
        ("import nosuchmodule", "ModuleNotFoundError"),
        ("def f(:", "SyntaxError"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("raise ValueError('two\\nlines')", "ValueError: two"),
        (
            "import tlbench\nclass A(tlbench.StartingPointMethod):\n    id = 'a'\n"
            "class B(tlbench.StartingPointMethod):\n    id = 'b'\n",
            "2 method classes",
        ),
        ("import tlbench\nclass A(tlbench.StartingPointMethod):\n    pass\n", "no method"),
        ("import tlbench\nclass A(tlbench.StartingPointMethod):\n    id = 'a-{learner}'\n", "several methods"),
        ("import tlbench\nclass A(tlbench.Method):\n    id = 'a'\n", "no method"),
    ],
)
def test_a_file_without_a_method_is_one_line(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "method.py"
    path.write_text(text)
    message = complaint(str(path))
    assert part in message
    assert str(path) in message


def test_a_missing_file_or_class_is_one_line(tmp_path: Path, write_method: Callable[..., str]) -> None:
    assert "can't read the method file" in complaint(str(tmp_path / "absent.py"))
    assert "it has: Plugin" in complaint(write_method("") + ":Plugim")


def test_a_broken_entry_point_takes_nothing_down(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "nosuchmodule:Thing", "tlbench.methods")
    other = EntryPoint("other", "math:pi", "tlbench.methods")
    monkeypatch.setattr(discovery, "entry_points", lambda group: [broken, other] if group == "tlbench.methods" else [])
    discovery._methods.cache_clear()
    try:
        with pytest.warns(UserWarning, match="can't be loaded|is no Method class"):
            assert "spam-vpg" in methods()
    finally:
        discovery._methods.cache_clear()


def test_an_entry_point_adds_a_method(monkeypatch: pytest.MonkeyPatch, write_method: Callable[..., str]) -> None:
    module = find_method(write_method("id = 'from-an-entry-point'")).cls.__module__
    point = EntryPoint("mine", f"{module}:Plugin", "tlbench.methods")
    monkeypatch.setattr(discovery, "entry_points", lambda group: [point] if group == "tlbench.methods" else [])
    discovery._methods.cache_clear()
    try:
        assert find_method("from-an-entry-point").learner == "vpg"
    finally:
        discovery._methods.cache_clear()
