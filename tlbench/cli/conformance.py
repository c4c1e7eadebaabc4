"""``tlbench check``: small runs of a method in guarded processes, and what they show, check by check."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gymnasium import spaces
from pydantic import BaseModel

from tlbench.execution.checks import Check, Problem, Sight, problem_of
from tlbench.execution.conformance import watch
from tlbench.execution.guard import GuardError, guarded, live
from tlbench.execution.plan import ExpertNode, KnowledgeNode, Node, Plan, RunNode, make_plan
from tlbench.execution.selection import MethodChoice, configured
from tlbench.execution.store import Store
from tlbench.execution.support import interface_of, unsupported
from tlbench.execution.work import Job, work
from tlbench.protocol.specs import Schedule, SuiteSpec, canonical_json
from tlbench.protocol.starting_point import StartingPointMethod

T = TypeVar("T")

STARTING_SECONDS = 120.0
POINTS, MORE_POINTS, EPISODES = 2, 11, 2
STOCHASTIC = frozenset({"random"})
"""Methods whose policy draws its actions: the protocol's one exception to deterministic evaluation."""

HINTS = {
    Check.DETERMINISTIC: "draw all randomness from ctx.rng() or generators seeded with ctx.seed",
    Check.POINTS: "act() and frozen() must leave the policy and its generators as they are",
}


