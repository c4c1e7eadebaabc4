"""Transfers by base model: what is counted, the interval of a share, the table and the page's part."""

from types import SimpleNamespace

import numpy as np
import pytest

from tlbench.analysis.base_models import base_model_cells, base_model_results, wilson
from tlbench.analysis.bootstrap import Bootstrap
from tlbench.analysis.tables import NONE

BASE = [[-1.0, -1.0], [1.0, -1.0], [-1.0, 0.5], [1.0, 1.0]]
MIRROR = [[-x, y] for x, y in BASE]
POINT = [[0.1 * x, 0.1 * y] for x, y in MIRROR]


POSITIONS = [[1, 1], [1, 2], [2, 1], [2, 2]]


def record(base_model, seed, aligned, transfer=MIRROR, method="component"):
    facts = {"aligned": aligned, "threshold": 0.5, "mirrored": [], "base": BASE, "transfer": transfer}
    facts |= {"positions": POSITIONS, "l2": 0.5 * (1 + seed), "l2_of_different_states": 2.0}
    return SimpleNamespace(
        method=SimpleNamespace(id=method),
        config_hash="a",
        transfers=("a-to-b",),
        seed=seed,
        expert_seed=base_model,
        diagnostics={"alignment": facts},
    )


RUNS = [(0, 0), (0, 1), (0, 2), (7, 0), (7, 1)]  # (base model, seed)


@pytest.fixture
def curves(make_curves):
    returns = np.array([20.0, 40.0, 60.0, 80.0, 80.0])[:, None].repeat(4, axis=1)
    experts, seeds = np.array(RUNS).T
    return {"component": [make_curves(returns, np.zeros((5, 4)), seeds=seeds, expert_seeds=experts)]}


def test_runs_are_counted_by_base_model(curves):
    records = [
        record(0, 0, True, BASE),
        record(0, 1, False),  # a mirror image: sides have changed
        record(0, 2, False, POINT),  # nothing brings it halfway, and the sides are hardly apart
        record(7, 0, True),  # aligned runs are no mirror images, whatever the axes
        record(7, 1, True, BASE),
    ]
    first, second = base_model_results(curves, records, Bootstrap(500))
    assert (first.base_model, first.runs, first.aligned, first.mirrored) == (0, 3, 1, 1)
    assert (first.swapped, first.distance) == (1, pytest.approx((0.25 + 0.5 + 0.75) / 3))
    assert (second.base_model, second.runs, second.aligned, second.mirrored) == (7, 2, 2, 0)
    assert first.score.estimate == pytest.approx(40)
    assert first.score.low < 40 < first.score.high
    assert (second.score.low, second.score.high) == (80, 80)
    assert first.share_aligned == wilson(1, 3)


def test_runs_without_an_alignment_count_as_not_aligned(curves):
    records = [record(*run, True, BASE) for run in RUNS]
    records[1].diagnostics = {}  # it diverged
    first, _ = base_model_results(curves, records, Bootstrap(50))
    assert (first.runs, first.aligned, first.share_aligned) == (3, 2, wilson(2, 3))


def test_tasks_scored_by_returns_alone_have_dashes(curves):
    records = [record(*run, True) for run in RUNS]
    for one in records:
        one.diagnostics = {}
    header, rows = base_model_cells(base_model_results(curves, records, Bootstrap(50)))
    row = dict(zip(header, rows[0], strict=True))
    assert [row[name] for name in ("aligned", "share aligned", "mirrored", "swapped", "distance")] == [NONE] * 5
    assert row["mean score"].startswith("40.0 [")


def test_tasks_without_crossed_base_models_are_passed_over(make_curves):
    assert base_model_results({"m": [make_curves(np.zeros((2, 4)), np.zeros((2, 4)))]}, [], Bootstrap(50)) == ()


@pytest.mark.parametrize("experts", [(0, 1, 2), (None, None, None)], ids=["as runs record it", "none"])
def test_runs_with_a_base_model_each_are_one_group_if_they_tell_of_alignment(make_curves, experts):
    returns = np.array([20.0, 40.0, 60.0])[:, None].repeat(4, axis=1)
    curves = {"component": [make_curves(returns, np.zeros((3, 4)))]}
    told = [(True, BASE), (False,), (False, POINT)]
    runs = [record(base_model, seed, *told[seed]) for seed, base_model in enumerate(experts)]
    (only,) = base_model_results(curves, runs, Bootstrap(500))
    assert (only.base_model, only.runs, only.aligned, only.mirrored) == (None, 3, 1, 1)
    assert only.score.estimate == pytest.approx(40)
    header, rows = base_model_cells([only])
    assert rows[0][header.index("base model")] == "one each"


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(3, 22, 0.0475, 0.3333), (0, 5, 0.0, 0.4345), (5, 5, 0.5655, 1.0)],  # Newcombe (1998), equation 3
)
def test_wilsons_interval(k, n, low, high):
    found = wilson(k, n)
    z2 = 1.959964**2
    assert found.estimate == k / n
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    for end in (found.low, found.high):  # ends solve (p - end)^2 = z^2 end (1 - end) / n
        assert (k / n - end) ** 2 == pytest.approx(z2 * end * (1 - end) / n, abs=1e-6)
