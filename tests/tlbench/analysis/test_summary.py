import numpy as np
import pytest

from tlbench.analysis import metrics
from tlbench.analysis.bootstrap import Bootstrap, Interval
from tlbench.analysis.curves import normalise
from tlbench.analysis.results import (
    NOTE_INCOMPLETE_SEEDS,
    NOTE_INCOMPLETE_TASKS,
    NOTE_NO_TESTABLE_TASK,
    NOTE_NOT_TESTABLE,
    NOTE_ONE_SEED,
    NOTE_RATIO_DOMAIN,
    NOTE_TOO_FEW_SEEDS,
)
from tlbench.analysis.summary import compare, summarise
from tlbench.analysis.task_results import run_values

FAST = Bootstrap(400)


def flat(levels, points=5):
    """Constant curves, one per level: their AUC is the level over 100."""
    return np.repeat(np.asarray(levels, float)[:, None], points, axis=1)


def noisy(rng, level, runs=10, points=11):
    return level + rng.normal(0, 5, (runs, points))


@pytest.fixture
def task(make_curves):
    def build(method, control, **changes):
        return make_curves(flat(method), flat(control), **changes)

    return build


def only(summary):
    return summary.tasks[0], summary.suites[0]


def test_every_quantity_of_one_task_by_hand(make_curves):
    method = [[20, 40, 80, 100, 100], [0, 20, 60, 100, 100]]
    control = [[0, 0, 40, 80, 100], [0, 40, 40, 40, 40]]
    curves = make_curves(method, control, max_return=100.0, method_bins=[[1, 100, 100, 100], [1, 2, 100, 100]])
    row, suite = only(summarise({"m": [curves]}, FAST))
    # AUC_T: 0.7, 0.575 (trapezoids over four intervals); AUC_C: 0.425, 0.35.
    assert row.auc.estimate == pytest.approx((0.7 + 0.575) / 2)
    assert row.control_auc.estimate == pytest.approx((0.425 + 0.35) / 2)
    assert row.score.estimate == pytest.approx(63.75)
    assert row.control_score.estimate == pytest.approx(38.75)
    assert row.transfer_gain.estimate == pytest.approx(25)
    assert row.jumpstart.estimate == pytest.approx(0.1)
    assert row.asymptotic_gain.estimate == pytest.approx(0.3)
    assert row.transfer_ratio.estimate == pytest.approx(0.6375 / 0.3875)
    assert row.contrast.estimate == pytest.approx(0.25 / 1.025)
    assert row.forward_transfer.estimate == pytest.approx(0.25 / 0.6125)
    # Means of three: 46.7, 73.3, 93.3 and 26.7, 60, 86.7: both at the last point; the control never.
    assert row.time_to_threshold.estimate == 1.0
    assert (row.share_reached.estimate, row.control_share_reached.estimate) == (1.0, 0.0)
    assert row.speed_up.estimate == 1.0
    assert (row.convergence, row.control_convergence) == (0.75, None)
    assert row.negative_share.estimate == 0.0
    assert row.negative_p_value == 1.0
    assert row.probability_of_improvement.estimate == 1.0
    assert row.crossover == 1.0
    assert suite.score.estimate == pytest.approx(63.75)
    assert suite.gain.transfer_gain.estimate == pytest.approx(25)
    assert suite.gain.depth.estimate == 0


def test_the_suites_estimates_are_the_metrics_on_the_curves(make_curves):
    rng = np.random.default_rng(0)
    relations = ["close", "far", "self", "close"]
    tasks = [
        make_curves(noisy(rng, 60 - 10 * i), noisy(rng, 50), task=f"t{i}", relation=r) for i, r in enumerate(relations)
    ]
    tasks.append(make_curves(noisy(rng, 0), noisy(rng, 50), task="study", scored=False))
    suite = summarise({"m": tasks}, FAST).suites[0]

    def aucs(curves, arm):
        return metrics.auc(normalise(getattr(curves, arm), 0, 100), curves.fractions)

    gain = [t for t in tasks if t.in_gain]
    differences = [float(np.mean(aucs(t, "method") - aucs(t, "control"))) for t in gain]
    assert suite.tasks == ("t0", "t1", "t2", "t3")
    assert suite.score.estimate == pytest.approx(metrics.score([aucs(t, "method") for t in tasks[:4]]))
    assert suite.gain.transfer_gain.estimate == pytest.approx(
        metrics.transfer_gain([aucs(t, "method") for t in gain], [aucs(t, "control") for t in gain])
    )
    assert suite.gain.depth.estimate == pytest.approx(metrics.depth(differences))
    assert suite.gain.tasks == 3
    same = aucs(tasks[2], "method") - aucs(tasks[2], "control")
    assert suite.self_gain.estimate == pytest.approx(100 * same.mean())
    for interval in (suite.score, suite.gain.transfer_gain, suite.gain.speed_up, suite.pooled.iqm):
        assert interval.low <= interval.estimate <= interval.high


