"""What learned models promise before the first sample: which runs count, families, the table."""

from types import SimpleNamespace

import pytest

from tlbench.analysis.bootstrap import Bootstrap
from tlbench.analysis.predictions import prediction_cells, prediction_results


def record(seed, predicted, found=(1.0, 3.0), fraction=0.0, method="imagining"):
    return SimpleNamespace(
        method=SimpleNamespace(id=method),
        config_hash="a",
        transfers=("family",),
        seed=seed,
        diagnostics={} if predicted is None else {"predicted_return_at_0": predicted},
        curve=(SimpleNamespace(fraction=fraction, returns=found),),
    )


def test_instances_are_averaged_and_then_seeds():
    runs = [record(0, 10.0), record(0, 20.0, (4.0,)), record(1, 30.0, (0.0,))]
    (result,) = prediction_results(["imagining"], runs, Bootstrap(500))
    assert result.runs == 3
    assert result.predicted.estimate == pytest.approx((15 + 30) / 2)
    assert result.found.estimate == pytest.approx((3 + 0) / 2)
    assert result.difference.estimate == pytest.approx((12 + 30) / 2)
    assert (result.difference.low, result.difference.high) == (12, 30)


def test_runs_that_say_nothing_are_passed_over():
    said = record(0, 10.0)
    nothing = [
        record(1, None),
        record(1, float("nan")),
        record(1, "much"),
        record(1, 10.0, fraction=0.1),
        record(1, 10.0, found=()),
        record(0, 10.0, method="hidden"),
    ]
    (result,) = prediction_results(["imagining"], [said, *nothing], Bootstrap(50))
    assert (result.method, result.runs, result.predicted.low) == ("imagining", 1, None)
    assert prediction_results(["imagining"], nothing, Bootstrap(50)) == ()


def test_methods_are_shown_in_their_order():
    runs = [record(seed, 1.0, method=name) for name in ("a", "b", "c") for seed in (0, 1)]
    found = prediction_results(["c", "a"], runs, Bootstrap(50))
    assert [result.method for result in found] == ["c", "a"]
    header, rows = prediction_cells(found)
    assert dict(zip(header, rows[0], strict=True)) == {
        "method": "c",
        "transfer task": "family",
        "runs": "2",
        "predicted return": "1.0 [1.0, 1.0]",
        "return at 0 %": "2.0 [2.0, 2.0]",
        "difference": "-1.0 [-1.0, -1.0]",
    }
