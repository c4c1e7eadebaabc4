"""References of a suite: what is measured, at which multiple of the target budget, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tlbench.cli.references import measure
from tlbench.execution.store import find_stores
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_reference_runs_take_a_multiple_of_the_target_budget(tiny: SuiteSpec, tmp_path: Path, factor: float) -> None:
    task = next(name for name, spec in tiny.tasks.items() if spec.target is not None)
    target = tiny.tasks[task].target
    assert target is not None
    found = measure(tiny, ["vpg"], [task], 2, 1, tmp_path, factor)
    assert [(r.task, r.learner, r.budget) for r in found] == [(task, "vpg", target.budget)]
    (store,) = find_stores(tmp_path)
    experts = sorted((store.folder / "experts").glob("*.json"))
    assert len(experts) == 2
    spent = [store.load_expert(path.stem)[1].steps.source for path in experts]
    assert all(steps <= round(factor * target.budget) for steps in spent)
    assert all(steps > (factor - 0.25) * target.budget for steps in spent)


def test_a_factor_that_is_not_positive_is_refused(tiny: SuiteSpec, tmp_path: Path) -> None:
    with pytest.raises(TlbenchError, match="positive multiple"):
        measure(tiny, ["vpg"], None, 1, 1, tmp_path, 0.0)
    assert not list(tmp_path.iterdir())


def test_the_number_of_evaluations_is_the_caller_s(tiny: SuiteSpec, tmp_path: Path) -> None:
    task = next(name for name, spec in tiny.tasks.items() if spec.target is not None)
    measure(tiny, ["vpg"], [task], 1, 1, tmp_path, 0.5, points=7)
    (store,) = find_stores(tmp_path)
    (expert,) = (store.folder / "experts").glob("*.json")
    assert len(store.load_expert(expert.stem)[1].curve) == 7


def test_a_single_evaluation_is_refused(tiny: SuiteSpec, tmp_path: Path) -> None:
    with pytest.raises(TlbenchError, match="at least two evaluation points"):
        measure(tiny, ["vpg"], None, 1, 1, tmp_path, 1.0, points=1)
    assert not list(tmp_path.iterdir())