def test_the_suites_speed_up_is_the_ratio_of_mean_restricted_means(make_curves):
    slow, fast = [0, 0, 0, 0, 0], [90, 90, 90, 90, 90]
    tasks = [
        make_curves([fast] * 3, [slow] * 3, task="a"),  # 0.5 against 1
        make_curves([slow] * 3, [slow] * 3, task="b"),  # 1 against 1
    ]
    gain = summarise({"m": tasks}, FAST).suites[0].gain
    assert gain.speed_up == Interval(pytest.approx(2 / 1.5), pytest.approx(2 / 1.5), pytest.approx(2 / 1.5))
    assert (gain.time_to_threshold.estimate, gain.control_time_to_threshold.estimate) == (0.75, 1.0)
    assert gain.share_reached.estimate == 0.5


def test_depth_and_its_interval_are_at_most_zero(task):
    rng = np.random.default_rng(0)
    control = np.full(10, 50.0)
    tasks = [
        task(control + 30 + rng.normal(0, 5, 10), control, task="better"),
        task(control - 20 + rng.normal(0, 5, 10), control, task="worse"),
    ]
    depth = summarise({"m": tasks}, FAST).suites[0].gain.depth
    assert depth.low < depth.estimate < depth.high < 0
    assert depth.estimate == pytest.approx(-10, abs=2.5)


def test_run_values_are_the_metrics(make_curves):
    curves = make_curves(np.random.default_rng(0).uniform(0, 100, (4, 9)), flat([50] * 4, 9))
    values = run_values(curves)
    assert values["negative_share"].mean() == metrics.negative_share(values["transfer_gain"])
    assert values["time_to_threshold"].mean() == metrics.restricted_mean(values["time_to_threshold"])


def test_one_seed_has_estimates_and_no_intervals(task):
    row, suite = only(summarise({"m": [task([60], [40])]}, FAST))
    assert row.transfer_gain == Interval(pytest.approx(20), None, None)
    assert suite.score == Interval(pytest.approx(60), None, None)
    assert not row.testable
    assert NOTE_ONE_SEED in row.notes
    assert {NOTE_ONE_SEED, NOTE_NO_TESTABLE_TASK} <= set(suite.notes)
    assert suite.gain.negative_transfer == "no testable task"


def test_negative_transfer_is_found_where_it_is(task):
    rng = np.random.default_rng(0)
    control = 60 + rng.normal(0, 2, 10)
    tasks = [task(control - 20 * (i < 2), control, task=f"t{i}") for i in range(4)]
    summary = summarise({"m": tasks}, FAST)
    assert [row.negative_transfer for row in summary.tasks] == [True, True, False, False]
    assert summary.tasks[0].negative_p_value == pytest.approx(1 / 1024)
    assert [row.negative_share.estimate for row in summary.tasks] == [1, 1, 0.5, 0.5]
    gain = summary.suites[0].gain
    assert gain.negative_transfer == "2 of 4 testable tasks"
    assert gain.depth.estimate == pytest.approx(-10)


def test_self_unscored_and_untestable_tasks_are_outside_the_family(task):
    control, worse = np.full(10, 60.0), np.full(10, 30.0)
    tasks = [
        task(worse, control, task="same", relation="self"),
        task(worse, control, task="study", scored=False),
        task(worse - 30, worse - 29, task="hopeless"),
        task(worse, control, task="far"),
    ]
    summary = summarise({"m": tasks}, FAST)
    assert [row.negative_transfer for row in summary.tasks] == [None, None, None, True]
    assert NOTE_NOT_TESTABLE in summary.tasks[2].notes
    assert summary.suites[0].gain.negative_transfer == "1 of 1 testable tasks"


