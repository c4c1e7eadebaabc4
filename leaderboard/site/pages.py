"""Renders the site's pages from its templates; strangers' text is escaped everywhere."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from tlbench.analysis.figures.style import METHOD_COLOURS, THEME
from tlbench.analysis.page.build import minus
from tlbench.analysis.tables import format_interval
from tlbench.leaderboard.entries import SHORT
from tlbench.leaderboard.site import text

ASSETS = ("site.css", "theme.js", "table.js", "plot.js", "compare.js", "copy.js", "submission.js")
SERIES = len(METHOD_COLOURS)


@cache
def _environment() -> Any:
    import jinja2

    package = files("tlbench.leaderboard.site").joinpath("templates")

    def load(name: str) -> str | None:
        path = package.joinpath(name)
        return path.read_text(encoding="utf-8") if path.is_file() else None

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "minus": minus,
        "shown": text.shown,
        "quantity": text.quantity,
        "duration": text.duration,
        "link": text.link,
        "interval": format_interval,
        "short": lambda digest: digest[:SHORT],
    }
    environment.globals |= {"version": version("tlbench"), "dash": text.NONE}
    return environment


def render(template: str, **content: Any) -> str:
    """A page.

    Args:
        template: Name of the template.
        content: What it shows; ``root`` is the relative path to the site's folder.
    """
    page: str = _environment().get_template(template).render(**content)
    return page


def assets() -> dict[str, bytes]:
    """Styles and scripts by name; the style begins with the colours of the figures."""
    package = files("tlbench.leaderboard.site").joinpath("assets")
    found = {name: package.joinpath(name).read_bytes() for name in ASSETS}
    return found | {"site.css": _theme().encode() + found["site.css"]}


def _theme() -> str:
    """The figures' colours as variables: light, dark where the reader's system is, and either where chosen."""
    names: list[tuple[str, str, str]] = [(name, light, dark) for light, (name, dark) in THEME.items()]
    light = "".join(f"--{name}:{value};" for name, value, _ in names if name[0] != "h")
    dark = "".join(f"--{name}:{value};" for name, _, value in names if name[0] != "h")
    lines = [f":root{{{light}}}", f"@media screen{{:root[data-theme=dark]{{{dark}}}}}"]
    lines.append(
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}",
    )
    lines += [f".s{i}{{--series:var(--m{i})}}" for i in range(SERIES)]
    return "\n".join(lines) + "\n"
