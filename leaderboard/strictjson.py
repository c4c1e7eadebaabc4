"""JSON from strangers: duplicate keys, NaN, huge numbers, deep nesting and broken text are refused."""

from __future__ import annotations

import json
import math
from typing import Any, Never

from tlbench.protocol.errors import TlbenchError

MAX_DEPTH = 32
MAX_INTEGER = 2**63
MAX_DIGITS = 32


def load(text: str | bytes, origin: str, limit: int) -> Any:
    """Parse JSON that may have been made to harm.

    Args:
        text: The JSON text; bytes must be UTF-8.
        origin: What it is, for messages.
        limit: Most characters (or bytes) allowed.

    Raises:
        TlbenchError: If it is too long, not JSON, or holds a key twice, a number that is not finite or too large, text
            that can't be encoded, or more than 32 levels.
    """
    if len(text) > limit:
        raise TlbenchError(f"{origin} is too large: {len(text):,} characters, at most {limit:,} are allowed")
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            decoded, object_pairs_hook=_no_duplicates, parse_constant=_refuse, parse_float=_float, parse_int=_int
        )
        _walk(value, 0)
    except RecursionError:
        raise TlbenchError(f"{origin} is not valid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise TlbenchError(f"{origin} is not valid JSON: {plain(error)}") from None
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)[:80]!a} appears twice")
    return found


def _refuse(name: str) -> Never:
    raise ValueError(f"{name} is not a finite number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:MAX_DIGITS]} is not a finite number")
    return value


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS or not -MAX_INTEGER <= int(text) < MAX_INTEGER:
        raise ValueError(f"{text[:MAX_DIGITS]}... is too large a number")
    return int(text)


def _walk(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("a text holds half a character (a lone surrogate)") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _walk(key, depth + 1)
            _walk(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _walk(item, depth + 1)


def plain(text: object, limit: int = 300) -> str:
    """What a stranger's input made a parser say, as one short printable line."""
    line = str(text).strip().partition("\n")[0] or type(text).__name__
    return "".join(c if c.isprintable() else "?" for c in line)[:limit]
