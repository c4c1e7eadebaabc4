from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tlbench.analysis.curves import TaskCurves


def _make(method: Any, control: Any, **changes: Any) -> TaskCurves:
    method, control = np.atleast_2d(np.asarray(method, float)), np.atleast_2d(np.asarray(control, float))
    rows, points = method.shape
    fields: dict[str, Any] = {
        "task": "a-to-b",
        "relation": "close",
        "scored": True,
        "fractions": np.linspace(0, 1, points),
        "method": method,
        "control": control,
        "seeds": np.arange(rows),
        "random": 0.0,
        "expert": 100.0,
        "threshold": 80.0,
        "method_bins": np.full((rows, 4), np.nan),
        "control_bins": np.full((rows, 4), np.nan),
        "abstained": np.zeros(rows, bool),
        "diverged": np.zeros(rows, bool),
    }
    return TaskCurves(**(fields | changes))


@pytest.fixture(scope="session")
def make_curves() -> Callable[..., TaskCurves]:
    """TaskCurves from a method's and a control's returns; random 0, expert 100, threshold 80 unless changed."""
    return _make
