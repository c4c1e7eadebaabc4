"""Killing the driver or a worker at any moment loses no finished record; the next call goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import read_record

PATIENCE = 120.0

BODY = """
def learn_target(self, target, knowledge, ctx):
    open(PIDS / str(os.getpid()), "w").close()
    time.sleep(1)
    super().learn_target(target, knowledge, ctx)
"""


def driver(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from tlbench.cli import main; main()", "evaluate", *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


def wait_until(reached: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:g} s"
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", ["kill -9", "Ctrl-C"])
def test_a_driver_that_is_stopped_loses_no_finished_record(
    tmp_path: Path, tiny_file: str, plugin_head: str, write_method: Any, contents: Any, run: Any, how: str
) -> None:
    (tmp_path / "pids").mkdir()
    head = plugin_head.replace(
        "class Constant", f"import pathlib\nPIDS = pathlib.Path({str(tmp_path / 'pids')!r})\n\nclass Constant"
    )
    method = write_method(BODY, head=head)
    arguments = ("--method", method, "--suite", tiny_file, "--jobs", "1", "--tasks", "self")
    out = tmp_path / "runs"

    def records() -> list[Path]:
        return sorted(out.rglob("records/plugin/*.json"))

    process = driver(*arguments, "--out", str(out))
    wait_until(lambda: len(records()) >= 1 or process.poll() is not None, "a record")
    assert process.poll() is None, process.communicate()
    if how == "kill -9":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    stdout, stderr = process.communicate(timeout=PATIENCE)
    if how == "Ctrl-C":
        assert process.returncode == 130
        assert "stopped: finished runs are kept; the same command goes on from there" in stderr
        assert "Traceback" not in stdout + stderr
    pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    wait_until(lambda: not any(alive(pid) for pid in pids), "the workers' end")
    kept = {path: path.read_bytes() for path in records()}
    assert 1 <= len(kept) < 3
    for path in kept:
        read_record(path)

    again = run(method, seeds=None)
    assert not again.outcome.failed
    assert len(records()) == 3
    assert {path: path.read_bytes() for path in kept} == kept  # not run again
    run(method, seeds=None, out=tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_killed_worker_is_told_and_the_rest_goes_on(run: Any, own_runs: Any, write_method: Any) -> None:
    path = write_method(
        """
        uses_source = False
        control = "self"

        def learn_target(self, target, knowledge, ctx):
            target.publish(Constant(0))
            if not os.path.exists(__file__ + ".once"):
                open(__file__ + ".once", "w").close()
                os.kill(os.getpid(), 9)
        """
    )
    evaluation = run(path, jobs=1)
    [error] = evaluation.outcome.failed.values()
    assert error == "its process was killed by SIGKILL (out of memory? try fewer --jobs)"
    assert len(own_runs(evaluation)) == 1
    again = run(path, jobs=1)
    assert (again.outcome.done, again.outcome.failed) == (1, {})
    assert len(own_runs(again)) == 2


def test_a_fork_server_that_is_killed_is_started_again(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing import forkserver

    run("random")  # it runs now
    connect, killed = forkserver.connect_to_new_process, []

    def killed_while_it_starts_a_process(fds: Any) -> Any:
        found = connect(fds)
        if not killed:
            killed.append(forkserver._forkserver._forkserver_pid)
            os.kill(killed[0], signal.SIGKILL)
            os.close(found[0])
            raise EOFError
        return found

    monkeypatch.setattr(forkserver, "connect_to_new_process", killed_while_it_starts_a_process)
    again = run("random", seeds="0,1,2")
    assert killed
    assert not again.outcome.failed

    def refuse(fds: Any) -> Any:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr(forkserver, "connect_to_new_process", refuse)
    with pytest.raises(TlbenchError, match=r"worker processes can't be started: .*Too many open files.*--jobs"):
        run("random", tasks="far")


def test_two_drivers_at_once(tmp_path: Path, tiny_file: str, write_method: Any, run: Any) -> None:
    method = write_method(
        """
        uses_source = False
        control = "self"

        def learn_target(self, target, knowledge, ctx):
            target.publish(Constant(0))
            time.sleep(12)
        """
    )
    out = tmp_path / "runs"
    process = driver("--method", method, "--suite", tiny_file, "--out", str(out), "--tasks", "self", "--seeds", "0")
    wait_until(lambda: (out / "tiny-v1" / ".lock").exists() or process.poll() is not None, "the lock")
    with pytest.raises(TlbenchError, match="another tlbench evaluate is writing to"):
        run("random", suite=tiny_file)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    assert run("random", suite=tiny_file).outcome.done == 2


@pytest.mark.slow
def test_trainings_that_are_killed_go_on_from_their_checkpoints(tmp_path: Path, tiny_text: str, contents: Any) -> None:
    suite = tmp_path / "longer.toml"
    suite.write_text(tiny_text.replace("budget = 2400", "budget = 9600"))
    arguments = ("--method", "layer-copy-first1-frozen", "--suite", str(suite), "--tasks", "self", "--seeds", "0")
    out, undisturbed = tmp_path / "runs", tmp_path / "undisturbed"

    def evaluation(minutes: str, out: Path) -> subprocess.Popen[str]:
        return driver(*arguments, "--jobs", "1", "--checkpoint-minutes", minutes, "--out", str(out))

    met: set[str] = set()

    def another() -> set[str]:
        return {path.name for path in out.rglob("checkpoints/*.safetensors")} - met

    told = ""
    for _ in range(3):  # an expert, the control, the run
        process = evaluation("1e-6", out)
        wait_until(lambda ended=process.poll: bool(another()) or ended() is not None, "a checkpoint")  # type: ignore[misc]
        process.kill()
        met.update(another())
        told += process.communicate(timeout=PATIENCE)[1]
    process = evaluation("1e-6", out)
    told += process.communicate(timeout=PATIENCE)[1]
    assert (process.returncode, len(met)) == (0, 3), told
    assert told.count("goes on from its checkpoint") == 3, told
    process = evaluation("0", undisturbed)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    assert contents(out) == contents(undisturbed)
    assert not list(out.rglob("checkpoints"))
