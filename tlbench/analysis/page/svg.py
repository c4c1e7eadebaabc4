"""Matplotlib's SVG as a part of a page: colours become variables, ids become the page's own, nothing is referenced."""

from __future__ import annotations

import re
from html import escape

from tlbench.analysis.figures.style import THEME

WIDE = 300
"""Points beyond which a picture is wider than a column."""

_FONT = re.compile(r"font-family: ?[^;\"]*;? ?")
_SHORTHAND = re.compile(r"font: ?(?:(\d+|bold) )?([0-9.]+)px [^;\"]*")
_STYLE = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>\s*", re.DOTALL)
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(xlink:href="|href="|url\()#([^")]*)')
_PROLOGUE = re.compile(r".*?<svg ([^>]*)>", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
_SIZE = re.compile(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"')


def embed(svg: str, prefix: str, alt: str) -> str:
    """An inline ``<svg>`` with its text alternative.

    Args:
        svg: What matplotlib wrote, with text as text.
        prefix: Put before every id, so that several fit on one page.
        alt: What it shows, in words.
    """
    head = _PROLOGUE.match(svg)
    size = _SIZE.search(svg)
    if head is None or size is None:
        raise ValueError("not an SVG of matplotlib's")
    width, height = (float(number) for number in size.groups())
    body = _STYLE.sub("", _METADATA.sub("", svg[head.end() :]), count=1).replace(
        ' xmlns="http://www.w3.org/2000/svg"', ""
    )
    referenced = {name for _, name in _REFERENCE.findall(body)}

    def identify(match: re.Match[str]) -> str:
        name = match[1]
        if name in referenced:
            return f' id="{prefix}-{name}"'
        group = re.fullmatch(r"(method|control)-\d+", name)
        return f' data-arm="{name}"' if group else ""

    body = _ID.sub(identify, body)
    body = _REFERENCE.sub(lambda m: f"{m[1].removeprefix('xlink:')}#{prefix}-{m[2]}", body)
    body = _COLOUR.sub(lambda m: f"var(--{THEME[m[0]][0]})" if m[0] in THEME else m[0], body)
    body = _FONT.sub("", body)
    body = _SHORTHAND.sub(lambda m: f"font-size: {m[2]}px" + (f"; font-weight: {m[1]}" if m[1] else ""), body)
    body = _NUMBER.sub(lambda m: f"{float(m[0]):.2f}", body)
    body = re.sub(r"\n\s*", "\n", body)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(alt)}" '
        f'style="min-width: {1.15 * width:.0f}px; max-width: {(1.9 if width < WIDE else 1.6) * width:.0f}px">' + body
    )
