"""Which runs of a submission are run again, drawn so that a submitter can't know, and whether a document is of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from tlbench.leaderboard.entries import SHORT
from tlbench.leaderboard.submission import Submission
from tlbench.leaderboard.verification import CheckedRun, Verification
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


def check_runs(document: Verification, submission: Submission) -> None:
    """Hold a verification's runs against the submission that it is of.

    Runs of recorded seeds must be the method's own runs in the submission, with its transfer tasks, targets and seeds.
    Keys of fresh seeds are in no submission: such runs must be of its transfer tasks and targets, and of other seeds.

    Args:
        document: The verification.
        submission: The submission, read from its bundle.

    Raises:
        TlbenchError: If it is another submission's, or a run is not its.
    """
    if document.submission != submission.id:
        raise TlbenchError(f"the verification is of another submission: {document.submission[:SHORT]}")
    own = {record.key: record for record in submission.runs()}
    seeds = {record.seed for record in own.values()}
    name = f"the submission {submission.id[:SHORT]}"
    for run in document.runs:
        label = f"run {run.key[:SHORT]} ({run.transfer}, seed {run.seed})"
        if document.seeds == "fresh":
            if run.key in own or run.seed in seeds:
                raise TlbenchError(f"{label} is not of a fresh seed: {name} has it")
            if not any(_same_place(run, record) for record in own.values()):
                raise TlbenchError(f"{label} is of no transfer task and target of {name}")
        elif run.key not in own:
            raise TlbenchError(f"{label} is not a run of {name}")
        elif not _same_place(run, own[run.key]) or not _same_seeds(run, own[run.key]):
            raise TlbenchError(f"{label} has another transfer task, target or seed in {name}")


def _same_place(run: CheckedRun, record: Record) -> bool:
    return run.transfer in record.transfers and run.target == record.target


def _same_seeds(run: CheckedRun, record: Record) -> bool:
    return (run.seed, run.expert_seed) == (record.seed, record.expert_seed)


def _candidates(submission: Submission, suite: SuiteSpec) -> dict[str, str]:
    """Keys of the method's runs of scored transfer tasks (of all, if none is scored), each with its first such task."""
    runs = submission.runs()
    found: dict[str, str] = {}
    for run in runs:
        scored = [name for name in run.transfers if suite.transfers[name].scored]
        if scored:
            found[run.key] = scored[0]
    return found or {run.key: run.transfers[0] for run in runs}
