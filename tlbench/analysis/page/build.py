"""The page: one self-contained HTML file, from a report's data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tlbench.analysis.figures import Drawing, ReportData, alone, looks, save
from tlbench.analysis.figures.style import COLUMN, THEME, Look
from tlbench.analysis.group_tables import group_tables
from tlbench.analysis.page import definitions
from tlbench.analysis.page.facts import MethodFacts
from tlbench.analysis.page.svg import embed
from tlbench.analysis.results import NOTE_INCOMPLETE_TASKS
from tlbench.analysis.tables import Cells, cells, format_interval
from tlbench.protocol.specs import SuiteSpec


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        name: Its anchor.
        caption: What it shows.
        header: Column names.
        rows: Cells, as text.
        arms: Name of each row's method in the figures.
        definitions: What the columns mean.
        leads: Number of leading columns that head a row.
    """

    name: str
    caption: str
    header: Sequence[str]
    rows: Cells
    arms: Sequence[str]
    definitions: Mapping[str, str]
    leads: int = 1


def comparison_cells(data: ReportData) -> tuple[list[str], Cells]:
    """Header and rows of the table of comparisons between methods."""
    rows = [[c.x, c.y, format_interval(c.probability_of_improvement, 2), str(c.tasks)] for c in data.comparisons]
    return list(definitions.COMPARISONS), rows


def all_notes(suite: SuiteSpec, data: ReportData) -> list[str]:
    """Every note on the results; what is said of several methods or tasks alike is one line."""
    places: dict[str, dict[str, list[str]]] = {}
    lines = [] if suite.submittable else [definitions.QUICK]
    lines += data.notes
    for result in data.summary.tasks:
        for note in result.notes:
            places.setdefault(note, {}).setdefault(result.method, []).append(result.task)
    for row in data.summary.suites:
        for note in row.notes:
            if row.method not in places.get(note, {}):  # else said of its tasks
                places.setdefault(note, {})[row.method] = list(row.missing) if note == NOTE_INCOMPLETE_TASKS else []
    for note, methods in places.items():
        where: dict[str, list[str]] = {}
        for method, tasks in methods.items():
            everywhere = len(tasks) > 1 and len(tasks) == len(data.curves[method])
            where.setdefault("all tasks" if everywhere else ", ".join(tasks), []).append(method)
        for tasks_text, names in where.items():
            reason = f" ({definitions.NOTES[note]})" if note in definitions.NOTES else ""
            lines.append(f"{', '.join(names)}: {note}{': ' if tasks_text else ''}{tasks_text}{reason}")
    return list(dict.fromkeys(lines))


def sentence(suite: SuiteSpec, data: ReportData, method: str) -> str:
    """A method's result in a line."""
    row = data.suite_result(method)
    if row.score is None:
        return f"{method} on {suite.id}: no scored task was run"
    parts = [f"score {format_interval(row.score)}"]
    if row.gain is not None and not data.is_reference(method):
        parts.append(f"transfer gain {format_interval(row.gain.transfer_gain, signed=True)}")
        what = row.gain.negative_transfer
        shown = f"negative transfer on {what}" if "of" in what else f"negative transfer: {what}"
        parts.append(shown)
    seeds = "1 seed" if row.seeds == 1 else f"{row.seeds} seeds"
    missing = f", {len(row.tasks)} of {len(row.tasks) + len(row.missing)} scored tasks" if row.missing else ""
    return f"{method} on {suite.id}: {', '.join(parts)} ({seeds}{missing})"


