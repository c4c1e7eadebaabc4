import numpy as np
import pytest

from tlbench.analysis import metrics
from tlbench.analysis.curves import average_instances, normalise

FLAT = [[10.0, 20.0, 30.0]]


def test_normalise_maps_references_to_zero_and_one():
    assert normalise([-50, 0, 150, 350], random=-50, expert=150).tolist() == [0, 0.25, 1, 2]


def test_normalise_with_negative_returns():
    assert normalise(-600, random=-1200, expert=-200) == pytest.approx(0.6)


@pytest.mark.parametrize("expert", [5.0, 4.0])
def test_normalise_refuses_references_out_of_order(expert):
    with pytest.raises(ValueError, match="above random"):
        normalise([1.0], random=5.0, expert=expert)


def test_normalise_refuses_nan():
    with pytest.raises(ValueError, match="NaN"):
        normalise([1.0, np.nan], 0, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("arm", ["method", "control"])
def test_not_finite_curves_are_refused_by_task_seed_and_point(make_curves, arm, bad):
    curves = {"method": np.zeros((2, 3)), "control": np.zeros((2, 3))}
    curves[arm][1, 2] = bad
    with pytest.raises(ValueError, match=rf"'a-to-b': {arm} curve is not finite \(seed 8, point 2"):
        make_curves(**curves, seeds=[7, 8])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control": np.zeros((2, 3))}, "control has shape"),
        ({"seeds": [0, 1]}, "shape"),
        ({"seeds": []}, "no run"),
        ({"fractions": [0, 0.5, 0.9]}, "from 0 to 1"),
        ({"fractions": [0, 0.5, 0.5, 1], "method": [[1, 2, 3, 4]], "control": [[1, 2, 3, 4]]}, "from 0 to 1"),
        ({"fractions": [[0, 0.5, 1]]}, "one-dimensional"),
        ({"expert": 0.0}, "above random"),
        ({"random": np.nan}, "random must be finite"),
        ({"threshold": np.inf}, "threshold must be finite"),
        ({"max_return": np.nan}, "max_return must be finite"),
        ({"method_bins": np.zeros((1, 5))}, "training bins"),
        ({"method_bins": [[np.inf] * 4]}, "infinite"),
        ({"abstained": [True, False]}, "abstained has shape"),
        ({"expert_seeds": [1, 2]}, "expert_seeds has shape"),
        ({"window": 4}, "window"),
        ({"window": 0}, "window"),
    ],
)
def test_bad_input_is_refused_with_the_tasks_name(make_curves, change, message):
    fields = {"method": FLAT, "control": FLAT} | change
    with pytest.raises(ValueError, match=message) as error:
        make_curves(**fields)
    assert "a-to-b" in str(error.value)


def test_a_seed_twice_is_refused_unless_experts_differ(make_curves):
    two = np.repeat(FLAT, 2, axis=0)
    with pytest.raises(ValueError, match="twice"):
        make_curves(two, two, seeds=[3, 3])
    with pytest.raises(ValueError, match="twice"):
        make_curves(two, two, seeds=[3, 3], expert_seeds=[1, 1])
    assert make_curves(two, two, seeds=[3, 3], expert_seeds=[1, 2]).seed_count == 1


def test_nan_is_allowed_in_training_bins_only(make_curves):
    curves = make_curves(FLAT, FLAT, method_bins=[[np.nan, 1, 2, np.nan]])
    assert np.isnan(curves.method_bins[0, 0])


def test_arrays_are_copies_and_read_only(make_curves):
    returns = np.array(FLAT)
    curves = make_curves(returns, FLAT)
    returns[0, 0] = 99
    assert curves.method[0, 0] == 10
    with pytest.raises(ValueError, match="read-only"):
        curves.method[0, 0] = 1


def test_an_abstaining_run_is_the_controls(make_curves):
    curves = make_curves(
        [[np.nan] * 3, [1, 2, 3]],
        [[4, 5, 6], [7, 8, 9]],
        abstained=[True, False],
        method_bins=[[1.0] * 4] * 2,
        control_bins=[[2.0] * 4] * 2,
    )
    assert curves.method.tolist() == [[4, 5, 6], [1, 2, 3]]
    assert curves.method_bins[:, 0].tolist() == [2, 1]


def test_crossed_experts_and_their_levels(make_curves):
    rows = np.zeros((6, 3))
    crossed = make_curves(rows, rows, seeds=[0, 0, 1, 1, 2, 2], expert_seeds=[8, 9] * 3)
    assert crossed.crossed
    assert crossed.levels == 2
    paired = make_curves(rows, rows, seeds=range(6), expert_seeds=range(6))
    assert not paired.crossed
    assert paired.levels == 6
    one = make_curves(rows, rows, seeds=range(6), expert_seeds=[5] * 6)
    assert not one.crossed


