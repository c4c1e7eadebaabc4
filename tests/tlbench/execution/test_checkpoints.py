"""A node that is stopped in its middle goes on from its checkpoint, and ends as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tlbench.cli.api import evaluate, prepare
from tlbench.execution import checkpoints
from tlbench.execution.checkpoints import Checkpointing, NodeCheckpoint, path_of, seconds_spent
from tlbench.execution.executors.local import LocalExecutor
from tlbench.execution.plan import ExpertNode, KnowledgeNode
from tlbench.execution.work import Job, work
from tlbench.protocol.checkpoint import Checkpoint
from tlbench.protocol.errors import StorageError, TlbenchError
from tlbench.protocol.metered import MeteredVecEnv
from tlbench.protocol.specs import SuiteSpec, parse_suite

HERE = Checkpointing(60.0, {"code": "this"})

VECTORS = {"learner.learning_starts": 100, "learner.n_envs": 4, "learner.gradient_steps": 4}
IMAGES = {**VECTORS, "learner.gradient_steps": 1, "learner.batch_size": 8, "learner.buffer_size": 250}

ATARI = """
schema_version = 1
name = "games"
version = 1
title = "Games"
description = "For tests."
seeds = 1
smoothing_window = 3
quick = ["self"]

[tasks.game]
environment = "tlbench/Atari-v1"
options = {{ game = "{game}", screen_size = 42, max_episode_steps = 40, fire_reset = true }}
discount = 0.99
random_return = 0.0
expert_return = 1.0
threshold = 1.0
wall_limit = 600.0
source = {{ budget = 2400, points = 10, episodes = 2 }}
target = {{ budget = 400, points = 3, episodes = 2 }}

[transfers.self]
sources = ["game"]
targets = ["game"]
relation = "self"
"""


class Stopped(BaseException):
    """Stands for a kill: no code of the node runs after it."""


class Interruptions:
    """Stops nodes at given places, and counts.

    Args:
        every: A checkpoint is due at every so manieth place that is fit for one.
        places: Numbers of checkpoints, or of steps of all lanes, of one attempt each; then it is left alone.
        at: Whether places are checkpoints or steps.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, every: int, places: list[int], at: str = "checkpoint") -> None:
        self.stopped = self.saved = self.stepped = 0
        self._asked, self._left, self._at, self._every = 0, list(places), at, every
        keep, step = NodeCheckpoint.keep, MeteredVecEnv.step_wait

        def due(checkpoint: NodeCheckpoint) -> bool:
            self._asked += 1
            return self._asked % self._every == 0

        def keep_and_stop(checkpoint: NodeCheckpoint, content: Checkpoint) -> None:
            keep(checkpoint, content)
            self.saved += 1
            self._stop("checkpoint", self.saved)

        def step_and_stop(envs: MeteredVecEnv) -> Any:
            self.stepped += 1
            self._stop("step", self.stepped)
            return step(envs)

        monkeypatch.setattr(NodeCheckpoint, "due", due)
        monkeypatch.setattr(NodeCheckpoint, "keep", keep_and_stop)
        monkeypatch.setattr(MeteredVecEnv, "step_wait", step_and_stop)

    def _stop(self, at: str, count: int) -> None:
        if at == self._at and self._left and count == self._left[0]:
            self._left.pop(0)
            self.stopped += 1
            self.saved = self.stepped = 0
            raise Stopped


@pytest.fixture
def atari() -> Callable[[str], SuiteSpec]:
    """A suite of one game, short."""
    pytest.importorskip("ale_py", reason="Atari isn't installed: pip install 'tlbench[atari]'")
    pytest.importorskip("cv2", reason="Atari isn't installed: pip install 'tlbench[atari]'")
    return lambda game: parse_suite(ATARI.format(game=game), "games.toml")


