"""What the columns, notes and intervals of a report mean, in a sentence each."""

from __future__ import annotations

from tlbench.analysis.results import (
    NOTE_INCOMPLETE_SEEDS,
    NOTE_INCOMPLETE_TASKS,
    NOTE_NO_TESTABLE_TASK,
    NOTE_NOT_TESTABLE,
    NOTE_ONE_SEED,
    NOTE_RATIO_DOMAIN,
    NOTE_TOO_FEW_SEEDS,
)

WORDS = {
    "control": "The same learner on the same target, seed and budget, without knowledge.",
    "normalised return": "(return - random) / (expert - random): 0 is the uniform policy, 1 the reference expert; both "
    "are frozen in the suite.",
    "AUC": "Mean of the normalised return over the target budget (trapezoid rule), clipped to [-1, 1.2], per run.",
    "IQM": "Interquartile mean: the mean without the lowest and the highest quarter of the runs.",
}
"""Words that the definitions use."""

SUITE = {
    "method": "How knowledge leaves the source and enters the target, with its learner.",
    "rank": "By score, among the methods shown that ran every scored task; ties share the mean rank.",
    "score": "100 x mean over scored tasks of the IQM over seeds of the AUC.",
    "control score": "The control's score on the same tasks.",
    "transfer gain": "100 x mean, over scored tasks other than self, of the mean paired difference in AUC to the "
    "control.",
    "self gain": "The same over scored self tasks (source and target are one task).",
    "negative transfer": "Number of testable tasks on which the method is worse than its control (one-sided sign-flip "
    "test, Holm's correction at 0.05).",
    "depth": "Mean over the gain's tasks of min(0, transfer gain): how much is lost where it is lost.",
    "jumpstart": "Difference to the control in normalised return before learning, mean over the gain's tasks.",
    "asymptotic gain": "Difference to the control in normalised return over the last tenth of the budget, same mean.",
    "speed-up": "Control's over method's mean time to threshold, over the gain's tasks; above 1 is faster.",
    "P(improvement over control)": "Probability that a random run has a higher AUC than a random run of the control "
    "(unpaired), mean over the gain's tasks.",
    "pooled IQM": "IQM of the AUC of all runs on all scored tasks together.",
    "optimality gap": "1 - mean of min(AUC, 1) over scored tasks; lower is better.",
    "seeds": "Least number of run seeds on any scored task.",
    "tasks": "Scored tasks that were run.",
}
"""Columns of the suite's table."""

TASKS = {
    "method": SUITE["method"],
    "transfer task": "Source and target with a relation and fixed budgets.",
    "relation": "How source and target are related. Unscored tasks enter nothing but their own row.",
    "score": "100 x IQM over seeds of the AUC.",
    "control score": "The same for the control.",
    "transfer gain": "100 x mean paired difference in AUC to the control with the same seed.",
    "jumpstart": "Mean difference to the control in normalised return before learning.",
    "asymptotic gain": "Mean difference to the control in normalised return over the last tenth of the budget.",
    "transfer ratio": "Mean AUC / the control's mean AUC, where both are above 0.05 and the control's is below 0.95.",
    "forward transfer": "(mean AUC - control's) / (1 - control's), where the transfer ratio is defined.",
    "time to threshold": "Share of the target budget after which the mean of a window of evaluation points reaches the "
    "threshold; 1 for seeds that never do.",
    "speed-up": "Control's over method's mean time to threshold; above 1 is faster.",
    "share reached": "Share of seeds that reached the threshold.",
    "P(worse than control)": "Share of seeds with a lower AUC than the control with the same seed; ties count half.",
    "negative transfer": "Outcome of the one-sided sign-flip test of 'worse than the control' with Holm's correction "
    "at 0.05 over the method's testable tasks.",
    "ahead until": "Last share of the budget at which the smoothed mean curve is ahead of the control's.",
    "seeds": "Number of run seeds.",
}
"""Columns of the table of transfer tasks."""

COMPARISONS = {
    "X": "First method.",
    "Y": "Second method.",
    "P(X > Y)": "Probability that a random run of X has a higher AUC than a random run of Y (unpaired; ties half), "
    "mean over tasks.",
    "tasks": "Scored tasks that both ran.",
}
"""Columns of the table of comparisons."""

BASE_MODELS = {
    "method": SUITE["method"],
    "transfer task": TASKS["transfer task"],
    "base model": 'Seed of the expert that the transfers start from; "one each" where every run has its own.',
    "runs": "Number of transfers from it.",
    "aligned": "Transfers that end with the base model's embedding: their alignment is at least the threshold.",
    "share aligned": "Their share, with Wilson's 95 % interval (it takes the base model as given).",
    "mirrored": "Of the others, those whose embedding scores at least 0.5 once it is reflected or turned by a right "
    "angle or more, both being centred.",
    "swapped": "Of the others, those in which the maze's left and right half have changed sides, at least half as far "
    "apart as in the base model.",
    "distance": "Mean distance of a state's embedding from the base model's, in units of the mean distance of two "
    "different states there.",
    "mean score": "100 x mean AUC of the transfers; the interval draws seeds alone.",
}
"""Columns of the table of base models."""

PREDICTIONS = {
    "method": SUITE["method"],
    "transfer task": TASKS["transfer task"],
    "runs": "Runs whose records say what their model predicted; instances of a family are averaged by seed.",
    "predicted return": "Mean return of the policy in the learned model, before the first sample of the task.",
    "return at 0 %": "Mean return of the same policy in the task itself.",
    "difference": "The first minus the second: above 0 the model promises too much.",
}
"""Columns of the table of predictions."""

SETTINGS = {
    "method": SUITE["method"],
    "transfer task": TASKS["transfer task"],
    "score": TASKS["score"],
    "control score": "The same for the control, which has its learner's default settings.",
    "transfer gain": TASKS["transfer gain"],
    "seeds": TASKS["seeds"],
}
"""Columns of the table by setting, but for the setting's own."""

SETTING = "The value of this setting."

NOTES = {
    NOTE_TOO_FEW_SEEDS: "with so few seeds the corrected test could not find negative transfer, whatever the data",
    NOTE_ONE_SEED: "an interval needs two seeds",
    NOTE_NOT_TESTABLE: "the control's AUC is not above 0.05 with its interval: negative transfer could not be seen",
    NOTE_RATIO_DOMAIN: "an AUC is too close to 0, or the control's too close to 1",
    NOTE_NO_TESTABLE_TASK: "negative transfer can't be tested",
    NOTE_INCOMPLETE_TASKS: "means are over the tasks that were run; not ranked",
    NOTE_INCOMPLETE_SEEDS: "tasks differ in their seeds",
}
"""Notes of the results, explained."""

QUICK = "quick form: a picture, not a result; it can't be submitted"


def intervals(repetitions: int, band_repetitions: int, seed: int, confidence: float) -> str:
    """How intervals were made."""
    percent = round(100 * confidence)
    return (
        f"All intervals are {percent} % percentile bootstrap intervals from {repetitions:,} resamples (bands of "
        f"curves: {band_repetitions:,}, pointwise; bootstrap seed {seed}). A resample draws run seeds jointly for all "
        "tasks, methods and controls, since runs with the same seed share their expert and control; where experts are "
        "crossed with run seeds, both are drawn. Percentile levels are expanded for few seeds (Hesterberg 2015). With "
        "one seed there is no interval."
    )
