"""The tables that only some results have: by base model, what models predicted, by a setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tlbench.analysis.base_models import BaseModelResult, base_model_cells
from tlbench.analysis.figures.data import ReportData
from tlbench.analysis.predictions import PredictionResult, prediction_cells
from tlbench.analysis.settings import SettingResult, setting_cells
from tlbench.analysis.tables import Cells


class GroupTable(NamedTuple):
    """A table of results that are grouped in some way.

    Attributes:
        name: Name of its files and of its place on the page.
        title: What it is called.
        kind: The results' class, a dataclass.
        results: The results.
        header: Names of the columns.
        rows: The results as text.
    """

    name: str
    title: str
    kind: type
    results: Sequence[object]
    header: list[str]
    rows: Cells


def group_tables(data: ReportData) -> list[GroupTable]:
    """The tables that the data have, in the order in which they are shown."""
    found = []
    if data.base_models:
        cells = base_model_cells(data.base_models)
        found.append(GroupTable("base_models", "transfers by base model", BaseModelResult, data.base_models, *cells))
    if data.predictions:
        title, cells = "learned models before the first sample", prediction_cells(data.predictions)
        found.append(GroupTable("predictions", title, PredictionResult, data.predictions, *cells))
    if data.by is not None:
        cells = setting_cells(data.settings, data.by)
        found.append(GroupTable("settings", f"results by {data.by}", SettingResult, data.settings, *cells))
    return found
