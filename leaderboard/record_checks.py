"""Holds one record against its suite: budgets, schedule, numbers, and what its text may be."""

from __future__ import annotations

import math
import re
from typing import Any

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import CONTROL_PREFIX, IDENTIFIER, Configured, Record
from tlbench.protocol.specs import EXTRACTION_ALLOWANCE, Schedule, SuiteSpec, TaskSpec

TRAINING_BINS = 100
LARGEST_RETURN = 1e12
LARGEST_COUNT = 10**12
_TOLERANCE = 1e-6
_KEY = re.compile(r"[0-9a-f]{64}")


def label(record: Record) -> str:
    """A record for people."""
    learner = record.learner.id if record.learner else "no learner"
    name = f"expert {learner}" if record.kind == "expert" else record.method.id if record.method else "a run"
    return f"{name} on {record.target}, seed {record.seed}"[:200]


def check_record(record: Record, suite: SuiteSpec) -> None:
    """Check all that one record shows by itself.

    Raises:
        TlbenchError: One line that says which record is wrong, and how.
    """
    try:
        _check_names(record, suite)
        task = suite.tasks[record.target]
        _check_steps(record, suite, task)
        _check_curve(record, task)
        _check_training(record)
        _check_provenance(record)
    except _RefusedError as error:
        raise TlbenchError(f"{label(record)!a}: {error}"[:500]) from None


class _RefusedError(Exception):
    pass


def _refuse_if(condition: bool, reason: str) -> None:
    if condition:
        raise _RefusedError(reason)


def _check_names(record: Record, suite: SuiteSpec) -> None:
    _refuse_if(record.target not in suite.tasks, f"the suite has no task {record.target[:80]!a}")
    keys = (record.key, record.config_hash, record.knowledge_key, record.control_key)
    _refuse_if(any(key is not None and not _KEY.fullmatch(key) for key in keys), "a key is no SHA-256")
    role = "source" if record.kind == "expert" else "target"
    _refuse_if(getattr(suite.tasks[record.target], role) is None, f"{record.target} is no {role} in the suite")
    for configured in (record.method, record.learner):
        _check_configured(configured)
    if record.kind == "expert":
        unwanted = (record.method, record.knowledge_key, record.control_key, record.expert_seed)
        odd = any(value is not None for value in unwanted) or bool(record.transfers or record.sources or record.experts)
        _refuse_if(odd or record.learner is None, "an expert has a learner, and neither method nor knowledge")
        return
    if record.method is None or record.control_key is None:
        raise _RefusedError("a run needs a method and a control")
    method, learner = record.method.id, record.learner.id if record.learner else None
    reserved = method.startswith(CONTROL_PREFIX) and method != f"{CONTROL_PREFIX}{learner}"
    _refuse_if(reserved, f"ids that begin with {CONTROL_PREFIX} are kept for learning from scratch")
    _check_transfers(record, suite)


def _check_configured(configured: Configured | None) -> None:
    if configured is not None:
        named = IDENTIFIER.fullmatch(configured.id) and IDENTIFIER.fullmatch(configured.version)
        _refuse_if(not named, "the id or version of a method or learner has characters that are not allowed")
        _refuse_if(configured.code is not None and not _KEY.fullmatch(configured.code), "code is no SHA-256")


def _check_transfers(record: Record, suite: SuiteSpec) -> None:
    knowledge = record.knowledge_key is not None
    _refuse_if(not 0 <= record.seed < suite.seeds, f"the suite has seeds 0 to {suite.seeds - 1}")
    _refuse_if(not record.transfers, "the run serves no transfer task")
    _refuse_if(len(set(record.transfers)) != len(record.transfers), "a transfer task is named twice")
    for name in record.transfers:
        spec = suite.transfers.get(name)
        if spec is None:
            raise _RefusedError(f"the suite has no transfer task {name[:80]!a}")
        _refuse_if(record.target not in spec.targets, f"{record.target} is no target of {name}")
        taken = (spec.sources, spec.sources[:1])  # a method may take the first source alone
        _refuse_if(knowledge and record.sources not in taken, f"its sources are not those of {name}")
        seeds = spec.expert_seeds or (record.seed,)
        _refuse_if(knowledge and record.expert_seed not in seeds, f"its expert seed is none of {name}'s")
    unfounded = bool(record.sources or record.experts or record.abstained) or record.expert_seed is not None
    _refuse_if(not knowledge and unfounded, "it names sources or experts but has no knowledge")
    control = record.method is not None and record.method.id.startswith(CONTROL_PREFIX)
    _refuse_if(knowledge and control, "learning from scratch uses no knowledge")