@pytest.fixture
def nodes(tiny: SuiteSpec, tmp_path: Path) -> Callable[..., Iterator[Job]]:
    """The jobs of an evaluation, in order, without its controls."""

    def jobs(
        method: str,
        settings: Mapping[str, Any],
        out: str = "runs",
        how: Checkpointing | None = HERE,
        suite: SuiteSpec = tiny,
        tasks: str = "self",
    ) -> Iterator[Job]:
        request = prepare(method, suite, out=tmp_path / out, seeds="0", tasks=tasks, settings=settings)
        for node in (node for node in request.todo if node not in request.plan.controls):
            yield Job(node, request.plan.choice, request.store, "cpu", {}, how)

    return jobs


@pytest.fixture
def undisturbed(nodes: Any, contents: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What an evaluation that nothing happens to leaves."""

    def run(method: str, settings: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        for job in nodes(method, settings, out="undisturbed", how=None, **kwargs):
            work(job)
        found: dict[str, Any] = contents(tmp_path / "undisturbed")
        return found

    return run


def persist(job: Job) -> int:
    """Try again until it is done; how often it was stopped."""
    for stopped in range(100):
        try:
            work(job)
        except Stopped:
            continue
        return stopped
    raise AssertionError("it never ends")


def only_record(root: Path) -> dict[str, Any]:
    [path] = root.rglob("records/*/*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


PLACES = {
    "right after checkpoints": (3, [1, 1, 2], "checkpoint"),
    "at the very first step": (1, [1, 1], "checkpoint"),
    "between checkpoints": (4, [70, 90, 120, 149], "step"),
    "before any checkpoint": (40, [5], "step"),
}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("task", ["self", "far"])
def test_a_run_on_vectors_goes_on(
    nodes: Any, undisturbed: Any, contents: Any, tmp_path: Path, monkeypatch: Any, where: str, task: str
) -> None:
    wanted = undisturbed("scratch-dqn", VECTORS, tasks=task)
    every, places, at = PLACES[where]
    interruptions = Interruptions(monkeypatch, every, places, at)
    [job] = nodes("scratch-dqn", VECTORS, tasks=task)
    assert persist(job) == interruptions.stopped == len(places)
    assert contents(tmp_path / "runs") == wanted
    assert not (job.store.folder / "checkpoints").exists()


@pytest.mark.parametrize("game", ["qbert", pytest.param("breakout", marks=pytest.mark.slow)])
def test_a_run_on_images_goes_on(
    nodes: Any, undisturbed: Any, contents: Any, tmp_path: Path, monkeypatch: Any, atari: Any, game: str
) -> None:
    wanted = undisturbed("scratch-dqn", IMAGES, suite=atari(game))
    Interruptions(monkeypatch, 10, [45, 75, 85], "step")
    [job] = nodes("scratch-dqn", IMAGES, suite=atari(game))
    assert persist(job) == 3
    assert contents(tmp_path / "runs") == wanted


@pytest.mark.parametrize("method", ["layer-copy-first1-frozen", "finetune-dqn", "distill-last1-varying"])
def test_experts_and_frozen_layers_go_on(
    nodes: Any, undisturbed: Any, contents: Any, tmp_path: Path, monkeypatch: Any, method: str
) -> None:
    wanted = undisturbed(method, VECTORS)
    for job in [*nodes(method, VECTORS)]:
        with monkeypatch.context() as patched:
            # steps of all lanes: an expert takes 150 and learns from the 63rd on, a run 600, from the 26th on
            Interruptions(patched, 5, [100, 140], "step")
            assert persist(job) == (0 if isinstance(job.node, KnowledgeNode) else 2)
    assert contents(tmp_path / "runs") == wanted


@pytest.mark.slow
def test_an_experts_points_come_back(
    nodes: Any, undisturbed: Any, contents: Any, tmp_path: Path, monkeypatch: Any, atari: Any
) -> None:
    """Its best parameters were seen only before it was stopped for the last time."""
    monkeypatch.setattr("tlbench.execution.work.FRESH_EPISODES", 2)
    wanted = undisturbed("finetune-dqn", IMAGES, suite=atari("breakout"))
    [best] = [c["diagnostics"]["best_point"] for n, c in wanted.items() if "experts/" in n and n.endswith("json")]
    assert best < 9
    for job in [*nodes("finetune-dqn", IMAGES, suite=atari("breakout"))]:
        with monkeypatch.context() as patched:
            # an expert takes 300 steps of its lanes, of which the last 50 are followed by updates
            Interruptions(patched, 20, [255, 299] if isinstance(job.node, ExpertNode) else [50], "step")
            persist(job)
    assert contents(tmp_path / "runs") == wanted


def test_provenance_tells(nodes: Any, tmp_path: Path, monkeypatch: Any) -> None:
    Interruptions(monkeypatch, 3, [2, 3])
    [job] = nodes("scratch-dqn", VECTORS)
    for _ in range(2):
        with pytest.raises(Stopped):
            work(job)
    before = seconds_spent(job.store.folder, job.node.key, HERE)
    work(job)
    provenance = only_record(tmp_path / "runs")["provenance"]
    assert provenance["resumed"] == 2
    assert 0 < before < provenance["wall_seconds"]


def test_nothing_is_learnt_or_evaluated_twice(nodes: Any, monkeypatch: Any) -> None:
    from tlbench.baselines.learners.dqn_numpy import NumpyUpdate
    from tlbench.protocol import task

    counts = {"updates": 0, "points": 0}
    run, evaluate_all = NumpyUpdate.run, task.evaluate

    def counted_run(*args: Any) -> None:
        counts["updates"] += 1
        run(*args)

    def counted_evaluation(snapshots: Any, *args: Any) -> Any:
        counts["points"] += len(snapshots)
        return evaluate_all(snapshots, *args)

    monkeypatch.setattr(NumpyUpdate, "run", counted_run)
    monkeypatch.setattr(task, "evaluate", counted_evaluation)
    [job] = nodes("scratch-dqn", VECTORS, out="first", how=None)
    work(job)
    once = dict(counts)
    counts.update(updates=0, points=0)
    Interruptions(monkeypatch, 3, [20])
    [job] = nodes("scratch-dqn", VECTORS)
    assert persist(job) == 1
    assert counts == once


@pytest.fixture
def interrupted(nodes: Any, monkeypatch: Any) -> Job:
    """A run that was stopped right after its second checkpoint."""
    [job] = nodes("scratch-dqn", VECTORS)
    with monkeypatch.context() as patched:
        Interruptions(patched, 12, [2])
        with pytest.raises(Stopped):
            work(job)
    assert path_of(job.store.folder, job.node.key).exists()
    assert isinstance(job, Job)
    return job


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)


def change_facts(path: Path) -> None:
    tensors = load_file(path)
    tensors["facts"][-30] += 1
    save_file(tensors, path)


def another_file(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip, change_facts, another_file, empty])
def test_a_damaged_checkpoint_is_passed_over(
    interrupted: Job, undisturbed: Any, contents: Any, tmp_path: Path, capsys: Any, damage: Callable[[Path], None]
) -> None:
    path = path_of(interrupted.store.folder, interrupted.node.key)
    damage(path)
    assert seconds_spent(interrupted.store.folder, interrupted.node.key, HERE) == 0
    work(interrupted)
    assert "its checkpoint is damaged; it starts from nothing" in capsys.readouterr().err
    assert "resumed" not in only_record(tmp_path / "runs")["provenance"]
    assert contents(tmp_path / "runs") == undisturbed("scratch-dqn", VECTORS)


def test_a_checkpoint_of_other_code_is_passed_over(
    interrupted: Job, undisturbed: Any, contents: Any, tmp_path: Path, capsys: Any
) -> None:
    other = Checkpointing(60.0, {"code": "that"})
    assert seconds_spent(interrupted.store.folder, interrupted.node.key, HERE) > 0
    assert seconds_spent(interrupted.store.folder, interrupted.node.key, other) == 0
    work(replace(interrupted, checkpointing=other))
    assert "its checkpoint is of another version" in capsys.readouterr().err
    assert contents(tmp_path / "runs") == undisturbed("scratch-dqn", VECTORS)


def test_a_checkpoint_is_not_used_where_none_are_wanted(interrupted: Job, tmp_path: Path, capsys: Any) -> None:
    work(replace(interrupted, checkpointing=None))
    assert capsys.readouterr().err == ""
    assert "resumed" not in only_record(tmp_path / "runs")["provenance"]
    assert not (interrupted.store.folder / "checkpoints").exists()


def test_an_environment_that_does_not_repeat_itself_starts_from_nothing(
    interrupted: Job, undisturbed: Any, contents: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    wanted = undisturbed("scratch-dqn", VECTORS)
    step, calls = MeteredVecEnv.step_wait, []

    def other_at_first(envs: MeteredVecEnv) -> Any:
        calls.append(None)
        if len(calls) == 20:
            envs._venv.reset()  # type: ignore[attr-defined]
        return step(envs)

    monkeypatch.setattr(MeteredVecEnv, "step_wait", other_at_first)
    work(interrupted)
    assert "the environment doesn't repeat itself; it starts from nothing" in capsys.readouterr().err
    assert contents(tmp_path / "runs") == wanted


def test_a_full_disk_ends_it_and_keeps_the_last_checkpoint(interrupted: Job, monkeypatch: Any) -> None:
    path = path_of(interrupted.store.folder, interrupted.node.key)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(NodeCheckpoint, "due", lambda self: True)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"can't write .*: No space left on device; mend that"):
        work(interrupted)
    assert path.read_bytes() == before


def test_the_file_is_plain_safetensors_and_small(interrupted: Job) -> None:
    """The replay memory isn't in it."""
    path = path_of(interrupted.store.folder, interrupted.node.key)
    tensors = load_file(path)
    assert tensors["actions"].dtype == torch.uint8
    assert tensors["actions"].numel() % 16 == 0  # whole rollouts: 4 lanes, 4 steps
    networks = sum(t.numel() for name, t in tensors.items() if name.startswith("learner/q_net"))
    assert path.stat().st_size < 4 * networks * 4 + 100_000


def test_time_before_counts_against_the_wall_limit(interrupted: Job, monkeypatch: Any) -> None:
    monkeypatch.setattr("tlbench.execution.executors.local.seconds_spent", lambda *args: 1000.0)
    executor = LocalExecutor(1)
    try:
        executor.submit(interrupted, 999.0)
        [ending] = executor.wait(0.0)
    finally:
        executor.close()
    assert ending.error == "it was still running after its wall limit of 999 s and was ended"
    assert not path_of(interrupted.store.folder, interrupted.node.key).exists()


def test_short_runs_write_none(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    evaluation = run("scratch-dqn", settings=VECTORS, seeds="0")
    assert not evaluation.outcome.failed
    assert not list((tmp_path / "runs").rglob("checkpoints"))


@pytest.mark.parametrize("minutes", [-1.0, float("nan"), float("inf")])
def test_a_wrong_interval_is_refused(tiny: SuiteSpec, tmp_path: Path, minutes: float) -> None:
    with pytest.raises(TlbenchError, match="--checkpoint-minutes must be at least 0"):
        evaluate("scratch-dqn", tiny, out=tmp_path / "runs", checkpoint_minutes=minutes, progress=False)


def test_the_code_is_told_apart(tmp_path: Path, monkeypatch: Any) -> None:
    first = checkpoints.code_digest()
    (tmp_path / "other.py").write_text("")
    find = checkpoints.importlib.util.find_spec

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(
        checkpoints.importlib.util, "find_spec", lambda name: Spec() if name == "tlbench.tasks" else find(name)
    )
    assert checkpoints.code_digest.__wrapped__() != first
    here = Checkpointing.here(1.0, {"git_commit": "a", "python": "3"}, "cuda:1")
    assert here.origin == {"python": "3", "code": first, "device": "cuda"}
