"""Losses from records, and the figure of them."""

from types import SimpleNamespace

import numpy as np
import pytest

from tlbench.analysis.figures.drawing import alone
from tlbench.analysis.figures.loss_curves import loss_curves
from tlbench.analysis.figures.style import Look
from tlbench.analysis.loss_courses import base_model_courses, loss_courses

LOSSES = {"update": [10, 20, 30], "q": [0.5, 0.2, 0.1], "reward": [0.0, 0.0, 0.0]}


def record(seed=0, expert_seed=None, losses=LOSSES, method="component", transfers=("inversion",)):
    return SimpleNamespace(
        method=SimpleNamespace(id=method),
        config_hash="a",
        transfers=transfers,
        seed=seed,
        expert_seed=expert_seed,
        diagnostics={} if losses is None else {"losses": losses},
    )


def test_courses_of_records():
    found = loss_courses([record(1, 5), record(0, 5), record(3), record(losses=None)])
    assert [(c.base_model, c.seed) for c in found] == [(None, 3), (5, 0), (5, 1)]
    assert found[0].updates.tolist() == [10, 20, 30]
    assert found[0].losses["q"].tolist() == [0.5, 0.2, 0.1]
    assert [c.task for c in loss_courses([record(transfers=("a", "b"))])] == ["a", "b"]


@pytest.mark.parametrize(
    "losses",
    [0.3, {"q": [1.0]}, {"update": [1], "q": [1.0, 2.0]}, {"update": ["x"]}, {"update": []}, {"update": [1], "q": {}}],
    ids=str,
)
def test_other_diagnostics_of_that_name_are_passed_over(losses):
    assert loss_courses([record(losses=losses)]) == ()


def test_a_panel_per_loss_and_a_line_per_run():
    records = [record(0), record(1, losses={**LOSSES, "q": [0.5, None, 0.3]}), record(0, method="other")]
    styles = {"component": Look("component", "#0072b2", "-", "o", "method-0", 4.0)}
    data = SimpleNamespace(
        losses=loss_courses(records), base_model_losses=(), tasks=("inversion",), methods=("component",)
    )
    drawing = loss_curves(data, styles)
    (panel,) = drawing.panels  # the reward's is always 0
    assert (panel.title, panel.note) == ("q", "inversion")
    assert "component 0.2" in panel.alt
    axes = alone(panel).axes[0]
    assert [line.get_gid() for line in axes.lines] == ["method-0"] * 2
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [0.5, np.nan, 0.3])


def test_base_models_that_runs_name_have_panels_of_their_own():
    def expert(key, seed):
        return SimpleNamespace(
            key=key, target="maze", seed=seed, expert_seed=None, diagnostics={"losses": LOSSES}, method=None
        )

    runs = [SimpleNamespace(experts=[SimpleNamespace(key=key)]) for key in ("b", "a", "b")]
    courses = base_model_courses([expert("a", 4), expert("b", 2), expert("unused", 0)], runs)
    assert [(c.method, c.task, c.seed) for c in courses] == [("base model", "maze", 2), ("base model", "maze", 4)]
    data = SimpleNamespace(losses=(), base_model_losses=courses, tasks=("inversion",), methods=("component",))
    drawing = loss_curves(data, {})
    (panel,) = drawing.panels
    assert (panel.title, panel.note) == ("q", "maze")
    assert len(alone(panel).axes[0].lines) == 2
    assert [look.label for look in drawing.legend] == ["base model"]


def test_nothing_is_drawn_without_losses():
    data = SimpleNamespace(losses=(), base_model_losses=(), tasks=("inversion",), methods=("component",))
    assert loss_curves(data, {}) is None
