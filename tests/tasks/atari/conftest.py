"""Closes what a test opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tasks.atari.opening import opened


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    """Loading a game takes longer than most tests: closed environments give their emulators to the next."""
    yield
    for env in opened:
        env.close()
    opened.clear()
