"""Typed results of an analysis: per transfer task, per suite, and between methods.

Units: scores, transfer gains and depths are in points (100 x normalised AUC); AUCs, jumpstarts and asymptotic gains are
normalised returns (0: random, 1: expert); times are shares of the target budget; shares and probabilities lie in
[0, 1].
Every definition is in ``docs/metrics.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tlbench.analysis.bootstrap import Interval
from tlbench.analysis.statistics import Aggregates, Profile

NOTE_TOO_FEW_SEEDS = "too few seeds"
NOTE_ONE_SEED = "one seed: no intervals"
NOTE_NOT_TESTABLE = "control not testable"
NOTE_RATIO_DOMAIN = "ratios outside their domain"
NOTE_NO_TESTABLE_TASK = "no testable task"
NOTE_INCOMPLETE_TASKS = "scored tasks missing"
NOTE_INCOMPLETE_SEEDS = "seeds missing on some tasks"


@dataclass(frozen=True)
class TaskResult:
    """One method on one transfer task.

    Attributes:
        method: Name of the method.
        task: Transfer task.
        relation: Relation of source and target.
        scored: Whether the task enters the suite's score.
        seeds: Number of run seeds.
        experts: Number of expert seeds where they are crossed with run seeds, else None.
        score: Interquartile mean over seeds of AUC_T, points.
        control_score: The same for the control.
        auc: Seed-mean AUC_T.
        control_auc: Seed-mean AUC_C.
        transfer_gain: Mean paired difference AUC_T - AUC_C, points.
        jumpstart: Mean difference of normalised returns before learning.
        asymptotic_gain: Mean difference of normalised returns over the last tenth.
        transfer_ratio: AUC_T / AUC_C; None outside the ratios' domain, like the next two.
        contrast: (AUC_T - AUC_C) / (AUC_T + AUC_C).
        forward_transfer: (AUC_T - AUC_C) / (1 - AUC_C).
        time_to_threshold: Restricted mean time, share of the budget.
        control_time_to_threshold: The same for the control.
        share_reached: Share of seeds that reached the threshold.
        control_share_reached: The same for the control.
        speed_up: Control's restricted mean time over the method's.
        convergence: Timestep to convergence as a share of the budget; None where never or not declared.
        control_convergence: The same for the control.
        convergence_declared: Whether the task declares a highest return.
        probability_of_improvement: Unpaired probability that a run beats a control run.
        negative_share: Paired share of seeds that are worse than their control, ties half.
        negative_p_value: Exact one-sided sign-flip test of "worse than the control".
        testable: Whether the control's AUC is above 0.05 with its interval.
        negative_transfer: Outcome of Holm's test; None where the task is not in the family or has too few seeds.
        crossover: Last fraction of the budget at which the method is ahead; None if it never is.
        abstained: Number of runs in which the method abstained.
        diverged: Number of runs that diverged.
        notes: Reasons for what is not shown.
    """

    method: str
    task: str
    relation: str
    scored: bool
    seeds: int
    experts: int | None
    score: Interval
    control_score: Interval
    auc: Interval
    control_auc: Interval
    transfer_gain: Interval
    jumpstart: Interval
    asymptotic_gain: Interval
    transfer_ratio: Interval | None
    contrast: Interval | None
    forward_transfer: Interval | None
    time_to_threshold: Interval
    control_time_to_threshold: Interval
    share_reached: Interval
    control_share_reached: Interval
    speed_up: Interval
    convergence: float | None
    control_convergence: float | None
    convergence_declared: bool
    probability_of_improvement: Interval
    negative_share: Interval
    negative_p_value: float
    testable: bool
    negative_transfer: bool | None
    crossover: float | None
    abstained: int
    diverged: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GainSummary:
    """Means over the tasks that enter transfer gain: scored tasks other than ``self`` ones.

    Attributes:
        tasks: Number of tasks.
        transfer_gain: Mean of the mean paired differences, points.
        jumpstart: Mean jumpstart, normalised.
        asymptotic_gain: Mean asymptotic gain, normalised.
        time_to_threshold: Mean restricted mean time, share of the budget.
        control_time_to_threshold: The same for the control.
        share_reached: Mean share of seeds that reached the threshold.
        speed_up: Ratio of the control's to the method's mean restricted mean time.
        probability_of_improvement: Over the control, unpaired, mean over tasks.
        negative_share: Mean paired share of seeds worse than their control.
        depth: Mean of min(0, mean paired difference), points.
        negative_tasks: k: tasks with negative transfer (Holm).
        testable_tasks: m: tasks on which it could be seen.
        untestable_seeds: How many of these have too few seeds to pass.
    """

    tasks: int
    transfer_gain: Interval
    jumpstart: Interval
    asymptotic_gain: Interval
    time_to_threshold: Interval
    control_time_to_threshold: Interval
    share_reached: Interval
    speed_up: Interval
    probability_of_improvement: Interval
    negative_share: Interval
    depth: Interval
    negative_tasks: int
    testable_tasks: int
    untestable_seeds: int

    @property
    def negative_transfer(self) -> str:
        """The outcome in words: "2 of 7 testable tasks", "too few seeds" or "no testable task"."""
        if self.testable_tasks == 0:
            return NOTE_NO_TESTABLE_TASK
        if self.untestable_seeds == self.testable_tasks:
            return NOTE_TOO_FEW_SEEDS
        return f"{self.negative_tasks} of {self.testable_tasks} testable tasks"


@dataclass(frozen=True)
class SuiteResult:
    """One method on a suite.

    Attributes:
        method: Name of the method.
        seeds: Least number of run seeds on any scored task.
        tasks: Scored tasks that were run.
        missing: Scored tasks that were not.
        score: 100 x mean over scored tasks of the interquartile mean of AUC_T; None if no scored task was run.
        control_score: The same for the control.
        gain: Quantities of the transfer gain's tasks; None if none was run.
        self_gain: Mean paired difference on scored ``self`` tasks, points; None if none was run.
        pooled: rliable's aggregates of AUC_T over scored tasks; None if none was run.
        control_pooled: The same for the control.
        profile: rliable's performance profile of AUC_T over scored tasks.
        rank: Rank by score among the methods that ran all scored tasks; None if the method did not.
        abstained: Number of scored runs in which the method abstained.
        diverged: Number of scored runs that diverged.
        notes: Reasons for what is not shown.
    """

    method: str
    seeds: int
    tasks: tuple[str, ...]
    missing: tuple[str, ...]
    score: Interval | None
    control_score: Interval | None
    gain: GainSummary | None
    self_gain: Interval | None
    pooled: Aggregates | None
    control_pooled: Aggregates | None
    profile: Profile | None
    rank: Interval | None
    abstained: int
    diverged: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two methods on the scored tasks that both ran.

    Attributes:
        x: First method.
        y: Second method.
        tasks: Number of tasks.
        probability_of_improvement: Unpaired probability that a run of X beats a run of Y, mean over tasks.
    """

    x: str
    y: str
    tasks: int
    probability_of_improvement: Interval


@dataclass(frozen=True)
class Summary:
    """All results of an analysis.

    Attributes:
        tasks: One entry per method and transfer task.
        suites: One entry per method.
        repetitions: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
        confidence: Nominal coverage of every interval.
    """

    tasks: tuple[TaskResult, ...]
    suites: tuple[SuiteResult, ...]
    repetitions: int
    seed: int
    confidence: float
