"""Which runs of a submission are run again: drawn so that a submitter can't know, and anybody can draw them again."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from tlbench.leaderboard.submission import Submission
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec

MAX_RUNS = 1000
FIRST_FRESH_SEED = 1_000_000
_FRESH_SEEDS = 1_000_000_000


@dataclass(frozen=True)
class Chosen:
    """A run to be run again.

    Attributes:
        record: The submission's run.
        transfer: The transfer task that it counts for here.
        seed: Its seed, or a fresh one.
    """

    record: Record
    transfer: str
    seed: int


def choose(submission: Submission, suite: SuiteSpec, runs: int, draw: int, *, fresh: bool = False) -> list[Chosen]:
    """Draw runs: transfer tasks in turn, seeds as different as can be, both in an order that follows from the draw.

    Args:
        submission: A validated submission.
        suite: Its suite.
        runs: How many.
        draw: The number that the choice follows from, with the submission's id. It must not be known to the submitter:
            an id can be changed until its choice is convenient.
        fresh: Give each run a seed outside the suite's.

    Raises:
        TlbenchError: If there are not as many.
    """
    left = _candidates(submission, suite)
    most = min(len(left), MAX_RUNS)
    if not 1 <= runs <= most:
        raise TlbenchError(f"--runs must be 1 to {most}, the submission's runs of scored transfer tasks, not {runs}")

    def place(*what: object) -> str:
        return hashlib.sha256(" ".join(map(str, (submission.id, draw, *what))).encode()).hexdigest()

    transfers = sorted(set(left.values()), key=place)
    by_key = {r.key: r for r in submission.runs()}
    seeds: Counter[int] = Counter()
    first = FIRST_FRESH_SEED + int(place("fresh"), 16) % _FRESH_SEEDS
    chosen: list[Chosen] = []
    while len(chosen) < runs:
        for transfer in transfers:
            there = [by_key[key] for key, name in left.items() if name == transfer]
            if there and len(chosen) < runs:
                record = min(there, key=lambda r: (seeds[r.seed], place(r.seed), place(r.key)))
                seeds[record.seed] += 1
                del left[record.key]
                chosen.append(Chosen(record, transfer, first + len(chosen) if fresh else record.seed))
    return chosen


def _candidates(submission: Submission, suite: SuiteSpec) -> dict[str, str]:
    """Keys of the method's runs of scored transfer tasks (of all, if none is scored), each with its first such task.

    A method's runs without knowledge, where it is its own control, are not among them.
    """
    runs = submission.runs()
    carrying = any(r.knowledge_key for r in runs)
    found: dict[str, str] = {}
    for run in runs:
        scored = [name for name in run.transfers if suite.transfers[name].scored]
        if scored and (run.knowledge_key or not carrying):
            found[run.key] = scored[0]
    return found or {run.key: run.transfers[0] for run in runs}
