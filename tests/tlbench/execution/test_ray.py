"""Evaluations on a Ray cluster of two nodes that share nothing: equal to local ones, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tlbench.cli.api import prepare
from tlbench.execution.executors.place import Place
from tlbench.protocol.errors import TlbenchError

PATIENCE = 180.0
OBJECT_STORE = 100_000_000

BODY = """
def learn_target(self, target, knowledge, ctx):
    (PIDS / f"{os.environ.get('RAY_RAYLET_PID')}.{os.getpid()}").touch()
    time.sleep(SLEEP)
    super().learn_target(target, knowledge, ctx)
"""


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster of one node."""
    pytest.importorskip("ray", reason="Ray isn't installed: pip install 'tlbench[ray]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patched.setenv("RAY_raylet_start_wait_time_s", "120")  # a machine that does other things too
        node = {"num_cpus": 1, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=node)
        yield made
        made.shutdown()


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """A cluster of two nodes with a core each."""
    node = head.add_node(num_cpus=1, object_store_memory=OBJECT_STORE)
    yield head
    if node in head.list_all_nodes():
        head.remove_node(node)


@pytest.fixture
def sleeper(tmp_path: Path, plugin_head: str, write_method: Callable[..., str]) -> Callable[[float], str]:
    """Writes a method that tells where it runs, and takes its time."""

    def write(seconds: float) -> str:
        (tmp_path / "pids").mkdir(exist_ok=True)
        preface = (
            f"import pathlib\nPIDS = pathlib.Path({str(tmp_path / 'pids')!r})\nSLEEP = {seconds}\n\nclass Constant"
        )
        return write_method(BODY, head=plugin_head.replace("class Constant", preface))

    return write


def wait_until(reached: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:g} s"
        time.sleep(0.05)


def driver(address: str, method: str, suite: str, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tlbench", "evaluate", "--method", method, "--suite", suite, "--out", str(out)]
    return subprocess.Popen(
        [*command, "--tasks", "self", "--executor", "ray", "--ray-address", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def started(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "pids").iterdir()}


def alive(name: str) -> bool:
    try:
        state = Path(f"/proc/{name.rpartition('.')[2]}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


class TestCluster:
    pytestmark = pytest.mark.slow

    @pytest.mark.parametrize("method", ["spam", "random"])
    def test_records_are_those_of_a_local_run(
        self, cluster: Any, run: Any, contents: Any, tmp_path: Path, method: str
    ) -> None:
        settings = {"steps": 20} if method == "spam" else {}
        there = run(method, tasks="self,far", settings=settings, executor="ray", ray_address=cluster.address, jobs=None)
        assert (there.outcome.failed, there.outcome.skipped) == ({}, [])
        run(method, tasks="self,far", settings=settings, out=tmp_path / "local")
        assert contents(tmp_path / "runs") == contents(tmp_path / "local")
        again = run(method, tasks="self,far", settings=settings, executor="ray", ray_address=cluster.address)
        assert again.outcome.done == 0

    def test_what_a_method_does_wrong_is_told_as_locally_and_not_tried_again(
        self, cluster: Any, run: Any, own_runs: Any, write_method: Any, tmp_path: Path
    ) -> None:
        method = write_method(
            f"""
            uses_source = False
            control = "self"

            def learn_target(self, target, knowledge, ctx):
                with open({str(tmp_path / "calls")!r}, "a") as calls:
                    calls.write("x")
                target.publish(Constant(0))
                if ctx.seed % 2 or not os.path.exists({str(tmp_path / "once")!r}):
                    open({str(tmp_path / "once")!r}, "w").close()
                    os.kill(os.getpid(), 9)
                raise ValueError("first line\\nsecond line")
            """
        )
        options = {"executor": "ray", "ray_address": cluster.address, "seeds": "0,1,2"}
        local = run(method, out=tmp_path / "local", seeds="0,1,2").outcome.failed
        calls = (tmp_path / "calls").stat().st_size
        (tmp_path / "once").unlink()
        remote = run(method, **options).outcome.failed
        assert (tmp_path / "calls").stat().st_size == 2 * calls == 6
        killed = "its process was killed by SIGKILL (out of memory? try fewer --jobs)"
        assert killed in remote.values()
        assert set(local) == set(remote)
        assert set(remote.values()) <= {killed, "ValueError: first line"}

    def test_a_node_that_dies_in_mid_run_loses_nothing(
        self, cluster: Any, run: Any, contents: Any, sleeper: Any, tmp_path: Path, tiny_file: str
    ) -> None:
        method = sleeper(3.0)
        process = driver(cluster.address, method, tiny_file, tmp_path / "runs")
        worker = cluster.list_all_nodes()[-1]
        raylet = worker.all_processes["raylet"][0].process.pid

        def runs_there() -> bool:
            return process.poll() is not None or any(n.startswith(f"{raylet}.") for n in started(tmp_path))

        wait_until(runs_there, "a run on the node that is to die")
        assert process.poll() is None, process.communicate()
        cluster.remove_node(worker, allow_graceful=False)
        stdout, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, stderr
        assert "Traceback" not in stdout + stderr
        assert len(started(tmp_path)) > 3  # the lost run was run again
        run(method, seeds=None, out=tmp_path / "local")
        assert contents(tmp_path / "runs") == contents(tmp_path / "local")

    @pytest.mark.parametrize("how", ["kill -9", "Ctrl-C"])
    def test_a_driver_that_is_stopped_leaves_nothing_behind_and_is_resumed(
        self, cluster: Any, run: Any, contents: Any, sleeper: Any, tmp_path: Path, tiny_file: str, how: str
    ) -> None:
        method, out = sleeper(2.0), tmp_path / "runs"
        process = driver(cluster.address, method, tiny_file, out)
        wait_until(lambda: process.poll() is not None or len([*out.rglob("records/plugin/*.json")]) > 0, "a record")
        assert process.poll() is None, process.communicate()
        if how == "kill -9":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE)
        if how == "Ctrl-C":
            assert process.returncode == 130, stderr
            assert stderr.endswith("stopped: finished runs are kept; the same command goes on from there\n")
        wait_until(lambda: not any(alive(name) for name in started(tmp_path)), "the end of the job's tasks")
        kept = {path: path.read_bytes() for path in out.rglob("records/plugin/*.json")}
        assert 1 <= len(kept) < 3
        again = driver(cluster.address, method, tiny_file, out)
        _, stderr = again.communicate(timeout=PATIENCE)
        assert again.returncode == 0, stderr
        assert {path: path.read_bytes() for path in kept} == kept  # not run again
        run(method, seeds=None, out=tmp_path / "local")
        assert contents(out) == contents(tmp_path / "local")

    def test_gpus_are_shared_as_asked_for(self, cluster: Any, run: Any, own_runs: Any, write_method: Any) -> None:
        from tlbench.execution.executors.ray import Needs, RayExecutor

        method = write_method(
            """
            uses_source = False
            control = "self"

            def learn_target(self, target, knowledge, ctx):
                target.publish(Constant(0))
            """
        )
        options = {"executor": "ray", "ray_address": cluster.address, "device": "cuda", "runs_per_gpu": 2}
        with pytest.raises(TlbenchError, match=r"the Ray cluster has no GPU: .*--device cpu"):
            run(method, **options)
        node = cluster.add_node(num_cpus=3, num_gpus=1, object_store_memory=OBJECT_STORE)
        failed = run(method, **options).outcome.failed
        for gpus, room in ((0.5, 2), (1.0, 1), (0.0, 5)):
            executor = RayExecutor(cluster.address, None, Needs(gpus=gpus))
            assert executor.slots == room
            executor.close()
        cluster.remove_node(node)
        assert not failed


@pytest.mark.parametrize(
    ("place", "device", "message"),
    [
        (Place("dask"), "cpu", "--executor takes local or ray, not 'dask'"),
        (Place(ray_address="x:1"), "cpu", "--ray-address means something only with --executor ray"),
        (Place(runs_per_gpu=2), "cpu", "--runs-per-gpu means something only with --executor ray"),
        (Place("ray"), "cuda:1", "Ray chooses the GPU: --device is cpu or cuda"),
        (Place("ray", runs_per_gpu=0), "cuda", "--runs-per-gpu must be at least 1"),
    ],
)
def test_wishes_that_do_not_fit(place: Place, device: str, message: str) -> None:
    with pytest.raises(TlbenchError, match=message) as caught:
        place.check(device)
    assert "\n" not in str(caught.value)


def test_without_ray(monkeypatch: pytest.MonkeyPatch, tiny: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TlbenchError, match=r"^--executor ray needs Ray: pip install 'tlbench\[ray\]'$"):
        prepare("random", tiny, out=tmp_path / "runs", executor="ray")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense", "nowhere.invalid:6379"])
def test_a_cluster_that_is_not_there(run: Any, address: str) -> None:
    pytest.importorskip("ray", reason="Ray isn't installed: pip install 'tlbench[ray]'")
    with pytest.raises(TlbenchError, match=r"no Ray cluster at|--ray-address takes") as caught:
        run("random", executor="ray", ray_address=address)
    assert "\n" not in str(caught.value)
