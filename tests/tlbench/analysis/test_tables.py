import csv
import io
import json
import math

import numpy as np
import pytest

from tlbench.analysis import tables
from tlbench.analysis.bootstrap import Bootstrap, Interval
from tlbench.analysis.results import TaskResult
from tlbench.analysis.summary import summarise


@pytest.fixture(scope="module")
def summary(make_curves):
    rng = np.random.default_rng(0)

    def tasks(level):
        relations = ("self", "close", "far")
        return [
            make_curves(level + rng.normal(0, 3, (10, 6)), 50 + rng.normal(0, 3, (10, 6)), task=f"t_{r}", relation=r)
            for r in relations
        ]

    lone = [make_curves([[0, 0, 0]], [[0, 0, 0]], task="t_self", relation="self")]
    return summarise({"good|1": tasks(70), "bad_2": tasks(20), "[lone]": lone}, Bootstrap(200))


@pytest.mark.parametrize(
    ("interval", "digits", "signed", "text"),
    [
        (Interval(61.23, 58.0, 64.07), 1, False, "61.2 [58.0, 64.1]"),
        (Interval(4.13, 1.2, 7.0), 1, True, "+4.1 [1.2, 7.0]"),
        (Interval(-4.13, -7.0, 1.2), 1, True, "-4.1 [-7.0, 1.2]"),
        (Interval(-0.001, -0.004, 0.0), 2, True, "0.00 [0.00, 0.00]"),
        (Interval(0.5), 2, False, "0.50"),
        (Interval(2.0, 1.0, math.inf), 1, False, "2.0 [1.0, inf]"),
        (None, 1, False, tables.NONE),
    ],
)
def test_text_of_an_interval(interval, digits, signed, text):
    assert tables.format_interval(interval, digits, signed) == text


@pytest.mark.parametrize(
    ("rank", "text"),
    [
        (Interval(2, 1, 3), "2 [1, 3]"),
        (Interval(1.5, 1.5, 1.5), "1.5 [1.5, 1.5]"),
        (Interval(10.5, 2, 11), "10.5 [2, 11]"),
        (Interval(1.0), "1"),
        (None, tables.NONE),
    ],
)
def test_a_rank_that_is_shared_keeps_its_half(rank, text):
    assert tables.format_rank(rank) == text


@pytest.mark.parametrize(("table", "rows"), [("suite", 3), ("tasks", 7)])
def test_markdown_is_a_rectangle_with_escaped_names(summary, table, rows):
    lines = tables.render(summary, "markdown", table).splitlines()
    assert len(lines) == rows + 2
    columns = {line.replace("\\|", "").count("|") for line in lines}
    assert len(columns) == 1
    assert "good\\|1" in lines[2]


def test_markdown_says_what_matters(summary):
    text = tables.render(summary, "markdown", "suite")
    assert "0 of 2 testable tasks" in text
    assert "2 of 2 testable tasks" in text
    assert "1 of 3" in text


@pytest.mark.parametrize("table", ["suite", "tasks"])
def test_latex_is_escaped_and_balanced(summary, table):
    text = tables.render(summary, "latex", table)
    lines = text.splitlines()
    assert lines[0].startswith(r"\begin{tabular}{ll")
    assert lines[-1] == r"\end{tabular}"
    body = [line for line in lines if line.endswith(r"\\")]
    assert len({line.count(" & ") for line in body}) == 1
    assert r"bad\_2" in text
    assert not any(line.startswith("[") for line in lines)
    assert "$-$" in text
    assert tables.NONE not in text


@pytest.mark.parametrize("table", ["suite", "tasks"])
def test_csv_holds_plain_numbers_and_equals_the_frame(summary, table):
    rows = list(csv.DictReader(io.StringIO(tables.render(summary, "csv", table))))
    frame = tables.suite_frame(summary) if table == "suite" else tables.task_frame(summary)
    assert list(rows[0]) == list(frame.columns)
    assert len(rows) == len(frame)
    for row, (_, other) in zip(rows, frame.iterrows(), strict=True):
        assert row["method"] == other["method"]
        assert float(row["score"]) == other["score"]
        assert (row["score_low"] == "") == bool(np.isnan(other["score_low"]))


def test_frames_have_three_columns_per_interval_and_hold_every_quantity(summary):
    frame = tables.task_frame(summary)
    intervals = [name for name, value in vars(summary.tasks[0]).items() if isinstance(value, Interval)]
    for name in intervals:
        assert {name, f"{name}_low", f"{name}_high"} <= set(frame.columns)
    assert set(TaskResult.__dataclass_fields__) <= set(frame.columns)
    suite = tables.suite_frame(summary)
    assert {"gain_transfer_gain_low", "pooled_iqm_high", "rank", "missing"} <= set(suite.columns)
    assert not {"gain", "pooled", "control_pooled", "profile"} & set(suite.columns)


def test_frames_without_any_gain_or_score(make_curves):
    lone = summarise({"m": [make_curves([[1, 1, 1]], [[1, 1, 1]], scored=False)]}, Bootstrap(10))
    frame = tables.suite_frame(lone)
    assert frame["score"].isna().all()
    assert tables.render(lone, "markdown", "suite").count("\n") == 3


def test_columns_do_not_depend_on_the_results(summary):
    empty = summarise({}, Bootstrap(10))
    assert list(tables.suite_frame(empty).columns) == list(tables.suite_frame(summary).columns)
    assert tables.render(empty, "csv", "tasks").splitlines()[0] == tables.render(summary, "csv").splitlines()[0]


@pytest.mark.parametrize("table", ["suite", "tasks"])
def test_json_is_strict_and_complete(summary, table):
    def refuse(constant):
        raise AssertionError(constant)

    rows = json.loads(tables.render(summary, "json", table), parse_constant=refuse)
    assert len(rows) == (3 if table == "suite" else 7)
    assert set(rows[0]["score"]) == {"estimate", "low", "high"}
    assert rows[-1]["score"]["low"] is None


def test_json_of_infinite_and_missing_values_is_null():
    assert tables.to_json(Interval(math.nan, -math.inf, None)) == {"estimate": None, "low": None, "high": None}
    whole = tables.to_json(summarise({}, Bootstrap(10)))
    assert whole == {"tasks": [], "suites": [], "repetitions": 10, "seed": 0, "confidence": 0.95}


@pytest.mark.parametrize("output", ["markdown", "latex", "csv", "json"])
@pytest.mark.parametrize("table", ["suite", "tasks"])
def test_empty_results_render(output, table):
    assert isinstance(tables.render(summarise({}, Bootstrap(10)), output, table), str)


def test_unknown_format_and_table_are_refused(summary):
    with pytest.raises(ValueError, match="unknown format 'xml'"):
        tables.render(summary, "xml")
    with pytest.raises(ValueError, match="unknown table 'runs'"):
        tables.render(summary, "csv", "runs")


def test_headers_and_rows_have_equal_lengths(summary):
    for table in ("suite", "tasks"):
        header, rows = tables.cells(summary, table)
        assert {len(row) for row in rows} == {len(header)}
