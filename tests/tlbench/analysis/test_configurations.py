"""Labels of configurations, and what is told of those that share a method's id."""

from __future__ import annotations

from types import SimpleNamespace

from tlbench.analysis.configurations import configuration_notes, method_labels


def record(config_hash, rate=0.1, neurons=None, method="component", version="1", learner=True):
    return SimpleNamespace(
        method=SimpleNamespace(id=method, version=version, config={"neurons": neurons}),
        learner=SimpleNamespace(config={"rate": rate}) if learner else None,
        config_hash=config_hash,
    )


def test_one_configuration_has_the_methods_name_and_nothing_to_tell():
    records = [record("aaaaaaaaaa"), record("aaaaaaaaaa"), record("bbbbbbbbbb", 0.2, method="spam")]
    assert set(method_labels(records).values()) == {"component", "spam"}
    assert configuration_notes(records) == []


def test_what_tells_configurations_apart_is_told_and_what_they_share_is_not():
    records = [record("aaaaaaaaaa", 0.0005), record("bbbbbbbbbb", 0.001), record("cccccccccc", 0.001, neurons=4)]
    assert configuration_notes(records) == [
        "component#aaaaaaaa: learner.rate = 0.0005, neurons = None",
        "component#bbbbbbbb: learner.rate = 0.001, neurons = None",
        "component#cccccccc: learner.rate = 0.001, neurons = 4",
    ]


def test_a_suites_own_settings_on_some_tasks_are_not_told_as_a_difference():
    both = [record(name, rate) for name in ("aaaaaaaaaa", "bbbbbbbbbb") for rate in (0.1, 0.2)]
    assert configuration_notes(both) == []
    assert configuration_notes([*both, record("cccccccccc", 0.1)])[-1] == "component#cccccccc: learner.rate = 0.1"


def test_versions_are_told_apart():
    records = [record("aaaaaaaaaa", learner=False), record("bbbbbbbbbb", version="2", learner=False)]
    assert configuration_notes(records) == ["component#aaaaaaaa: version = 1", "component#bbbbbbbb: version = 2"]