def build_page(
    suite: SuiteSpec,
    data: ReportData,
    drawings: Sequence[Drawing],
    facts: Sequence[MethodFacts],
    version: str,
) -> str:
    """The page as HTML.

    Args:
        suite: The suite.
        data: The methods.
        drawings: The figures.
        facts: How each method was run.
        version: Version of tlbench that made the report.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["minus"] = minus
    environment.filters["key"] = sort_key
    environment.filters["json"] = lambda value: json.dumps(value, sort_keys=True, ensure_ascii=False)
    package = files("tlbench.analysis.page")

    def asset(*path: str) -> str:
        return package.joinpath(*path).read_text(encoding="utf-8")

    styles = looks(data)
    summary = data.summary
    figures: dict[str, dict[str, Any]] = {}
    for drawing in drawings:
        panels = [
            {
                "title": panel.title,
                "note": panel.note,
                "wide": panel.width > COLUMN,
                "svg": Markup(embed(save(alone(panel), "svg").decode(), f"{drawing.name}-{i}", panel.alt)),  # noqa: S704
            }
            for i, panel in enumerate(drawing.panels)
        ]
        grid = any(panel.title for panel in drawing.panels)
        figures[drawing.name] = {"drawing": drawing, "panels": panels, "grid": grid}
    return environment.from_string(asset("templates", "report.html.j2")).render(
        suite=suite,
        version=version,
        methods=data.methods,
        sentences=[sentence(suite, data, method) for method in data.methods],
        notes=all_notes(suite, data),
        legend=[{"look": look, "swatch": Markup(swatch(look))} for look in styles.values()],  # noqa: S704
        arms={method: look.group for method, look in styles.items()},
        tables={table.name: table for table in _tables(data, styles)},
        figures=figures,
        unscored="sample_efficiency" not in figures,
        facts=facts,
        tasks=[(name, suite.transfers[name]) for name in data.tasks],
        words=definitions.WORDS,
        intervals=definitions.intervals(summary.repetitions, data.bands.repetitions, summary.seed, summary.confidence),
        css=Markup(_theme() + asset("assets", "report.css")),  # noqa: S704
        script=Markup(asset("assets", "report.js")),  # noqa: S704
    )


def _tables(data: ReportData, styles: Mapping[str, Look]) -> list[Table]:
    suite_header, suite_rows = cells(data.summary, "suite")
    task_header, task_rows = cells(data.summary, "tasks")

    def arms(rows: Cells) -> list[str]:
        return [styles[row[0]].group for row in rows]

    found = [
        Table("suite", "Each method on the suite", suite_header, suite_rows, arms(suite_rows), definitions.SUITE),
        Table("tasks", "Each method on each task", task_header, task_rows, arms(task_rows), definitions.TASKS, 2),
    ]
    header, rows = comparison_cells(data)
    if rows:
        caption = "Methods against each other"
        found.append(Table("comparisons", caption, header, rows, arms(rows), definitions.COMPARISONS, 2))
    columns = {
        "base_models": (definitions.BASE_MODELS, 3),
        "predictions": (definitions.PREDICTIONS, 2),
        "settings": ({str(data.by): definitions.SETTING, **definitions.SETTINGS}, 3),
    }
    for name, title, _, _, header, rows in group_tables(data):
        groups = [""] * len(rows) if name == "settings" else arms(rows)
        found.append(Table(name, title[0].upper() + title[1:], header, rows, groups, *columns[name]))
    return found


def minus(text: str) -> str:
    """The text with true minus signs before numbers."""
    return re.sub(r"(?<![\w-])-(?=\d|inf)", "\N{MINUS SIGN}", text)


def sort_key(text: str) -> str:
    """What a column is sorted by: the number that a cell starts with, or its text."""
    try:
        value = float(text.split(" ", 1)[0])
    except ValueError:
        return text
    return repr(value).replace("inf", "Infinity")


def swatch(look: Look) -> str:
    """A small picture of a method's line and marker."""
    colour = f"var(--{THEME[look.colour][0]})"
    dash = look.dash
    pattern = "" if isinstance(dash, str) else f' stroke-dasharray="{" ".join(f"{1.6 * n:g}" for n in dash[1])}"'
    return (
        '<svg class="swatch" viewBox="0 0 34 12" aria-hidden="true" focusable="false">'
        f'<path d="M1 6H33" fill="none" stroke="{colour}" stroke-width="2"{pattern}/>'
        + _SHAPES.get(look.marker, "").replace("$", colour)
        + "</svg>"
    )


_SHAPES = {
    "o": '<circle cx="17" cy="6" r="3.6" fill="$"/>',
    "s": '<path d="M13.6 2.6h6.8v6.8h-6.8z" fill="$"/>',
    "^": '<path d="M17 1.6l4.2 8h-8.4z" fill="$"/>',
    "v": '<path d="M17 10.4l4.2-8h-8.4z" fill="$"/>',
    "D": '<path d="M17 1.2l4.8 4.8-4.8 4.8-4.8-4.8z" fill="$"/>',
    "P": '<path d="M15.4 2h3.2v2.4h2.4v3.2h-2.4v2.4h-3.2v-2.4h-2.4v-3.2h2.4z" fill="$"/>',
    "X": '<path d="M13.5 4l2-2 1.5 1.5 1.5-1.5 2 2-1.5 2 1.5 2-2 2-1.5-1.5-1.5 1.5-2-2 1.5-2z" fill="$"/>',
    "*": '<path d="M17 .8l1.5 3.5 3.8.3-2.9 2.5.9 3.7-3.3-2-3.3 2 .9-3.7-2.9-2.5 3.8-.3z" fill="$"/>',
    "|": '<path d="M16.2 2h1.6v8h-1.6z" fill="$"/>',
    "x": '<path d="M14 3l6 6m0-6l-6 6" fill="none" stroke="$" stroke-width="1.6"/>',
}


def _theme() -> str:
    """The figures' colours as variables, light and dark."""
    names: list[tuple[str, str, str]] = [(name, light, dark) for light, (name, dark) in THEME.items()]
    light = "".join(f"--{name}:{value};" for name, value, _ in names)
    dark = "".join(f"--{name}:{value};" for name, _, value in names)
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
