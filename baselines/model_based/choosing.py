"""Which source is trained on next: drawn at random, or the one with the highest stated score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tlbench.baselines.model_based.config import MultitaskConfig
from tlbench.baselines.model_based.course import Course
from tlbench.protocol.interface import JSONValue


@dataclass(frozen=True)
class Choice:
    """A choice of the next source.

    Attributes:
        number: The source's position in the suite's list.
        scores: The candidates' scores by position; empty where it was drawn.
    """

    number: int
    scores: Mapping[int, float]

    def facts(self) -> JSONValue:
        """The scores as JSON."""
        return {str(number): score for number, score in self.scores.items()}


def choose(
    courses: Mapping[int, Course], budgets: Sequence[int], config: MultitaskConfig, rng: np.random.Generator
) -> Choice:
    """Choose among the sources that are left; candidates are warmed up to be scored, with fresh policies.

    The score is minus the return predicted after warm-up, or the models' disagreement along the way, or their relative
    error on real data that the policy of a source's first scoring collects (a source is probed once; the models go on).

    Args:
        courses: Sources left, by position.
        budgets: Units of every source.
        config: Which score, and among how many.
        rng: Draws.
    """
    left = sorted(courses)
    if config.selection == "uniform" or not courses[left[0]].shared.ready:
        return Choice(int(rng.choice(left)), {})
    drawn = rng.choice(left, min(config.candidates, len(left)), replace=False).tolist()
    scores: dict[int, float] = {}
    for number in sorted(drawn):
        course = courses[number]
        course.renew()
        course.warm_up(config.warm_up_updates)
        if config.selection == "model-error":
            scores[number] = course.probe(max(1, int(config.probe_share * budgets[number])))
        else:
            seen = course.imagine()
            scores[number] = -seen.mean_return if config.selection == "predicted-return" else seen.disagreement
    return Choice(max(scores, key=lambda number: scores[number]), scores)
