"""A figure as panels, so that a paper gets them in a grid and a page one by one."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlbench.analysis.figures.style import COLUMN, FULL, Look, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Place:
    """Where a panel stands: outermost panels carry the axes' labels.

    Attributes:
        left: Whether it is the leftmost of its row.
        bottom: Whether no panel stands below it.
    """

    left: bool = True
    bottom: bool = True


@dataclass(frozen=True, eq=False)
class Panel:
    """One set of axes.

    Attributes:
        title: Its title; may be empty.
        note: A remark beside the title, such as the relation.
        margins: Inches around the axes when it stands alone: left, bottom, right, top; None: what it needs.
        alt: What it shows, in words.
        draw: Draws it.
        width: Inches, alone.
        height: Inches.
    """

    title: str
    alt: str
    draw: Callable[[Axes, Place], None]
    height: float
    width: float = COLUMN
    note: str = ""
    margins: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure.

    Attributes:
        name: Name of its files.
        title: Its title.
        caption: What is drawn and how, for the page and for a paper's caption.
        panels: Its panels.
        legend: Looks that a legend explains.
        columns: Panels per row in a paper.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]
    legend: Sequence[Look] = ()
    columns: int = 1


def paper(drawing: Drawing) -> Figure:
    """The figure as it goes into a paper: panels in a grid, one legend below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = drawing.panels
    columns = min(drawing.columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    width = (FULL if columns > 1 else panels[0].width) if len(panels) > 1 else panels[0].width
    per_row = max(1, int(width * 72 // (max((len(look.label) for look in drawing.legend), default=1) * 4.4 + 34)))
    free = rows * columns - len(panels)
    legend_rows = 0 if free else math.ceil(len(drawing.legend) / per_row)
    heights = [max(p.height for p in panels[i * columns : (i + 1) * columns]) for i in range(rows)]
    with style():
        figure = Figure(figsize=(width, sum(heights) + 0.16 * legend_rows + 0.08 * bool(legend_rows)))
        FigureCanvasAgg(figure)
        figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, hspace=0.03, wspace=0.03)
        grid = figure.add_gridspec(rows, columns, height_ratios=heights)
        for i, panel in enumerate(panels):
            axes = figure.add_subplot(grid[divmod(i, columns)])
            panel.draw(axes, Place(i % columns == 0, i + columns >= len(panels)))
            if panel.title:
                lines = textwrap.wrap(panel.title, max(16, int(22 * width / columns / 1.7)), break_on_hyphens=True)
                note = f"\n({panel.note})" if panel.note else ""
                axes.set_title("\n".join(lines) + note, loc="left" if columns == 1 else "center")
        handles = [_handle(look) for look in drawing.legend]
        if handles and free:
            corner = figure.add_subplot(grid[rows - 1, columns - free :])
            corner.set_axis_off()
            corner.legend(handles=handles, loc="center", ncols=1 if len(handles) <= 5 else free)
        elif handles:
            figure.legend(handles=handles, loc="outside lower center", ncols=min(per_row, len(handles)))
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once, saved several times
    return figure


def alone(panel: Panel) -> Figure:
    """One panel without title and legend, for the page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(panel.width, panel.height))
        FigureCanvasAgg(figure)
        if panel.margins is None:
            figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
        else:
            left, bottom, right, top = panel.margins
            across, up = panel.width, panel.height
            figure.subplots_adjust(left / across, bottom / up, 1 - right / across, 1 - top / up)
        panel.draw(figure.add_subplot(), Place())
    return figure


def _handle(look: Look) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look.colour, linestyle=look.dash, marker=look.marker, label=look.label)