def test_self_and_unscored_tasks_are_outside_gain(make_curves):
    assert make_curves(FLAT, FLAT).in_gain
    assert not make_curves(FLAT, FLAT, relation="self").in_gain
    assert not make_curves(FLAT, FLAT, scored=False).in_gain


def test_instances_are_normalised_before_they_are_averaged(make_curves):
    easy = make_curves(FLAT, [[0, 0, 0]], random=0, expert=100, threshold=50, max_return=100)
    hard = make_curves([[-900, -800, -500]], [[-1000] * 3], random=-1000, expert=0, threshold=-100, max_return=0)
    family = average_instances([easy, hard])
    np.testing.assert_allclose(family.method, [[0.1, 0.2, 0.4]])
    np.testing.assert_allclose(family.control, [[0, 0, 0]])
    assert (family.random, family.expert, family.max_return) == (0, 1, 1)
    assert family.threshold == pytest.approx(0.7)


def test_returns_of_instances_are_averaged_in_their_own_units(make_curves):
    easy = make_curves([[10.0, 20.0, 40.0]], np.zeros((1, 3)), expert=100, budget=500)
    hard = make_curves([[100.0, 200.0, 400.0]], np.full((1, 3), 8.0), expert=1000, budget=500)
    method, control = average_instances([easy, hard]).returns
    np.testing.assert_allclose(method, [[55, 110, 220]])
    np.testing.assert_allclose(control, [[4, 4, 4]])
    assert average_instances([easy, hard]).budget == 500
    assert average_instances([easy, make_curves(FLAT, FLAT, budget=600)]).budget is None


def test_returns_of_one_instance_are_its_curves_with_the_controls_where_it_abstained(make_curves):
    curves = make_curves(FLAT * 2, np.ones((2, 3)), abstained=[False, True])
    np.testing.assert_allclose(curves.returns[0], [FLAT[0], [1, 1, 1]])
    np.testing.assert_allclose(curves.returns[1], np.ones((2, 3)))


def test_the_auc_of_an_average_is_the_average_of_aucs(make_curves):
    rng = np.random.default_rng(0)
    parts = [make_curves(rng.uniform(0, e, (4, 6)), np.zeros((4, 6)), expert=e) for e in (10.0, 300.0)]
    family = average_instances(parts)
    each = [metrics.auc(normalise(p.method, p.random, p.expert), p.fractions) for p in parts]
    np.testing.assert_allclose(metrics.auc(family.method, family.fractions), np.mean(each, axis=0))


def test_averaging_keeps_only_shared_seeds_and_aligns_them(make_curves):
    a = make_curves([[1, 1, 1], [2, 2, 2], [3, 3, 3]], np.zeros((3, 3)), seeds=[0, 1, 2], expert=10)
    b = make_curves([[20, 20, 20], [10, 10, 10]], np.zeros((2, 3)), seeds=[2, 1], expert=10)
    family = average_instances([a, b])
    assert family.seeds.tolist() == [1, 2]
    np.testing.assert_allclose(family.method[:, 0], [0.6, 1.15])


def test_flags_and_bins_of_averaged_instances(make_curves):
    two = np.zeros((2, 3))
    a = make_curves(
        two, two, abstained=[1, 1], diverged=[0, 0], control_bins=[[100, np.nan, 1, 1]] * 2, max_return=100.0
    )
    b = make_curves(two, two, abstained=[1, 0], diverged=[0, 1], control_bins=[[100, 100, 1, 1]] * 2)
    family = average_instances([a, b])
    assert family.abstained.tolist() == [True, False]
    assert family.diverged.tolist() == [False, True]
    assert family.control_bins[0, 0] == 1
    assert np.isnan(family.control_bins[0, 1])
    assert family.max_return is None


def test_one_instance_is_returned_as_it_is(make_curves):
    curves = make_curves(FLAT, FLAT)
    assert average_instances([curves]) is curves


def test_instances_that_do_not_belong_together_are_refused(make_curves):
    base = make_curves(FLAT, FLAT)
    with pytest.raises(ValueError, match="no instances"):
        average_instances([])
    with pytest.raises(ValueError, match="differ in task"):
        average_instances([base, make_curves(FLAT, FLAT, task="other")])
    with pytest.raises(ValueError, match="no seed in common"):
        average_instances([base, make_curves(FLAT, FLAT, seeds=[5])])
    with pytest.raises(ValueError, match="cross experts"):
        average_instances([base, make_curves(FLAT, FLAT, expert_seeds=[5])])
    bins = np.zeros((1, 5))
    with pytest.raises(ValueError, match="number of training bins"):
        average_instances([base, make_curves(FLAT, FLAT, method_bins=bins, control_bins=bins)])