def _check_steps(record: Record, suite: SuiteSpec, task: TaskSpec) -> None:
    steps = record.steps
    _refuse_if(steps.unit != task.unit, f"its steps are {steps.unit}, the task counts {task.unit}")
    gradient = record.gradient_steps
    _refuse_if(gradient is not None and not 0 <= gradient <= LARGEST_COUNT, "its gradient steps are out of range")
    if record.kind == "expert":
        budget = task.schedule("source").budget
        _refuse_if(steps.source > budget, f"budget violated: {steps.source:,} source steps of {budget:,}")
        _refuse_if(bool(steps.extraction or steps.target), "an expert's steps are source steps")
        return
    budget = task.schedule("target").budget
    _refuse_if(steps.target > budget, f"budget violated: {steps.target:,} target steps of {budget:,}")
    budgets = [suite.tasks[name].schedule("source").budget for name in record.sources]
    allowance = sum(int(EXTRACTION_ALLOWANCE * b) for b in budgets) if record.experts else 0
    _refuse_if(steps.extraction > allowance, f"budget violated: {steps.extraction:,} extraction steps of {allowance:,}")
    if not record.experts:
        total = sum(budgets)
        _refuse_if(steps.source > total, f"budget violated: {steps.source:,} source steps of {total:,}")


def _check_curve(record: Record, task: TaskSpec) -> None:
    expert = record.kind == "expert"
    schedule: Schedule = task.schedule("source" if expert else "target")
    fractions = schedule.source_fractions() if expert else schedule.target_fractions()
    spent = record.steps.source if expert else record.steps.target
    points = len(record.curve)
    fits = (points < schedule.points and (expert or points > 0)) if record.diverged else points == schedule.points
    _refuse_if(
        not fits, f"its curve has {points} points, the schedule {schedule.points} (fewer only where it diverged)"
    )
    highest = LARGEST_RETURN if task.max_return is None else task.max_return + _TOLERANCE * max(1, abs(task.max_return))
    before = 0
    for number, (point, fraction) in enumerate(zip(record.curve, fractions, strict=False)):
        where = f"point {number}"
        _refuse_if(point.fraction != fraction, f"{where} is at fraction {point.fraction}, the schedule says {fraction}")
        due = math.ceil(round(fraction * schedule.budget, 6))
        early = point.count < due and (point.count != spent or record.diverged)
        _refuse_if(early, f"{where} was taken at count {point.count}, due at {due}")
        _refuse_if(not before <= point.count <= spent, f"{where} was taken at count {point.count}, of {spent} in all")
        _refuse_if(not expert and number == 0 and point.count != 0, "its first point was taken after learning began")
        before = point.count
        episodes = {len(point.returns), len(point.lengths)}
        _refuse_if(episodes != {schedule.episodes}, f"{where} has not {schedule.episodes} episodes with lengths")
        _refuse_if(any(not math.isfinite(value) for value in point.returns), f"{where} has a return that is not finite")
        _refuse_if(any(abs(value) > LARGEST_RETURN for value in point.returns), f"{where} has a return too large")
        _refuse_if(max(point.returns) > highest, f"{where} has a return above the task's highest, {task.max_return}")
        _refuse_if(not all(1 <= n <= LARGEST_COUNT for n in point.lengths), f"{where} has an impossible length")


def _check_training(record: Record) -> None:
    returns, episodes = record.training.returns, record.training.episodes
    _refuse_if(
        len(returns) != TRAINING_BINS or len(episodes) != TRAINING_BINS,
        f"its training has {len(returns)} bins, not {TRAINING_BINS}",
    )
    for value, count in zip(returns, episodes, strict=True):
        _refuse_if(not 0 <= count <= LARGEST_COUNT, "a training bin has an impossible number of episodes")
        _refuse_if(value is not None and count == 0, "a training bin has a return but no episode")
        bad = value is not None and not abs(value) <= LARGEST_RETURN
        _refuse_if(bad, "a training bin's return is not finite or too large")


def _check_provenance(record: Record) -> None:
    def plain(value: Any) -> bool:
        if isinstance(value, str):
            return len(value) <= 200 and value.isprintable()
        return value is None or isinstance(value, bool | int | float)

    def named(values: dict[Any, Any]) -> bool:
        return len(values) <= 50 and all(
            isinstance(key, str) and len(key) <= 80 and key.isprintable() for key in values
        )

    content = dict(record.provenance)
    parts = [value for value in content.values() if isinstance(value, dict)]
    flat = [value for value in content.values() if not isinstance(value, dict)]
    flat += [value for part in parts for value in part.values()]
    fine = named(content) and all(named(part) for part in parts) and all(plain(value) for value in flat)
    _refuse_if(not fine, "its provenance holds more than short facts")
    wall = content.get("wall_seconds", 0.0)
    number = isinstance(wall, int | float) and not isinstance(wall, bool)
    _refuse_if(not number or not 0 <= wall <= LARGEST_COUNT, "its wall time is no time")
