"""Results of all submissions, each computed once: kept per submission, reference and version of the analysis."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from tlbench.analysis.bootstrap import Bootstrap
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.controls import ReferenceControls, reference_controls
from tlbench.leaderboard.entries import Entry
from tlbench.leaderboard.ranking import Standing
from tlbench.leaderboard.site.analysed import Analysed, analyse_fully, parse
from tlbench.leaderboard.site.drawn import BAND_REPETITIONS
from tlbench.leaderboard.site.facts import Facts
from tlbench.leaderboard.site.folder import CACHE, SiteFolder
from tlbench.protocol.specs import SuiteSpec, digest_of

POOL_FROM = 12
"""Submissions to compute from which several processes are worth their start."""

Wanted = tuple[Entry, Entry | None]
"""An entry and the reference that it is held against."""


class Results:
    """The results of a suite's submissions.

    Attributes:
        computed: How many were computed.
        cached: How many were found from an earlier build.
    """

    def __init__(self, board: Board, suite: SuiteSpec, folder: SiteFolder, bootstrap: Bootstrap, jobs: int) -> None:
        self._board, self._suite, self._folder, self._jobs = board, suite, folder, jobs
        self._bootstrap = bootstrap
        self._found: dict[tuple[str, str], Analysed] = {}
        self.computed = self.cached = 0

    def prepare(self, wanted: Iterable[Wanted]) -> None:
        """Find or compute results, in several processes where there are many.

        Raises:
            TlbenchError: If a bundle is damaged, or the folder can't be written.
        """
        missing: list[Wanted] = []
        for entry, reference in wanted:
            found = parse(self._folder.read(self._name(entry, reference)), entry)
            if found is None:
                missing.append((entry, reference))
            else:
                self._found[_key(entry, reference)] = found
                self.cached += 1
        for (entry, reference), content in zip(missing, self._compute(missing), strict=True):
            self._folder.put(self._name(entry, reference), content)
            found = parse(content, entry)
            assert found is not None
            self._found[_key(entry, reference)] = found
            self.computed += 1

    def get(self, entry: Entry, reference: Entry | None) -> Analysed:
        """The results of an entry that is held against a reference."""
        if _key(entry, reference) not in self._found:
            self.prepare([(entry, reference)])
        return self._found[_key(entry, reference)]

    def facts(self, standing: Standing) -> Facts:
        """How the submission of a standing that was given out was run."""
        return next(f.facts for f in self._found.values() if f.standing is standing)

    def _compute(self, wanted: Sequence[Wanted]) -> Iterator[bytes]:
        worker = _Worker(self._board, self._suite, self._bootstrap)
        jobs = min(self._jobs, len(wanted))
        if jobs < 2 or len(wanted) < POOL_FROM or multiprocessing.current_process().daemon:
            yield from map(worker, wanted)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(worker,)) as pool:
            yield from pool.map(_work, wanted)

    def _name(self, entry: Entry, reference: Entry | None) -> str:
        about: list[Any] = [self._suite.digest, reference.id if reference else None, analysis_version()]
        about += [self._bootstrap.repetitions, self._bootstrap.seed, self._bootstrap.confidence]
        return f"{CACHE}/{self._suite.id}/{entry.id}-{digest_of(about)[:16]}.bin"


class _Worker:
    """Computes results; keeps references and draws from one submission to the next."""

    def __init__(self, board: Board, suite: SuiteSpec, bootstrap: Bootstrap) -> None:
        self._board, self._suite = board, suite
        self._bootstrap = Bootstrap(bootstrap.repetitions, bootstrap.seed, bootstrap.confidence)
        self._bands = Bootstrap(min(BAND_REPETITIONS, bootstrap.repetitions), bootstrap.seed, bootstrap.confidence)
        self._references: dict[str, ReferenceControls] = {}

    def __call__(self, wanted: Wanted) -> bytes:
        entry, reference = wanted
        submission, controls = self._board.submission(entry), None
        if reference is not None:
            if reference.id not in self._references:
                found = reference_controls(self._suite, self._board.submission(reference))
                self._references[reference.id] = found
            controls = self._references[reference.id]
        return analyse_fully(self._suite, entry, submission, controls, self._bootstrap, self._bands)


_WORKER: list[_Worker] = []


def _start(worker: _Worker) -> None:
    _WORKER[:] = [worker]


def _work(wanted: Wanted) -> bytes:
    return _WORKER[0](wanted)


def _key(entry: Entry, reference: Entry | None) -> tuple[str, str]:
    return entry.id, reference.id if reference else ""


def processes() -> int:
    """How many processes may compute at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def analysis_version() -> str:
    """Digest of the code that results depend on, and of the versions below it."""
    board, site = files("tlbench.leaderboard"), files("tlbench.leaderboard.site")
    ours = [board.joinpath(f"{name}.py") for name in ("ranking", "controls", "submission")]
    ours += [site.joinpath(f"{name}.py") for name in ("analysed", "drawn", "facts")]
    ours += [path for path in files("tlbench.analysis").iterdir() if path.name.endswith(".py")]
    return digest_of([_digest(ours), *(version(name) for name in ("tlbench", "numpy", "scipy"))])


@cache
def page_version() -> str:
    """Digest of the code and the templates that pages depend on."""
    folders = [files("tlbench.leaderboard.site"), files("tlbench.leaderboard.site").joinpath("templates")]
    folders.append(files("tlbench.analysis.page"))
    ours = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    ours.append(files("tlbench.leaderboard").joinpath("citation.py"))
    return digest_of([analysis_version(), _digest(ours)])


def _digest(paths: Iterable[Traversable]) -> str:
    content = sorted(hashlib.sha256(path.name.encode() + b"\0" + path.read_bytes()).hexdigest() for path in paths)
    return digest_of(content)