def test_too_few_seeds_is_said(task):
    control = np.array([60.0, 61, 62, 63])
    row, suite = only(summarise({"m": [task(control - 30, control)]}, FAST))
    assert row.testable
    assert row.negative_transfer is None
    assert NOTE_TOO_FEW_SEEDS in row.notes
    assert NOTE_TOO_FEW_SEEDS in suite.notes
    assert suite.gain.negative_transfer == "too few seeds"


def test_no_testable_task(task):
    suite = summarise({"m": [task([50] * 10, [0] * 10)]}, FAST).suites[0]
    assert suite.gain.negative_transfer == "no testable task"
    assert NOTE_NO_TESTABLE_TASK in suite.notes


@pytest.mark.parametrize(("method", "control"), [(50, 96), (50, 0), (-20, 50)])
def test_ratios_are_hidden_outside_their_domain(task, method, control):
    row = summarise({"m": [task([method] * 5, [control] * 5)]}, FAST).tasks[0]
    assert row.transfer_ratio is None
    assert row.contrast is None
    assert row.forward_transfer is None
    assert NOTE_RATIO_DOMAIN in row.notes


def test_equal_arms_are_ties(task):
    row = summarise({"m": [task([50, 60, 70], [50, 60, 70])]}, FAST).tasks[0]
    assert row.transfer_gain == Interval(0, 0, 0)
    assert row.negative_share == Interval(0.5, 0.5, 0.5)
    assert row.probability_of_improvement.estimate == 0.5
    assert (row.speed_up.estimate, row.crossover, row.negative_p_value) == (1.0, None, 1.0)


def test_abstaining_runs_have_no_gain_and_are_counted(task):
    row, suite = only(summarise({"m": [task([0, 0, 90], [50, 60, 70], abstained=[1, 1, 0])]}, FAST))
    assert row.transfer_gain.estimate == pytest.approx(20 / 3)
    assert (row.abstained, suite.abstained) == (2, 2)


def test_diverged_runs_are_counted(task):
    row, suite = only(summarise({"m": [task([0, 80], [50, 50], diverged=[1, 0])]}, FAST))
    assert (row.diverged, suite.diverged) == (1, 1)


def test_a_methods_results_do_not_depend_on_its_company(make_curves):
    rng = np.random.default_rng(0)
    a = [make_curves(noisy(rng, 60), noisy(rng, 50), task=f"t{i}") for i in range(2)]
    b = [make_curves(noisy(rng, 40, 5), noisy(rng, 50, 5), task=f"t{i}", seeds=range(50, 55)) for i in range(2)]
    alone, together = summarise({"a": a}, Bootstrap(400)), summarise({"b": b, "a": a}, Bootstrap(400))
    assert alone.suites[0].score == together.suites[1].score
    assert alone.suites[0].gain == together.suites[1].gain
    assert alone.tasks == together.tasks[2:]


def test_results_repeat(make_curves):
    rng = np.random.default_rng(0)
    tasks = [make_curves(noisy(rng, 60), noisy(rng, 50))]
    assert summarise({"a": tasks}, Bootstrap(300)).tasks == summarise({"a": tasks}, Bootstrap(300)).tasks


def test_joint_intervals_are_wider_where_seeds_are_shared(make_curves):
    rng = np.random.default_rng(0)
    effect = rng.normal(0, 20, 10)
    tasks = [make_curves(flat(50 + effect), flat([50] * 10), task=f"t{i}") for i in range(6)]
    joint = summarise({"a": tasks}, Bootstrap(2000)).suites[0].score
    independent = summarise({"a": tasks}, Bootstrap(2000, joint=False)).suites[0].score
    assert joint.estimate == independent.estimate
    assert joint.high - joint.low > 1.8 * (independent.high - independent.low)


def test_ranks_and_missing_tasks(make_curves):
    rng = np.random.default_rng(0)
    levels = {"low": 30, "high": 80, "middle": 50}
    curves = {
        name: [make_curves(noisy(rng, level), noisy(rng, 40), task=t) for t in ("t0", "t1")]
        for name, level in levels.items()
    }
    curves["partial"] = curves["high"][:1]
    by_name = {s.method: s for s in summarise(curves, FAST).suites}
    assert [by_name[name].rank.estimate for name in levels] == [3, 1, 2]
    assert by_name["high"].rank == Interval(1, 1, 1)
    assert by_name["partial"].rank is None
    assert by_name["partial"].missing == ("t1",)
    assert NOTE_INCOMPLETE_TASKS in by_name["partial"].notes
    suite = summarise({"high": curves["high"]}, FAST, scored_tasks=["t0", "t1", "t2"]).suites[0]
    assert suite.missing == ("t2",)
    assert suite.rank is None


