"""Results by a setting: which run had which value, their order, and the figure."""

from types import SimpleNamespace

import pytest

from tlbench.analysis.bootstrap import Interval
from tlbench.analysis.figures.drawing import paper
from tlbench.analysis.figures.setting import positions, score_by_setting
from tlbench.analysis.settings import setting_cells, setting_results, value_text
from tlbench.protocol.errors import TlbenchError

RATE = "learner.learning_rate"


def record(config_hash, method="component", learner=None, transfers=("a-to-b",), **config):
    return SimpleNamespace(
        suite="mazes-v1",
        method=SimpleNamespace(id=method, config=config),
        learner=None if learner is None else SimpleNamespace(config=learner),
        config_hash=config_hash,
        transfers=transfers,
    )


def result(label, score, task="a-to-b"):
    interval = Interval(score, score - 5, score + 5)
    return SimpleNamespace(
        method=label,
        task=task,
        relation="close",
        scored=True,
        seeds=3,
        score=interval,
        control_score=Interval(1.0, 0.0, 2.0),
        transfer_gain=interval,
    )


RECORDS = [
    record("b" * 64, learner={"learning_rate": 1e-2, "decay": None}),
    record("a" * 64, learner={"learning_rate": 1e-4, "decay": None}),
    record("c" * 64, learner={"learning_rate": 1e-3, "decay": None}),
    record("d", "random"),
]
RESULTS = [result("component#bbbbbbbb", 10), result("component#aaaaaaaa", 50), result("component#cccccccc", 60)]


def test_results_are_ordered_by_the_settings_value():
    found = setting_results(RECORDS, [*RESULTS, result("random", 0)], RATE)
    assert [(row.method, row.value, row.score.estimate) for row in found] == [
        ("component", 1e-4, 50),
        ("component", 1e-3, 60),
        ("component", 1e-2, 10),
    ]
    header, rows = setting_cells(found, RATE)
    assert header[:3] == ["method", "transfer task", RATE]
    assert rows[0] == [
        "component",
        "a-to-b",
        "0.0001",
        "50.0 [45.0, 55.0]",
        "1.0 [0.0, 2.0]",
        "+50.0 [45.0, 55.0]",
        "3",
    ]


def test_configurations_that_share_a_value_keep_their_labels():
    found = setting_results(RECORDS, RESULTS, "learner.decay")
    assert [(row.method, row.value) for row in found] == [(row.method, None) for row in RESULTS]


def test_a_methods_own_settings_need_no_prefix():
    records = [record("a", reset="permute"), record("a", "other", reset="none")]
    found = setting_results(records, [result("component", 1), result("other", 2)], "reset")
    assert [(row.method, row.value) for row in found] == [("component", "permute"), ("other", "none")]


@pytest.mark.parametrize("key", ["learning_rate", "learner.rate", "", "learner."])
def test_a_setting_that_no_run_has_is_an_error_in_one_line(key):
    with pytest.raises(TlbenchError, match=r"no run on mazes-v1 has a setting .*differ there: learner\.learning_rate$"):
        setting_results(RECORDS, RESULTS, key)


@pytest.mark.parametrize(
    ("value", "text"), [(1e-5, "1e-05"), (True, "true"), (None, "none"), (8, "8"), ("fresh", "fresh")]
)
def test_values_are_written_as_for_set(value, text):
    assert value_text(value) == text


def test_values_lie_where_they_are_if_they_are_numbers():
    def axis(*values):
        return positions([SimpleNamespace(value=value) for value in values])

    assert axis(1e-5, 1e-2) == ({"1e-05": 1e-5, "0.01": 1e-2}, True)
    assert axis(0, 100) == ({"0": 0, "100": 100}, False)
    assert axis(1, 3) == ({"1": 1, "3": 3}, False)
    assert axis(0.9, None) == ({"0.9": 0, "none": 1}, False)
    assert axis(True, False) == ({"true": 0, "false": 1}, False)


def test_the_figure_has_a_panel_per_task_and_a_line_per_method():
    rows = setting_results(
        [*RECORDS, record("e", "other", {"learning_rate": 1e-3}, ("a-to-b", "far"))],
        [*RESULTS, result("other", 30), result("other", 20, "far")],
        RATE,
    )
    drawing = score_by_setting(SimpleNamespace(by=RATE, settings=rows, tasks=("a-to-b", "far")))
    assert [panel.title for panel in drawing.panels] == ["a-to-b", "far"]
    assert "component at 0.0001: 50.0 [45.0, 55.0]" in drawing.panels[0].alt
    axes = paper(drawing).axes[0]
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert lines["component"].get_xdata().tolist() == [1e-4, 1e-3, 1e-2]
    assert lines["component"].get_ydata().tolist() == [50, 60, 10]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["component", "other"]
    assert score_by_setting(SimpleNamespace(by=None, settings=(), tasks=())) is None
