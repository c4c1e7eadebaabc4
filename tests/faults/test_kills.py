"""kill -9 at random moments: of the driver, of its whole group, of single workers, with two drivers at once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import PATIENCE, Driver, Tally, finished, lost

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc"),
]

Drive = Callable[..., Driver]
Tallies = Callable[[str], Tally]

KILLS = 50  # of drivers
WORKER_KILLS = 20
PAIRS = 10


def test_kill_9_of_the_driver_and_of_all(
    drive: Drive, tally: Tallies, dice: random.Random, wanted: dict[str, Any], span: float, tmp_path: Path
) -> None:
    told, out = tally("kill -9 of evaluate"), tmp_path / "runs"
    kept: dict[str, Any] = {}
    while told.tried < KILLS:
        driver = drive(out)
        assert driver.at_work.wait(PATIENCE)
        time.sleep(dice.uniform(0.0, span))
        driver.kill(group := bool(told.tried % 2))
        told.tried += 1
        told.note("the whole group" if group else "the driver alone")
        driver.end()  # and at once the next, while the workers of a driver that died alone may still be there
        after = finished(out)
        told.lost += lost(kept, after)
        kept = after
        assert {name: after[name] for name in after if name not in wanted} == {}
        if len(kept) == len(wanted):  # all done: once more from the start
            assert drive(out).end() == 0
            assert finished(out) == wanted
            told.note("evaluations that ended with the records of an undisturbed one")
            shutil.rmtree(out)
            kept = {}
    last = drive(out)
    assert last.end() == 0, last.stderr
    assert finished(out) == wanted
    told.note("evaluations that ended with the records of an undisturbed one")
    assert told.lost == 0
    assert not list(out.rglob("*.damaged"))
    assert not list(out.rglob(".*.tmp"))


def test_out_of_memory_kills_of_workers(
    drive: Drive, tally: Tallies, dice: random.Random, wanted: dict[str, Any], span: float, tmp_path: Path
) -> None:
    """As the kernel's out-of-memory killer does it: SIGKILL to a process below the driver, mostly the newest worker."""
    told, out = tally("kill -9 of a worker or the fork server"), tmp_path / "runs"
    kept: dict[str, Any] = {}
    while told.tried < WORKER_KILLS:
        driver = drive(out)
        assert driver.at_work.wait(PATIENCE)
        for _ in range(5):
            time.sleep(dice.uniform(0.0, span / 5))
            victims = driver.below()
            if driver.process.poll() is None and victims:
                with suppress(ProcessLookupError):
                    os.kill(max(victims) if dice.random() < 0.7 else dice.choice(victims), signal.SIGKILL)
                    told.tried += 1
        status = driver.end()
        assert status in (0, 1)
        after = finished(out)
        told.lost += lost(kept, after)
        kept = after
        assert {name: content for name, content in kept.items() if name in wanted and wanted[name] != content} == {}
        if status == 1 and "worker processes can't be started: unexpected EOF (out of memory?" in driver.stderr:
            told.note("evaluations that told that no worker can be started")  # each fork server was killed
        elif status == 1:
            failures = [line for line in driver.stderr.splitlines() if line.startswith("failed: ")]
            assert failures, driver.stderr
            assert all(line.endswith("(out of memory? try fewer --jobs)") for line in failures), driver.stderr
            assert driver.stderr.splitlines()[-1].endswith("all others are kept, the same command runs the rest")
            told.note("evaluations that told which runs failed")
        else:
            told.note("evaluations that no kill harmed")
        if len(kept) >= len(wanted):
            shutil.rmtree(out)
            kept = {}
    last = drive(out)
    assert last.end() == 0, last.stderr
    after = finished(out)
    assert {name: after.get(name) for name in wanted} == wanted
    told.note("resumed to the records of an undisturbed one")
    assert told.lost == 0


def test_two_drivers_on_one_folder(
    drive: Drive, tally: Tallies, dice: random.Random, wanted: dict[str, Any], span: float, tmp_path: Path
) -> None:
    told, out = tally("two drivers on one folder"), tmp_path / "runs"
    kept: dict[str, Any] = {}
    while told.tried < PAIRS:
        first = drive(out)
        time.sleep(dice.uniform(0.0, 1.0))
        second = drive(out)
        told.tried += 1
        assert first.at_work.wait(PATIENCE)
        time.sleep(dice.uniform(0.0, span))
        killed = dice.choice([first, second])
        killed.kill(group=dice.random() < 0.5)
        for driver in (first, second):
            status = driver.end()
            if status == 1:
                assert f"error: another tlbench evaluate is writing to {out}" in driver.stderr
                told.note("told that the other one is writing")
            else:
                assert status in (0, -signal.SIGKILL), driver.stderr
                told.note("killed" if status else "finished")
        after = finished(out)
        told.lost += lost(kept, after)
        kept = after
        if len(kept) == len(wanted):
            assert kept == wanted
            shutil.rmtree(out)
            kept = {}
    assert drive(out).end() == 0
    assert finished(out) == wanted
    assert told.lost == 0
