"""How figures look: one colour, line style and marker per method everywhere, sizes that are readable in a column.

Every colour is one of `THEME`'s, so that the page can put a variable in its place and follow a reader's dark mode.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlbench.analysis.figures.data import ReportData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN = 3.3
"""Width of a column of a two-column paper, inches."""

FULL = 6.9
"""Width of the text of a two-column paper, inches."""

INK, MUTED, GRID, PAPER, STRONG = "#1f2329", "#5d6672", "#e3e6ea", "#fefefe", "#fffffe"

METHOD_COLOURS = {  # light: dark; apart for readers without red, green or both cones, and 3 : 1 against the page
    "#0072b2": "#58b0ee",
    "#d55e00": "#ff8f4d",
    "#009e73": "#3ccb9e",
    "#cc6fae": "#d977b4",
    "#6f5b00": "#ffe066",
    "#1f2f7a": "#cfe8ff",
    "#9a5be0": "#a06bff",
    "#7d1128": "#a85a4a",
}
CONTROL_COLOURS = {"#6a7079": "#a3acb8", "#8d939c": "#818b97"}
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (5, 1.2, 1.2, 1.2)),
    (0, (1.2, 1.2)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (7, 1.5, 3, 1.5)),
    (0, (2.5, 1)),
)
CONTROL_DASHES: tuple[Any, ...] = ((0, (4, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
CONTROL_MARKERS = ("", "|", "x")

_HEAT = (  # from worse to better than the control: light, dark
    ("#b2431f", "#c2512b"),
    ("#d0693f", "#a4472a"),
    ("#e59873", "#7f3c28"),
    ("#f3c5ae", "#5a3126"),
    ("#f9e4d9", "#3d2a26"),
    ("#f3f4f6", "#2a2f37"),
    ("#dcebf5", "#243541"),
    ("#b4d4ea", "#23485f"),
    ("#7eb3d8", "#245e83"),
    ("#4089bd", "#2a73a5"),
    ("#1b6299", "#3586bf"),
)
HEAT = tuple(light for light, _ in _HEAT)
HEAT_STRONG = (0, 1, 9, 10)
"""Levels of the heat map that take light text."""

THEME: dict[str, tuple[str, str]] = {
    INK: ("ink", "#e8eaed"),
    MUTED: ("muted", "#a3acb8"),
    GRID: ("grid", "#343b45"),
    PAPER: ("paper", "#181b20"),
    STRONG: ("strong", "#ffffff"),
    **{light: (f"m{i}", dark) for i, (light, dark) in enumerate(METHOD_COLOURS.items())},
    **{light: (f"c{i}", dark) for i, (light, dark) in enumerate(CONTROL_COLOURS.items())},
    **{light: (f"h{i}", dark) for i, (light, dark) in enumerate(_HEAT)},
}
"""Colour on white paper: the page's name for it, and its counterpart on a dark page."""

_RC: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 1.3,
    "lines.markersize": 3.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "tlbench",
    "path.simplify": False,
}


@contextmanager
def style() -> Iterator[None]:
    """The settings under which every figure is made and saved."""
    import matplotlib
    from matplotlib import rc_context

    settings: Any = {k: v for k, v in matplotlib.rcParamsDefault.items() if k.partition(".")[0] in _GROUPS} | _RC
    with rc_context(settings):
        yield


_GROUPS = {"axes", "figure", "font", "grid", "hatch", "legend", "lines", "markers", "mathtext", "patch", "path", "pdf"}
_GROUPS |= {"savefig", "svg", "text", "xaxis", "xtick", "yaxis", "ytick"}
"""Settings that a reader's own matplotlibrc must not change."""


@dataclass(frozen=True)
class Look:
    """How a method or control is drawn.

    Attributes:
        label: Its name in a legend.
        colour: Hexadecimal.
        dash: Matplotlib's line style.
        marker: Matplotlib's marker, may be empty.
        group: Name of its parts in a figure (``method-0``), for a page that fades the others.
        order: Drawing order.
    """

    label: str
    colour: str
    dash: Any
    marker: str
    group: str
    order: float

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of a line."""
        return {"color": self.colour, "linestyle": self.dash, "gid": self.group, "zorder": self.order}

    @property
    def point(self) -> dict[str, Any]:
        """Arguments of a marker at an estimate."""
        marker = self.marker or "o"
        return {"color": self.colour, "marker": marker, "gid": self.group, "zorder": self.order, "linestyle": "none"}


def looks(data: ReportData) -> dict[str, Look]:
    """The look of every method and control of a report; it depends on their order alone."""
    colours, greys = list(METHOD_COLOURS), list(CONTROL_COLOURS)
    found: dict[str, Look] = {}
    proper = [m for m in data.methods if not data.is_reference(m)]
    used_as_control = {data.controls[m] for m in proper}
    references = sorted(filter(data.is_reference, data.methods), key=lambda m: m not in used_as_control)
    for i, name in enumerate((*data.control_names, *references)):
        label = name if name in references and name not in used_as_control else f"{name} (control)"
        dash, marker = CONTROL_DASHES[i % len(CONTROL_DASHES)], CONTROL_MARKERS[i % len(CONTROL_MARKERS)]
        found[name] = Look(label, greys[i % len(greys)], dash, marker, f"control-{i}", 2.0)
    for i, name in enumerate(proper):
        # past the colours' end, the styles are shifted: the same colour never comes with the same style and marker
        j = i + i // len(colours)
        dash, marker = DASHES[j % len(DASHES)], MARKERS[j % len(MARKERS)]
        found[name] = Look(name, colours[i % len(colours)], dash, marker, f"method-{i}", 4 - i / 100)
    return {arm: found[arm] for arm in (*proper, *data.control_names, *references)}


def save(figure: Figure, kind: str) -> bytes:
    """A figure as ``png`` (300 dpi, white), ``pdf`` or ``svg``; equal figures give equal bytes.

    Args:
        figure: The figure.
        kind: The format.
    """
    nothing = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None, "Creator": None}}
    metadata = nothing.get(kind, {"Date": None, "Creator": None, "Format": None, "Type": None})
    out = io.BytesIO()
    face = "none" if kind == "svg" else "white"
    with style():
        figure.savefig(out, format=kind, dpi=300, metadata=metadata, facecolor=face)
    return out.getvalue()
