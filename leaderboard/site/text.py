"""How values are shown: strangers' text made harmless to read, numbers, times, links."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from tlbench.analysis.bootstrap import Interval

NONE = "\N{EN DASH}"
_DOI = re.compile(r"(?:doi:\s*)?(10\.\d{4,9}/[^\s<>\"'`\\]+)", re.IGNORECASE)


def shown(value: object, limit: int = 300) -> str:
    """A stranger's text for people: what has no shape (controls, marks of direction) is replaced, long text is cut."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def link(text: str | None) -> str | None:
    """The address behind a stranger's text: a link by http or https, or a DOI; none for anything else."""
    if text is None:
        return None
    if text.startswith(("https://", "http://")) and not any(c.isspace() or c in "<>\"'`\\" for c in text):
        return text
    doi = _DOI.fullmatch(text)
    return f"https://doi.org/{doi[1]}" if doi else None


def quantity(value: float) -> str:
    """A count with separators, such as ``112,500``."""
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """A time such as ``3 min 20 s``."""
    if not math.isfinite(seconds):
        return NONE
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s" if whole else f"{seconds:.2f} s"


def script_json(value: Any) -> str:
    """JSON that is safe inside a script, whatever text it holds; what is not finite is null."""
    text = json.dumps(plain(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plain(value: Any) -> Any:
    """A value as JSON has it; an interval as its three numbers, null for what is not finite."""
    if isinstance(value, Interval):
        return {name: plain(number) for name, number in vars(value).items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
