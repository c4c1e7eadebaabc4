import subprocess
import sys

import numpy as np
import pytest

from tlbench.analysis import bands
from tlbench.analysis.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(500)


@pytest.fixture
def curves(make_curves):
    rng = np.random.default_rng(0)
    rising = np.linspace(0, 100, 21)
    return make_curves(rising + rng.normal(0, 5, (10, 21)), 0.8 * rising + rng.normal(0, 5, (10, 21)))


def test_learning_curves_are_seed_means_with_bands(curves):
    method, control = bands.learning_curves(curves, BOOTSTRAP)
    np.testing.assert_allclose(method.estimate, curves.method.mean(axis=0) / 100)
    np.testing.assert_allclose(control.estimate, curves.control.mean(axis=0) / 100)
    assert (method.low < method.estimate).all()
    assert (method.estimate < method.high).all()


def test_returns_keep_their_units(curves):
    method, control = bands.return_curves(curves, BOOTSTRAP)
    np.testing.assert_allclose(method.estimate, curves.method.mean(axis=0))
    np.testing.assert_allclose(control.estimate, curves.control.mean(axis=0))
    assert (method.low < method.high).all()


def test_survival_falls_from_one(make_curves):
    points = np.linspace(0, 1, 5)
    rows = [[90, 90, 90, 90, 90], [0, 0, 90, 90, 90], [0, 0, 0, 0, 0]]
    method, control = bands.survival(make_curves(rows, np.zeros((3, 5)), fractions=points), BOOTSTRAP)
    np.testing.assert_allclose(method.estimate, [1, 1, 2 / 3, 2 / 3, 1 / 3])
    assert control.estimate.tolist() == [1] * 5


def test_sample_efficiency_pools_runs_and_tasks(make_curves):
    fractions = np.linspace(0, 1, 3)
    a = make_curves([[0, 50, 100]] * 4, np.zeros((4, 3)), fractions=fractions)
    b = make_curves([[0, 50, 100, 100, 100]] * 4, np.zeros((4, 5)), task="b")
    band = bands.sample_efficiency([a, b], BOOTSTRAP, [0, 0.5, 1])
    np.testing.assert_allclose(band.estimate, [0, 0.75, 1])
    assert bands.sample_efficiency([a], BOOTSTRAP).fractions.size == 21
    with pytest.raises(ValueError, match="at least one task"):
        bands.sample_efficiency([], BOOTSTRAP)


def test_one_seed_has_a_curve_without_a_band(make_curves):
    band, _ = bands.learning_curves(make_curves([[0, 1, 2]], [[0, 1, 2]]), BOOTSTRAP)
    assert np.isnan(band.low).all()
    assert np.isfinite(band.estimate).all()


def test_the_analysis_imports_neither_torch_nor_pandas():
    code = "import sys, tlbench.analysis.tables, tlbench.analysis.summary, tlbench.analysis.bands\n"
    code += "assert not {'torch', 'pandas', 'scipy.stats', 'rliable'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
