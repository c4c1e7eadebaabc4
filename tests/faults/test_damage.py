"""Files of a store that are damaged, replaced or forbidden: found, set aside and made again, or told in one line."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import METHOD, TASKS, Tally, finished, lost
from tlbench.cli.api import evaluate
from tlbench.execution.plan import make_plan
from tlbench.execution.runner import missing_nodes
from tlbench.execution.selection import MethodChoice
from tlbench.execution.store import Store
from tlbench.protocol.errors import StorageError, TlbenchError
from tlbench.protocol.specs import SuiteSpec

pytestmark = pytest.mark.faults

Tallies = Callable[[str], Tally]
Harm = Callable[[Path, random.Random], None]
NOBODY = 65534


@pytest.fixture(scope="module")
def one_seed(tiny: SuiteSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one seed."""
    root = tmp_path_factory.mktemp("one-seed")
    outcome = evaluate(METHOD, tiny, out=root, tasks=TASKS, seeds="0", jobs=2, progress=False).outcome
    assert (outcome.failed, outcome.skipped) == ({}, [])
    return root


def flip(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    place = dice.randrange(len(data))
    data[place] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, dice: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: dice.randrange(path.stat().st_size)])


def empty(path: Path, dice: random.Random) -> None:
    path.write_bytes(b"")


def zeros(path: Path, dice: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def folder(path: Path, dice: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


def dangling(path: Path, dice: random.Random) -> None:
    path.unlink()
    path.symlink_to("nowhere")


HARMS: dict[str, tuple[Harm, int]] = {
    "a bit flipped": (flip, 3),
    "truncated": (truncate, 2),
    "empty": (empty, 1),
    "zeros": (zeros, 1),
    "a folder": (folder, 1),
    "a dangling link": (dangling, 1),
}


NEEDING = {
    "records": (),
    "knowledge": ("records/finetune-vpg",),
    "experts": ("records/finetune-vpg", "knowledge"),
}
"""What must be missing too, for damage of that kind to matter."""


@pytest.mark.parametrize("harm", list(HARMS))
@pytest.mark.parametrize("kind", ["records", "experts", "experts' weights", "knowledge", "knowledge's weights"])
def test_damage_is_mended(
    tally: Tallies, dice: random.Random, tiny: SuiteSpec, one_seed: Path, tmp_path: Path, kind: str,
    harm: str,
) -> None:  # fmt: skip
    told = tally(f"{kind}: {harm}")
    change, times = HARMS[harm]
    wanted = finished(one_seed)
    needing = NEEDING[kind.partition("'")[0]]
    for number in range(times):
        out = tmp_path / str(number)
        shutil.copytree(one_seed, out)
        store = out / "tiny-v1"
        files = sorted((store / kind.partition("'")[0]).rglob("*.safetensors" if "weights" in kind else "*.json"))
        victim = dice.choice([file for file in files if "scratch" not in str(file)])
        for _ in range(2):  # and again, with what was set aside the first time lying there
            for folder in needing:
                shutil.rmtree(store / folder)
            before = victim.read_bytes()
            change(victim, dice)
            assert not victim.is_file() or victim.read_bytes() != before
            outcome = evaluate(METHOD, tiny, out=out, tasks=TASKS, seeds="0", jobs=2, progress=False).outcome
            assert (outcome.failed, outcome.skipped) == ({}, [])
            told.tried += 1
            after = finished(out)
            told.lost += (different := sum(after.get(name) != wanted[name] for name in wanted))
            assert not different
    told.note("mended")


@pytest.mark.parametrize("harm", list(HARMS))
def test_a_damaged_manifest_is_told(
    tally: Tallies, dice: random.Random, tiny: SuiteSpec, one_seed: Path, tmp_path: Path, harm: str
) -> None:
    told = tally(f"suite.json: {harm}")
    change, times = HARMS[harm]
    for number in range(times):
        out = tmp_path / str(number)
        shutil.copytree(one_seed, out)
        manifest = out / "tiny-v1" / "suite.json"
        change(manifest, dice)
        told.tried += 1
        error = done = None
        try:
            done = evaluate(METHOD, tiny, out=out, tasks=TASKS, seeds="0", jobs=2, progress=False).outcome.done
        except TlbenchError as problem:
            error = str(problem)
        assert done == 0 or (error is not None and "\n" not in error and str(manifest.parent) in error)
        told.note("one clear line" if error else "no harm: the digest was not hit")
        kept, records = finished(one_seed / "tiny-v1" / "records"), finished(out / "tiny-v1" / "records")
        told.lost += lost(kept, records)
        assert records == kept


@contextmanager
def nobody() -> Iterator[None]:
    """Without root's rights, which no permission binds."""
    if os.geteuid() != 0:
        yield
        return
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


@pytest.fixture
def owned(undisturbed: Path) -> Iterator[Path]:
    """A copy of the results that belongs to whoever :func:`nobody` is, in a folder that it can reach."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        shutil.copytree(undisturbed, out / "runs")
        if os.geteuid() == 0:
            for path in (out, *out.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield out / "runs"


def test_permission_denied(tally: Tallies, tiny: SuiteSpec, owned: Path) -> None:
    plan = make_plan(tiny, MethodChoice(METHOD), TASKS.split(","), range(3))
    told = tally("permission denied")
    with nobody():
        store = Store(owned, tiny)
        store.open()
        for kind in ("records/finetune-vpg", "records/scratch-vpg"):
            victim = sorted((store.folder / kind).iterdir())[0]
            victim.chmod(0)
            with store.locked():
                missing = missing_nodes(plan, store)
            told.tried += 1
            assert victim.with_suffix(".damaged").exists()
            assert missing
            told.note("set aside and made again")
        node = next(n for n in plan.runs if n.key not in {m.key for m in missing})
        record, victim = store.find_record(node.name, node.key), store.record_path(node.name)
        assert record is not None
        data = victim.read_bytes()
        for place in (victim.parent, store.folder):
            place.chmod(0o500)
            told.tried += 1
            with pytest.raises(StorageError, match=r"[Pp]ermission denied") as caught:
                store.open() if place == store.folder else store.write_record(node.name, record)
            assert "\n" not in str(caught.value)
            place.chmod(0o700)
            assert victim.read_bytes() == data
            told.note("one clear line")