def test_a_resample_without_a_tasks_seeds_ranks_nobody(make_curves):
    tasks = ("t0", "t1")
    good = [make_curves(flat([90] * 5), flat([50] * 5), task=t) for t in tasks]
    good[1] = make_curves(flat([90]), flat([50]), task="t1")  # has run on one seed of five
    bad = [make_curves(flat([10] * 5), flat([50] * 5), task=t) for t in tasks]
    ranks = {s.method: s.rank for s in summarise({"good": good, "bad": bad}, FAST).suites}
    assert ranks == {"good": Interval(1), "bad": Interval(2, 2, 2)}


def test_identical_methods_share_their_rank(make_curves):
    rng = np.random.default_rng(0)
    tasks = [make_curves(noisy(rng, 60), noisy(rng, 50))]
    ranks = [s.rank for s in summarise({"a": tasks, "b": tasks}, FAST).suites]
    assert ranks == [Interval(1.5, 1.5, 1.5)] * 2


def test_missing_seeds_are_defined_and_said(make_curves):
    rng = np.random.default_rng(0)
    full = make_curves(noisy(rng, 60), noisy(rng, 50), task="full")
    part = make_curves(noisy(rng, 40, 3), noisy(rng, 50, 3), task="part", seeds=[1, 5, 9])
    summary = summarise({"m": [full, part]}, Bootstrap(2000))
    suite = summary.suites[0]
    assert NOTE_INCOMPLETE_SEEDS in suite.notes
    assert suite.seeds == 3
    assert [row.seeds for row in summary.tasks] == [10, 3]
    for interval in (suite.score, suite.gain.transfer_gain, suite.pooled.median, summary.tasks[1].auc):
        assert interval.low < interval.estimate < interval.high


def test_no_scored_task_and_no_task_at_all(task):
    suite = summarise({"m": [task([50, 60], [40, 40], scored=False)]}, FAST).suites[0]
    assert (suite.score, suite.gain, suite.self_gain, suite.pooled, suite.profile, suite.rank) == (None,) * 6
    empty = summarise({"m": []}, FAST).suites[0]
    assert (empty.score, empty.tasks, empty.seeds) == (None, (), 0)
    assert summarise({}, FAST).suites == ()


def test_only_self_tasks_have_no_gain(task):
    suite = summarise({"m": [task([50, 60], [40, 40], relation="self")]}, FAST).suites[0]
    assert suite.gain is None
    assert suite.self_gain.estimate == pytest.approx(15)
    assert suite.score is not None


def test_a_task_twice_is_refused(task):
    with pytest.raises(ValueError, match="'m' has a transfer task twice"):
        summarise({"m": [task([1], [1]), task([1], [1])]}, FAST)


def test_crossed_experts_widen_intervals(make_curves):
    seeds, experts = np.repeat(range(5), 3), np.tile(range(3), 5)
    level = 50 + 10.0 * experts  # all variation between experts
    crossed = make_curves(flat(level), flat([40] * 15), seeds=seeds, expert_seeds=experts)
    row, suite = only(summarise({"m": [crossed]}, Bootstrap(2000)))
    assert (row.seeds, row.experts) == (5, 3)
    assert (row.auc.low, row.auc.high) == pytest.approx((0.5, 0.7))
    assert suite.score.high > suite.score.low
    assert row.negative_p_value == 1.0


def test_comparison_of_two_methods(make_curves):
    rng = np.random.default_rng(0)
    curves = {
        name: [make_curves(noisy(rng, level), noisy(rng, 50), task=t) for t in ("t0", "t1")]
        for name, level in (("a", 60), ("b", 60), ("c", 10))
    }
    curves["other"] = [make_curves(noisy(rng, 60), noisy(rng, 50), task="elsewhere")]
    close, far = compare("a", "b", curves, FAST), compare("a", "c", curves, FAST)
    assert close.tasks == 2
    assert close.probability_of_improvement.low < 0.5 < close.probability_of_improvement.high
    assert far.probability_of_improvement == Interval(1, 1, 1)
    assert compare("a", "other", curves, FAST) is None
    back = compare("b", "a", curves, FAST).probability_of_improvement.estimate
    assert back == pytest.approx(1 - close.probability_of_improvement.estimate)
