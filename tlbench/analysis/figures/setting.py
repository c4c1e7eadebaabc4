"""Score against the value of a setting, one panel per transfer task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from tlbench.analysis.figures.data import ReportData
from tlbench.analysis.figures.drawing import Drawing, Panel, Place
from tlbench.analysis.figures.style import MARKERS, METHOD_COLOURS
from tlbench.analysis.settings import SettingResult, value_text
from tlbench.analysis.tables import format_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE_RANGE = 20
"""Positive numbers whose largest is more than so many times the smallest lie on a logarithmic axis."""


def score_by_setting(data: ReportData) -> Drawing | None:
    """Score with its interval against the setting that results are grouped by; None without one."""
    if data.by is None or not data.settings:
        return None
    methods = list(dict.fromkeys(row.method for row in data.settings))
    panels: list[Panel] = []
    for task in data.tasks:
        rows = [row for row in data.settings if row.task == task]
        if rows:
            words = "; ".join(f"{r.method} at {value_text(r.value)}: {format_interval(r.score)}" for r in rows)
            note = rows[0].relation if rows[0].scored else f"{rows[0].relation}, unscored"
            alt = f"Score on {task} by {data.by}. {words}."
            panels.append(Panel(task, alt, _drawer(rows, methods, data.by), height=1.9, width=2.9, note=note))
    return Drawing(
        "score_by_setting",
        f"Score by {data.by}",
        f"Score (100 x IQM over seeds of the AUC) under each value of {data.by}, with 95 % intervals.",
        panels,
        columns=3,
    )


def positions(rows: Sequence[SettingResult]) -> tuple[dict[str, float], bool]:
    """Where the values of a setting lie on an axis, by their text, and whether that axis is logarithmic.

    Numbers lie where they are; if there is anything else, all values are equally far apart.
    """
    values = {value_text(row.value): row.value for row in rows}
    numbers = {t: float(v) for t, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    if len(numbers) < len(values):
        return {text: float(i) for i, text in enumerate(values)}, False
    low, high = min(numbers.values()), max(numbers.values())
    return numbers, low > 0 and high / low > WIDE_RANGE


def _drawer(rows: Sequence[SettingResult], methods: Sequence[str], key: str) -> Callable[[Axes, Place], None]:
    places, logarithmic = positions(rows)

    def draw(axes: Axes, place: Place) -> None:
        if logarithmic:
            axes.set_xscale("log")
        for method, group in groupby(rows, key=lambda row: row.method):
            found = list(group)
            _line(axes, method, methods.index(method), found, places)
        axes.set_xticks(list(places.values()), list(places))
        axes.minorticks_off()
        axes.tick_params(axis="x", rotation=35 if len(places) > 4 else 0)
        axes.margins(x=0.08)
        if len(methods) > 1:
            axes.legend()
        if place.bottom:
            axes.set_xlabel(key)
        if place.left:
            axes.set_ylabel("score")

    return draw


def _line(axes: Axes, method: str, index: int, rows: Sequence[SettingResult], places: Mapping[str, float]) -> None:
    colour, marker = list(METHOD_COLOURS)[index % len(METHOD_COLOURS)], MARKERS[index % len(MARKERS)]
    x = [places[value_text(row.value)] for row in rows]
    axes.plot(x, [row.score.estimate for row in rows], color=colour, marker=marker, label=method, zorder=3)
    for at, row in zip(x, rows, strict=True):
        if row.score.low is not None and row.score.high is not None:
            axes.plot([at, at], [row.score.low, row.score.high], color=colour, linewidth=1.6, alpha=0.6, zorder=2)
