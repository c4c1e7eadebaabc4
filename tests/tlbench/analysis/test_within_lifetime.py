"""Rewards within a lifetime, from records to the figure."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.tlbench.analysis.test_figures import report
from tlbench.analysis.figures import draw, paper, save
from tlbench.analysis.lifetimes import within_lifetimes


def record(seed, row, method="plastic", transfers=("near",)):
    diagnostics = {} if row is None else {"within_lifetime": row}
    name = SimpleNamespace(id=method)
    return SimpleNamespace(method=name, config_hash="a", transfers=transfers, seed=seed, diagnostics=diagnostics)


def test_rows_by_method_task_and_seed():
    found = within_lifetimes([record(1, [3, 4]), record(0, [1, 2], transfers=("near", "far")), record(2, None)])
    assert {name: rows.tolist() for name, rows in found.items()} == {
        ("plastic", "near"): [[1, 2], [3, 4]],
        ("plastic", "far"): [[1, 2]],
    }


@pytest.mark.parametrize("row", ["text", [], [[1.0, 2.0]], [1.0, None], [1.0, float("nan")], {"a": 1}, [1.0, 2.0, 3.0]])
def test_what_is_no_row_is_passed_over(row):
    found = within_lifetimes([record(0, [1.0, 2.0]), record(1, row)])
    assert found["plastic", "near"].tolist() == [[1.0, 2.0]]


def test_the_figure_has_both_curves(make_curves):
    data = report(make_curves, tasks=("home", "near"))
    assert "within_lifetime" not in [drawing.name for drawing in draw(data)]
    rows = np.array([[0.1, 0.2, 0.3], [0.1, 0.3, 0.5]])
    data = replace(data, lifetimes={("method-0", "near"): rows, ("not shown", "home"): rows})
    drawing = next(drawing for drawing in draw(data) if drawing.name == "within_lifetime")
    assert [panel.note for panel in drawing.panels] == ["close", "within a lifetime"]
    assert "0.1 to 0.4" in drawing.panels[1].alt
    assert save(paper(drawing), "png").startswith(b"\x89PNG")