@dataclass
class Report:
    """What a check showed.

    Attributes:
        method: The method's id, or what was asked for where it can't be loaded.
        transfers: Transfer tasks that were run, by kind.
        problems: What is wrong, with the places (transfer tasks, sources) where it was seen.
        reached: Checks that could be made.
        remarks: What a reader should know of checks that passed, and where.
    """

    method: str
    transfers: dict[str, str] = field(default_factory=dict)
    problems: dict[Problem, list[str]] = field(default_factory=dict)
    reached: set[Check] = field(default_factory=set)
    remarks: dict[Check, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything was checked and nothing is wrong."""
        return not self.problems and self.reached == set(Check)

    def failed(self) -> dict[Check, list[str]]:
        """Messages by the check that failed."""
        failed: dict[Check, list[str]] = {}
        for problem in self.problems:
            failed.setdefault(problem.check, []).append(problem.message)
        return failed

    def note(self, problems: Iterable[Problem], place: str = "") -> None:
        """Add problems that were seen in a place."""
        for problem in problems:
            places = self.problems.setdefault(problem, [])
            if place and place not in places:
                places.append(place)


def check_method(
    reference: str,
    suite: SuiteSpec,
    *,
    settings: Mapping[str, Any] | None = None,
    tasks: Sequence[str] | None = None,
    budget: int = 4000,
    wall_limit: float = 60.0,
    jobs: int = 1,
    device: str = "cpu",
    fast: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Hold a method against the protocol.

    Args:
        reference: A method's id or alias, or ``path/to/file.py[:Class]``.
        suite: Where transfer tasks are taken from, one of each kind that the method supports.
        settings: The method's settings; ``learner.`` keys are its learner's.
        tasks: Transfer tasks to take instead.
        budget: Units of experience of each small run.
        wall_limit: Seconds after which a small run is ended.
        jobs: Processes.
        device: Torch device.
        fast: Only one kind with the source's kind of actions on the target, and one with another.
        say: Is told what is being run.
    """
    choice, report = MethodChoice(reference, dict(settings or {})), Report(reference)
    try:
        guarded(STARTING_SECONDS, os.getpid)  # the fork server's imports are not the method's
        loaded = guarded(wall_limit, load, choice)
    except GuardError as error:
        known = error.problem.check is not Check.RUNS
        report.note([error.problem if known else Problem(Check.LOADS, error.problem.message)])
        return report
    report.note(loaded.problems)
    report.reached |= {Check.LOADS, *([Check.SETTINGS] if loaded.finished else [])}
    if not loaded.finished or loaded.problems:
        return report
    report.method = choice.entry().id
    try:
        report.transfers, reason = guarded(wall_limit, choose_transfers, suite, choice, tasks, fast)
    except GuardError as error:
        reason = error.problem.message
    report.reached.add(Check.SUPPORTS)
    if not report.transfers:
        report.note([Problem(Check.SUPPORTS, f"none of {suite.id}: {reason}")])
        return report
    names = tuple(report.transfers.values())
    small = small_form(suite, names, budget)
    with tempfile.TemporaryDirectory(prefix="tlbench-check-", ignore_cleanup_errors=True) as folder:
        store = Store(Path(folder), small)
        store.open()
        plan = make_plan(small, choice, names, (0,))
        run = {_place(node, names) for node in plan.runs}  # two kinds may have the same run, without a source
        report.transfers = {kind: name for kind, name in report.transfers.items() if name in run}
        report.remarks[Check.SUPPORTS] = {f"{kind}: {name}": [] for kind, name in report.transfers.items()}
        say(f"{report.method}: {len(run)} small runs, three times each")
        _Checker(report, plan, store, wall_limit, jobs, device).run()
    return report


class _Checker:
    """Runs the nodes of a plan and notes in a report what they show."""

    def __init__(self, report: Report, plan: Plan, store: Store, wall_limit: float, jobs: int, device: str) -> None:
        self._report = report
        self._plan = plan
        self._store = store
        self._wall_limit = wall_limit
        self._jobs = jobs
        self._device = device
        self._file = inspect.getfile(plan.choice.entry().cls)
        self._stochastic = plan.choice.entry().id in STOCHASTIC
        self._failed: set[str] = set()
        self._hung = False

    def run(self) -> None:
        """Do all nodes: experts, then knowledge, then runs."""
        if self._stochastic:
            self._report.remarks[Check.ACTING] = {"not held against it: it acts at random by definition": []}
        self._all(self._expert, self._plan.experts)
        self._all(self._knowledge, [k for k in self._plan.knowledge if not self._missing(e.key for e in k.experts)])
        self._all(
            self._run, [r for r in self._plan.runs if not self._missing([r.knowledge.key] if r.knowledge else [])]
        )
        if not self._plan.knowledge:
            self._report.reached.add(Check.KNOWLEDGE)
            self._report.remarks[Check.KNOWLEDGE] = {"it carries none": []}

    def _all(self, do: Callable[[Any], None], nodes: Sequence[Node]) -> None:
        """The first alone: where it hangs the others would too."""
        for node in nodes[:1]:
            do(node)
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                list(pool.map(do, [] if self._hung else nodes[1:]))
            except BaseException:  # Ctrl-C doesn't wait for what is under way
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(live):
                    process.kill()
                raise

    def _missing(self, keys: Iterable[str]) -> bool:
        return self._hung or not self._failed.isdisjoint(keys)

    def _expert(self, node: ExpertNode) -> None:
        self._guarded(node, f"expert on {node.task}", work, self._job(node))

    def _knowledge(self, node: KnowledgeNode) -> None:
        place = f"knowledge from {', '.join(node.sources)}"
        first = self._watch(node, place)
        if first is None:
            return
        self._report.reached.add(Check.KNOWLEDGE)
        self._compare(node, place, first, None, Check.DETERMINISTIC, "a second time, from the same seed")

    def _run(self, node: RunNode) -> None:
        place = _place(node, self._report.transfers.values())
        first = self._watch(node, place)
        if first is None:
            return
        self._report.reached |= set(Check) - {Check.KNOWLEDGE, Check.DETERMINISTIC, Check.POINTS}
        self._compare(node, place, first, None, Check.DETERMINISTIC, "a second time, from the same seed")
        self._compare(node, place, first, MORE_POINTS, Check.POINTS, f"with {MORE_POINTS} points instead of {POINTS}")

    def _compare(self, node: Node, place: str, first: Sight, points: int | None, check: Check, how: str) -> None:
        """Do a node again and hold its outcome against the first one's."""
        again = self._watch(node, place, points)
        if again is None:
            return
        self._report.reached.add(check)
        differing = [k for k, v in first.prints.items() if again.prints.get(k) != v and (k != "record" or not points)]
        if differing:
            what = ", ".join(name for name in differing if name != "record") or "record"
            self._report.note([Problem(check, f"{how}, it ends with another outcome ({what}); {HINTS[check]}")], place)

    def _watch(self, node: Node, place: str, points: int | None = None) -> Sight | None:
        """What was seen of a node; ``None`` if it wasn't done."""
        sight = self._guarded(node, place, watch, self._job(node), self._file, points, self._stochastic)
        if sight is None:
            return None
        self._report.note(sight.problems, place)
        for check, remark in sight.remarks.items():
            places = self._report.remarks.setdefault(check, {}).setdefault(remark, [])
            places += [place] if place not in places else []
        if not sight.finished:
            self._failed.add(node.key)
        return sight if sight.finished else None

    def _guarded(self, node: Node, place: str, function: Callable[..., T], *args: Any) -> T | None:
        try:
            return guarded(self._wall_limit, function, *args)
        except GuardError as error:
            self._report.note([error.problem], place)
            self._failed.add(node.key)
            self._hung |= error.hung
            return None

    def _job(self, node: Node) -> Job:
        return Job(node, self._plan.choice, self._store, self._device, {})


def _place(node: RunNode, names: Iterable[str]) -> str:
    return next(name for name in names if name in node.transfers)


def load(choice: MethodChoice) -> Sight:
    """Load a method and its settings (in a worker: importing a file runs it)."""
    sight = Sight()
    entry = choice.entry()
    cls = entry.cls
    if entry.learner is None and issubclass(cls, StartingPointMethod):
        sight.add(Check.LOADS, f'{cls.__name__} needs a learner: give the class learners = ("vpg",)')
    elif entry.learner is None and cls.uses_source and cls.experts:
        sight.add(Check.LOADS, 'it wants experts but has no learner: experts = 0, or learners = ("vpg",)')
    if not (isinstance(cls.Config, type) and issubclass(cls.Config, BaseModel)):
        sight.add(Check.SETTINGS, "its Config must derive from tlbench.Config")
        return sight
    try:
        method, learner = choice.method(), choice.learner()
        if learner is not None:
            configured(learner.Config, choice.learner_settings(), learner.id)
    except Exception as error:
        sight.problems.append(Problem(Check.SETTINGS, problem_of(error, inspect.getfile(cls)).message))
        return sight
    sight.finished = True
    if not isinstance(getattr(method, "config", None), cls.Config):
        sight.add(Check.SETTINGS, "its __init__ must take config and call super().__init__(config)")
        return sight
    if cls.Config.model_config.get("extra") != "forbid":
        sight.add(
            Check.SETTINGS, "its Config takes unknown keys, so that a typing error goes unseen: use tlbench.Config"
        )
    try:
        text = canonical_json(method.config.model_dump(mode="json"))
        if cls.Config.model_validate_json(text) != method.config:
            raise ValueError("it comes back changed")
    except ValueError as error:
        sight.add(Check.SETTINGS, f"its configuration must survive JSON, as records hold it: {error}")
    return sight


def choose_transfers(
    suite: SuiteSpec, choice: MethodChoice, tasks: Sequence[str] | None, fast: bool
) -> tuple[dict[str, str], str]:
    """One transfer task per kind that a method supports, and why the others aren't.

    A kind is: actions of source and target (discrete or continuous), and whether observations have the same shape.
    """
    learner = choice.learner()
    chosen: dict[str, str] = {}
    reason = "it has no transfer task"
    for name in tasks or suite.transfers:
        problem = unsupported(suite, choice, (name,))
        if problem is not None:
            reason = problem
            continue
        spec = suite.transfers[name]
        discrete = bool(learner and learner.discrete_only)
        source = interface_of(suite, spec.sources[0], "source", discrete)
        target = interface_of(suite, spec.targets[0], "target", discrete)
        actions = [_action_kind(interface.action_space) for interface in (source, target)]
        other = source.observation_space.shape != target.observation_space.shape
        kind = " -> ".join(actions) + (", other observations" if other and not fast else "")
        kind = ("same actions" if len(set(actions)) == 1 else "other actions") if fast else kind
        chosen.setdefault(name if tasks else kind, name)
    return chosen, reason


def _action_kind(space: spaces.Space[Any]) -> str:
    names = {spaces.Discrete: "discrete", spaces.Box: "continuous"}
    return next((name for cls, name in names.items() if isinstance(space, cls)), type(space).__name__)


def small_form(suite: SuiteSpec, names: Sequence[str], budget: int) -> SuiteSpec:
    """A suite of these transfer tasks with small schedules; nothing else differs."""
    schedule = Schedule(budget=budget, points=POINTS, episodes=EPISODES)
    transfers = {name: suite.transfers[name] for name in names}
    used = {task for t in transfers.values() for task in (*t.sources, *t.targets)}
    tasks = {n: suite.tasks[n].model_copy(update={"source": schedule, "target": schedule}) for n in used}
    update = {"tasks": tasks, "transfers": transfers, "quick": tuple(names), "seeds": 1, "submittable": False}
    return suite.model_copy(update=update)
