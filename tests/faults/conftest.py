"""Faults: what is broken on purpose, an undisturbed evaluation to compare with, and a ledger of what was lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tlbench.cli.api import evaluate
from tlbench.protocol.specs import SuiteSpec

PATIENCE = 120.0
METHOD = "finetune-vpg"
TASKS = "self,inversion"

_TOLD = pytest.StashKey[dict[str, "Tally"]]()


@dataclass
class Tally:
    """What a fault did, over all its tests.

    Attributes:
        tried: How often it was made.
        lost: Finished files that were gone or changed afterwards.
        notes: How it ended, with numbers.
    """

    tried: int = 0
    lost: int = 0
    notes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def note(self, what: str) -> None:
        self.notes[what] += 1


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TOLD] = defaultdict(Tally)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    told = config.stash[_TOLD]
    if not told:
        return
    terminalreporter.section("faults")
    width = max(map(len, told))
    terminalreporter.line(f"{'fault':{width}}  tried  lost  how it ended")
    for fault, tally in told.items():
        notes = ", ".join(f"{what}: {n}" for what, n in tally.notes.items())
        terminalreporter.line(f"{fault:{width}}  {tally.tried:5}  {tally.lost:4}  {notes}")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str], Tally]:
    """The tally of a fault."""
    told = request.config.stash[_TOLD]
    return lambda fault: told[fault]


def finished(root: Path) -> dict[str, Any]:
    """All finished files of a store by their relative path, without what may differ between equal runs."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        if path.name.startswith(".") or path.suffix == ".damaged" or path.is_dir():
            continue
        data: Any = path.read_bytes()
        if path.suffix == ".json":
            data = {k: v for k, v in json.loads(data).items() if k != "provenance"}
        found[str(path.relative_to(root))] = data
    return found


def lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """How many files are gone or changed; weights whose JSON was not there yet weren't finished."""
    done = {name for name in before if str(Path(name).with_suffix(".json")) in before}
    return sum(after.get(name) != before[name] for name in done)


@pytest.fixture(scope="session")
def undisturbed(tiny: SuiteSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of an evaluation that nothing happened to."""
    root = tmp_path_factory.mktemp("undisturbed")
    outcome = evaluate(METHOD, tiny, out=root, tasks=TASKS, jobs=2, progress=False).outcome
    assert (outcome.failed, outcome.skipped) == ({}, [])
    return root


@pytest.fixture(scope="session")
def wanted(undisturbed: Path) -> dict[str, Any]:
    """Its files."""
    return finished(undisturbed)


@pytest.fixture(scope="session")
def span(tiny_text: str, wanted: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds from a driver's first line to its end, here and now, if nothing happens to it."""
    folder = tmp_path_factory.mktemp("span")
    (folder / "tiny.toml").write_text(tiny_text)
    driver = Driver(str(folder / "tiny.toml"), folder / "runs")
    assert driver.at_work.wait(PATIENCE)
    began = time.monotonic()
    assert driver.end() == 0, driver.stderr
    assert finished(folder / "runs") == wanted
    return time.monotonic() - began


class Driver:
    """``tlbench evaluate`` in a process group of its own.

    Args:
        suite: The suite's file.
        out: Folder for the results.
        arguments: Further arguments; the last word on the method, too.
        options: Of ``Popen``.
    """

    def __init__(self, suite: str, out: Path, *arguments: str, **options: Any) -> None:
        asked = ["--method", METHOD, "--suite", suite, "--tasks", TASKS, "--jobs", "2", "--out", str(out)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from tlbench.cli import main; main()", "evaluate", *asked, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        self.at_work = threading.Event()
        self.stdout = self.stderr = ""
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_out, self._read_err)]
        for reader in self._readers:
            reader.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            self.stdout = stream.read()

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.stderr += line
                self.at_work.set()  # the first line says how much there is to do
        self.at_work.set()

    def end(self) -> int:
        """Wait for it; its exit status."""
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        assert "Traceback" not in self.stdout + self.stderr, self.stderr
        return status

    def kill(self, group: bool) -> None:
        """``kill -9`` of the driver, or of it and all its workers."""
        if group:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()

    def below(self) -> list[int]:
        """The processes that it started: the fork server, its resource tracker, and the workers."""
        parents: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, fields = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
            except (OSError, IndexError):
                continue
            if fields[0] not in "ZX":
                parents[pid] = int(fields[1])
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found - {self.process.pid})


@pytest.fixture
def drive(tiny_file: str) -> Iterator[Callable[..., Driver]]:
    """Starts drivers on the tiny suite; none is left at the end."""
    drivers: list[Driver] = []

    def start(out: Path, *arguments: str, **options: Any) -> Driver:
        drivers.append(Driver(tiny_file, out, *arguments, **options))
        return drivers[-1]

    yield start
    for driver in drivers:
        if driver.process.poll() is None:
            driver.kill(group=True)
            driver.end()


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers, the same in each session."""
    return random.Random(request.node.name)
