"""What a report is drawn from: the curves and results of the methods that are compared, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from tlbench.analysis.bands import Band, learning_curves, return_curves, sample_efficiency, survival
from tlbench.analysis.base_models import BaseModelResult, base_model_results
from tlbench.analysis.bootstrap import Bootstrap
from tlbench.analysis.configurations import method_labels
from tlbench.analysis.curves import TaskCurves
from tlbench.analysis.embeddings import Embedding, embeddings
from tlbench.analysis.lifetimes import Lifetimes, within_lifetimes
from tlbench.analysis.load import counted_runs, load_curves
from tlbench.analysis.loss_courses import LossCourse, base_model_courses, loss_courses
from tlbench.analysis.predictions import PredictionResult, prediction_results
from tlbench.analysis.results import Comparison, SuiteResult, Summary, TaskResult
from tlbench.analysis.settings import SettingResult, setting_results
from tlbench.analysis.statistics import Profile, Sample, performance_profile
from tlbench.analysis.summary import PROFILE_LEVELS, compare, summarise
from tlbench.analysis.task_results import run_values
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record, own_controls
from tlbench.protocol.specs import SuiteSpec

Kind = Literal["learning", "returns", "survival"]
BANDS = {"learning": learning_curves, "returns": return_curves, "survival": survival}

BAND_REPETITIONS = 10_000
"""Resamples behind the bands of curves: they have many points and are read by eye."""


@dataclass(frozen=True, eq=False)
class ReportData:
    """The methods of a report with everything that is drawn.

    Attributes:
        curves: Curves of each method, in the order in which methods are shown.
        summary: Results of the same methods, in the same order.
        controls: Name of each method's control; methods that share it share one line in a figure. A method that is its
            own control names itself.
        tasks: Every transfer task that is shown, in the suite's order.
        notes: What is incomplete, one line each.
        band_repetitions: Resamples behind the bands of curves.
        embeddings: What runs say of where they embed the states of a maze.
        lifetimes: Rewards over the course of an episode, where a task records them.
        losses: The losses of each run over its updates, where it says.
        base_models: Transfers grouped by base model, where those are crossed with seeds.
        predictions: What learned models promised before the first sample, where records say so.
        by: The setting by which results are grouped as well, if one was asked for.
        settings: The results so grouped.
    """

    curves: Mapping[str, Sequence[TaskCurves]]
    summary: Summary
    controls: Mapping[str, str]
    tasks: tuple[str, ...]
    notes: tuple[str, ...] = ()
    band_repetitions: int = BAND_REPETITIONS
    embeddings: tuple[Embedding, ...] = ()
    lifetimes: Lifetimes = field(default_factory=dict)
    losses: tuple[LossCourse, ...] = ()
    base_model_losses: tuple[LossCourse, ...] = ()
    base_models: tuple[BaseModelResult, ...] = ()
    predictions: tuple[PredictionResult, ...] = ()
    by: str | None = None
    settings: tuple[SettingResult, ...] = ()
    _cache: dict[tuple[Kind, str], list[tuple[str, Band]]] = field(default_factory=dict, repr=False)

    @property
    def methods(self) -> tuple[str, ...]:
        """Labels of the methods."""
        return tuple(self.curves)

    @cached_property
    def control_names(self) -> tuple[str, ...]:
        """Names of the controls that are not among the methods themselves."""
        return tuple(dict.fromkeys(name for name in self.controls.values() if self.controls.get(name) != name))

    @cached_property
    def bands(self) -> Bootstrap:
        """Source of the resamples behind bands."""
        return Bootstrap(min(self.band_repetitions, self.summary.repetitions), self.summary.seed)

    def is_reference(self, method: str) -> bool:
        """Whether a method is its own control."""
        return self.controls[method] == method

    def suite_result(self, method: str) -> SuiteResult:
        """The method's result on the suite."""
        return next(row for row in self.summary.suites if row.method == method)

    def task_result(self, method: str, task: str) -> TaskResult | None:
        """The method's result on a transfer task, if it was run."""
        return next((row for row in self.summary.tasks if (row.method, row.task) == (method, task)), None)

    def task_curves(self, method: str, task: str) -> TaskCurves | None:
        """The method's curves on a transfer task, if it was run."""
        return next((c for c in self.curves[method] if c.task == task), None)

    def control_curves(self, control: str, task: str) -> tuple[str, TaskCurves] | None:
        """Of the methods with this control, the one with most runs on a task, and its curves."""
        found = [(m, c) for m in self.methods if self.controls[m] == control and (c := self.task_curves(m, task))]
        return max(found, key=lambda pair: pair[1].seeds.size, default=None)

    def learning(self, task: str) -> list[tuple[str, Band]]:
        """Learning curves on a transfer task: controls, then methods, those that ran it."""
        return self._banded("learning", task)

    def returns(self, task: str) -> list[tuple[str, Band]]:
        """Returns on a transfer task in its own units: controls, then methods, those that ran it."""
        return self._banded("returns", task)

    def survival(self, task: str) -> list[tuple[str, Band]]:
        """Shares of seeds below the threshold on a transfer task: controls, then methods, those that ran it."""
        return self._banded("survival", task)

    def _banded(self, kind: Kind, task: str) -> list[tuple[str, Band]]:
        if (kind, task) not in self._cache:
            methods = {m: BANDS[kind](c, self.bands) for m in self.methods if (c := self.task_curves(m, task))}
            found: list[tuple[str, Band]] = []
            for control in dict.fromkeys(self.controls.values()):
                source = self.control_curves(control, task)
                if control not in methods and source is not None:
                    found.append((control, methods[source[0]][1]))
            self._cache[kind, task] = found + [(method, bands[0]) for method, bands in methods.items()]
        return self._cache[kind, task]

    def scored(self, arm: str) -> list[TaskCurves]:
        """Curves of a method, or of a control as if it were a method, on the scored tasks."""
        if arm in self.curves:
            return [c for c in self.curves[arm] if c.scored]
        found = (self.control_curves(arm, task) for task in self.tasks)
        nobody = [(curves, np.zeros(curves.seeds.size, bool)) for _, curves in filter(None, found) if curves.scored]
        return [
            replace(c, method=c.control, method_returns=c.returns[1], method_bins=c.control_bins, abstained=none)
            for c, none in nobody
        ]

    @property
    def arms(self) -> tuple[str, ...]:
        """Methods, and the controls that are not among them."""
        return (*self.control_names, *self.methods)

    def efficiency(self, arm: str) -> Band | None:
        """Sample-efficiency curve of a method or control; None where no scored task was run."""
        tasks = self.scored(arm)
        return sample_efficiency(tasks, self.bands) if tasks else None

    def profile(self, arm: str) -> Profile | None:
        """Performance profile of a method or control; None where no scored task was run."""
        if arm in self.curves:
            return self.suite_result(arm).profile
        tasks = self.scored(arm)
        if not tasks:
            return None
        universe = sorted({seed for c in tasks for seed in c.seeds.tolist()})
        samples = [
            Sample(
                run_values(c)["auc"],
                self.bands.weights(c.seeds, c.expert_seeds if c.crossed else None, universe, c.task),
            )
            for c in tasks
        ]
        return performance_profile(samples, PROFILE_LEVELS, self.bands, min(c.levels for c in tasks))

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every pair of methods, the one shown first as X; pairs without a common scored task are left out."""
        source = Bootstrap(self.summary.repetitions, self.summary.seed, self.summary.confidence)
        names = self.methods
        pairs = [(x, y) for i, x in enumerate(names) for y in names[i + 1 :]]
        found = [compare(x, y, self.curves, source) for x, y in pairs]
        return tuple(comparison for comparison in found if comparison is not None)


def collect(
    suite: SuiteSpec,
    records: Sequence[Record],
    wanted: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
    by: str | None = None,
    experts: Sequence[Record] = (),
    controls: Sequence[Record] = (),
) -> ReportData:
    """The data of a report.

    Args:
        suite: The suite.
        records: Runs, controls included.
        wanted: Ids of the methods to show, in this order; None for all, those that are their own control last.
        bootstrap: Source of resamples for all results; default 50,000, seed 0.
        by: A setting to group results by as well: ``name`` of the method's, or ``learner.name``.
        experts: Records of experts' training, for their losses.
        controls: Controls that runs are paired with, and that are not methods to be shown.

    Raises:
        TlbenchError: If no method wanted has a run with its control, or none of these has the setting.
    """
    runs = [r for r in records if r.method is not None and (wanted is None or r.method.id in wanted)]
    loaded = load_curves(suite, runs, [*records, *controls])
    ids = {r.method.id for r in runs if r.method is not None}
    curves = {label: tasks for label, tasks in loaded.methods.items() if label.partition("#")[0] in ids}
    if not curves:
        raise TlbenchError(f"there is no finished run with its control on {suite.id} yet")
    control_names = _controls([*records, *controls], runs)
    if wanted is None:
        order = sorted(curves, key=lambda label: (control_names[label] == label, label))
    else:
        order = sorted(curves, key=lambda label: (wanted.index(label.partition("#")[0]), label))
    curves = {label: curves[label] for label in order}
    shown = {c.task for tasks in curves.values() for c in tasks}
    source = bootstrap or Bootstrap()
    counted, skipped = counted_runs(loaded.methods, runs), own_controls(runs)
    runs = [r for r in runs if r.key not in skipped]
    summary = summarise(curves, source, [name for name, spec in suite.transfers.items() if spec.scored])
    return ReportData(
        curves=curves,
        summary=summary,
        controls={label: control_names[label] for label in order},
        tasks=tuple(name for name in suite.transfers if name in shown),
        notes=tuple(n for n in loaded.notes if n.partition(":")[0].partition("#")[0] in ids),
        embeddings=embeddings(runs),
        lifetimes=within_lifetimes(runs),
        losses=loss_courses(runs),
        base_model_losses=base_model_courses(experts, runs),
        base_models=base_model_results(curves, counted, source),
        predictions=prediction_results(curves, counted, source),
        by=by,
        settings=() if by is None else setting_results(runs, summary.tasks, by),
    )


def _controls(records: Sequence[Record], runs: Sequence[Record]) -> dict[str, str]:
    """Name of the control of each method label."""
    by_key = {r.key: r for r in records}
    labels = method_labels(runs)
    skipped = own_controls(runs)
    names: dict[str, str] = {}
    for run in runs:
        control = by_key.get(run.control_key or "")
        if run.method is None or control is None or control.method is None or run.key in skipped:
            continue
        label = labels[run.method.id, run.config_hash]
        if run.control_key == run.key:
            names[label] = label
        else:
            own = control.method.id == run.method.id  # the method itself, without knowledge
            names.setdefault(label, f"{label} without knowledge" if own else control.method.id)
    return names
