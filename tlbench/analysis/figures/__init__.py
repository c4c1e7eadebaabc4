"""The figures of a report, drawn from result objects with matplotlib's Agg backend."""

from __future__ import annotations

from tlbench.analysis.figures.abstract_space import abstract_spaces
from tlbench.analysis.figures.curves import learning_grid, profiles, return_grid, sample_efficiency, survival_grid
from tlbench.analysis.figures.data import ReportData, collect
from tlbench.analysis.figures.drawing import Drawing, Panel, alone, paper
from tlbench.analysis.figures.heat import gain_map
from tlbench.analysis.figures.intervals import improvement, suite_intervals
from tlbench.analysis.figures.loss_curves import loss_curves
from tlbench.analysis.figures.setting import score_by_setting
from tlbench.analysis.figures.style import looks, save
from tlbench.analysis.figures.within_lifetime import within_lifetime

__all__ = ["NAMES", "Drawing", "Panel", "ReportData", "alone", "collect", "draw", "looks", "paper", "save"]

NAMES = (
    "score_and_gain",
    "gain_heat_map",
    "sample_efficiency",
    "learning_curves",
    "returns",
    "time_to_threshold",
    "performance_profiles",
    "probability_of_improvement",
    "improvement_matrix",
    "score_by_setting",
    "within_lifetime",
    "abstract_spaces",
    "loss_curves",
)
"""Every figure that a report may have, in the order of the page."""


def draw(data: ReportData) -> list[Drawing]:
    """Every figure that the data allow; without a scored task, those of the suite are missing."""
    styles = looks(data)
    found = (
        suite_intervals(data, styles),
        gain_map(data),
        sample_efficiency(data, styles),
        learning_grid(data, styles),
        return_grid(data, styles),
        survival_grid(data, styles),
        profiles(data, styles),
        *improvement(data, styles),
        score_by_setting(data),
        within_lifetime(data, styles),
        abstract_spaces(data),
        loss_curves(data, styles),
    )
    return [drawing for drawing in found if drawing is not None]
