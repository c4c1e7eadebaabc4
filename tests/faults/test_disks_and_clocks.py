"""A disk that fills up, a limit on files, memory that runs out, a clock that goes backwards."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Driver, Tally, finished, lost

pytestmark = pytest.mark.faults

Drive = Callable[..., Driver]
Tallies = Callable[[str], Tally]

SIZES = 4

BACKWARDS = """
import time

_real, _calls = time.time, 0


def _backwards():
    global _calls
    _calls += 1
    return _real() - 3600.0 * _calls


time.time = _backwards
time.time_ns = lambda: int(_backwards() * 1e9)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of that many bytes, or gives the one there is that size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: int) -> Path:
        remount = ["-o", f"remount,size={size}"] if os.path.ismount(folder) else ["-o", f"size={size}"]
        done = subprocess.run(["mount", "-t", "tmpfs", *remount, "tmpfs", str(folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small file system can't be mounted here: {done.stderr.strip()}")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(
    drive: Drive, tally: Tallies, dice: random.Random, small_disk: Any, wanted: dict[str, Any], undisturbed: Path
) -> None:
    told = tally("disk full")
    whole = sum(path.stat().st_size + 4096 for path in undisturbed.rglob("*") if path.is_file())
    kept: dict[str, Any] = {}
    for size in sorted(dice.randrange(16 * 1024, whole * 3 // 4) for _ in range(SIZES)):
        out = small_disk(size) / "runs"
        driver = drive(out)
        assert driver.end() == 1, driver.stderr
        told.tried += 1
        message = driver.stderr.strip().splitlines()[-1]
        assert message.startswith("error: can't write")
        assert "No space left on device; mend that and run the same command again" in message
        told.note("one clear line")
        after = finished(out)
        told.lost += lost(kept, after)
        kept = after
        assert {name: content for name, content in kept.items() if wanted[name] != content} == {}
        assert not list(out.rglob("*.damaged"))
    out = small_disk(10 * whole) / "runs"
    driver = drive(out)
    assert driver.end() == 0, driver.stderr
    assert finished(out) == wanted
    told.note("with room again, the records of an undisturbed one")
    assert told.lost == 0


def test_a_limit_on_files(drive: Drive, tally: Tallies, wanted: dict[str, Any], tmp_path: Path) -> None:
    """What needs no rights: files may not grow beyond some size, so that weights can't be written."""
    told, out = tally("file too large"), tmp_path / "runs"
    driver = drive(out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)))
    assert driver.end() == 1
    told.tried += 1
    assert "error: can't write" in driver.stderr
    assert "File too large; mend that and run the same command again" in driver.stderr
    told.note("one clear line")
    kept = finished(out)
    assert drive(out).end() == 0
    told.lost += lost(kept, finished(out))
    assert finished(out) == wanted
    told.note("without the limit, the records of an undisturbed one")
    assert told.lost == 0


def test_memory_that_runs_out(drive: Drive, tally: Tallies, write_method: Callable[..., str], tmp_path: Path) -> None:
    """A method that takes more memory than there is fails, and says so; its other seed goes on."""
    told, out = tally("out of memory"), tmp_path / "runs"
    ways = {
        "np.ones(1 << 40)": "numpy",
        "torch.ones(1 << 40)": "torch",
        "[bytes(1 << 28) for _ in range(999)]": "lists",
    }
    for code, way in ways.items():
        method = write_method(
            f"""
            uses_source = False
            control = "self"

            def learn_target(self, target, knowledge, ctx):
                import resource
                if not os.path.exists(__file__ + ".enough"):
                    open(__file__ + ".enough", "w").close()
                    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
                    {code}
                target.publish(Constant(0))
            """,
            name=f"{way}.py",
        )
        arguments = ("--method", method, "--tasks", "self", "--seeds", "0,1", "--jobs", "1")
        driver = drive(out / way, *arguments)
        assert driver.end() == 1
        told.tried += 1
        assert "(out of memory? try fewer --jobs)" in driver.stderr
        assert len(list(out.rglob(f"{way}/**/plugin/*.json"))) == 1
        told.note("told, and the other run finished")
        kept = finished(out / way)
        again = drive(out / way, *arguments)
        assert again.end() == 0, again.stderr
        told.lost += lost(kept, finished(out / way))
        assert len(list(out.rglob(f"{way}/**/plugin/*.json"))) == 2
    assert told.lost == 0


def test_a_clock_that_goes_backwards(drive: Drive, tally: Tallies, wanted: dict[str, Any], tmp_path: Path) -> None:
    """Each look at the clock is an hour earlier than the last, in the driver and in every worker."""
    told, out = tally("clock going backwards"), tmp_path / "runs"
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(BACKWARDS))
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    for seeds in ("0", "0-2"):
        driver = drive(out, "--seeds", seeds, env={**os.environ, "PYTHONPATH": path})
        assert driver.end() == 0, driver.stderr
        told.tried += 1
        for file in out.rglob("*"):
            os.utime(file, (4e9, 4e9))  # and what is there seems to come from the future
    assert finished(out) == wanted
    told.note("records of an undisturbed one")
