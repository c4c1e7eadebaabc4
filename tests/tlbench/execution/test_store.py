"""The store: whole files or none, damage found and set aside, digests held apart, folders and disks that refuse."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from tlbench.cli.api import evaluate
from tlbench.execution import store as store_module
from tlbench.execution.plan import Plan, make_plan
from tlbench.execution.runner import missing_nodes
from tlbench.execution.selection import MethodChoice
from tlbench.execution.store import Store, find_stores, write_atomically
from tlbench.protocol.errors import StorageError, TlbenchError
from tlbench.protocol.interface import Knowledge
from tlbench.protocol.records import checksum
from tlbench.protocol.specs import SuiteSpec

CHOICE = MethodChoice("finetune-vpg")


@pytest.fixture(scope="session")
def finished(tiny: SuiteSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one seed of fine-tuning."""
    root = tmp_path_factory.mktemp("finished")
    evaluation = evaluate(CHOICE.reference, tiny, out=root, seeds="0", tasks="self", jobs=2, progress=False)
    assert not evaluation.outcome.failed
    return root


@pytest.fixture
def store(tiny: SuiteSpec, finished: Path, tmp_path: Path) -> Store:
    """A copy of them."""
    shutil.copytree(finished, tmp_path / "runs")
    return Store(tmp_path / "runs", tiny)


@pytest.fixture
def plan(tiny: SuiteSpec) -> Plan:
    return make_plan(tiny, CHOICE, ["self"], [0])


def one(store: Store, folder: str, suffix: str = ".json") -> Path:
    return next(p for p in sorted((store.folder / folder).rglob(f"*{suffix}")))


def test_a_finished_store_lacks_nothing(store: Store, plan: Plan) -> None:
    store.open()
    assert missing_nodes(plan, store) == []
    assert len(list(store.records())) == 2
    assert len(list(store.expert_records())) == 1
    assert [s.suite for s in find_stores(store.folder.parent)] == [s.suite for s in find_stores(store.folder)]


@pytest.mark.parametrize("harm", ["another digest", "truncated"])
def test_a_finished_store_wants_experts_whose_records_cant_be_submitted(store: Store, plan: Plan, harm: str) -> None:
    record = one(store, "experts")
    content = {**json.loads(record.read_text()), "digest": "0" * 64}
    del content["checksum"]
    text = json.dumps({**content, "checksum": checksum(content)})
    record.write_text(text if harm == "another digest" else text[:-9])
    with pytest.raises(TlbenchError, match="the same `tlbench evaluate` sets it aside and makes it again"):
        list(store.expert_records())
    assert missing_nodes(plan, store) == [*plan.experts]
    record.unlink()
    assert missing_nodes(plan, store) == []  # who deletes an expert doesn't want it back


HARM: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "last byte lost": lambda data: data[:-2],
    "empty": lambda data: b"",
    "one number changed": lambda data: data.replace(b"2400", b"2300", 1),
    "other JSON": lambda data: b'{"a": 1}',
    "a list": lambda data: b"[1]",
    "binary": lambda data: b"\x00\xff" * 50,
    "NaN": lambda data: data.replace(b"2400", b"NaN", 1),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=list(HARM))
@pytest.mark.parametrize("folder", ["experts", "knowledge", "records"])
def test_damage_is_found_and_set_aside_by_the_driver_only(
    store: Store, plan: Plan, folder: str, harm: Callable[[bytes], bytes]
) -> None:
    for path in (store.folder / "records" / "finetune-vpg").iterdir():
        if folder != "records":
            path.unlink()
    if folder == "experts":
        one(store, "knowledge").unlink()
    victim = one(store, folder)
    harmed = harm(victim.read_bytes())
    assert harmed != victim.read_bytes()
    victim.write_bytes(harmed)
    wanted = {"experts": 3, "knowledge": 2, "records": 1}[folder]
    assert len(missing_nodes(plan, store)) == wanted
    assert victim.read_bytes() == harmed  # a dry run moves nothing
    with store.locked():
        assert len(missing_nodes(plan, store)) == wanted
        assert not victim.exists()
        assert victim.with_suffix(".damaged").read_bytes() == harmed
        assert len(missing_nodes(plan, store)) == wanted


@pytest.mark.parametrize("harm", [*HARM.values(), None], ids=[*HARM, "missing"])
@pytest.mark.parametrize("folder", ["experts", "knowledge"])
def test_damaged_weights_are_found(
    store: Store, plan: Plan, folder: str, harm: Callable[[bytes], bytes] | None
) -> None:
    for path in (store.folder / "records" / "finetune-vpg").iterdir():
        path.unlink()
    if folder == "experts":
        one(store, "knowledge").unlink()
    victim = one(store, folder, ".safetensors")
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if harm is None else harm(data) if harm(data) != data else b"")
    with store.locked():
        assert len(missing_nodes(plan, store)) == {"experts": 3, "knowledge": 2}[folder]
    with pytest.raises(TlbenchError):
        store.load_expert(plan.experts[0].key) if folder == "experts" else find_or_raise(store, plan)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_folder_in_a_files_place_is_set_aside_again_and_again(store: Store, plan: Plan, suffix: str) -> None:
    [knowledge] = plan.knowledge
    victim = store.folder / "knowledge" / f"{knowledge.key}{suffix}"
    found = store.find_knowledge(knowledge.key)
    assert found is not None
    for times in (1, 2, 3):
        victim.unlink()
        (victim / "inside").mkdir(parents=True)
        with store.locked():
            assert store.find_knowledge(knowledge.key) is None
            assert not victim.exists()
            store.write_knowledge(knowledge.key, found[0], {})
        assert store.find_knowledge(knowledge.key) is not None
        aside = [path for path in victim.parent.glob("*.damaged") if path.is_dir()]
        assert len(aside) == times


def find_or_raise(store: Store, plan: Plan) -> None:
    if store.find_knowledge(plan.knowledge[0].key) is None:
        raise TlbenchError("not found")


def test_a_damaged_record_is_named_with_what_to_do(store: Store) -> None:
    victim = one(store, "records")
    victim.write_bytes(victim.read_bytes()[:99])
    with pytest.raises(TlbenchError, match=r"truncated: .*the same `tlbench evaluate`") as caught:
        list(store.records())
    assert str(victim) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_copy_of_a_record_is_not_read_twice(store: Store) -> None:
    before = [record.key for record in store.records()]
    original = one(store, "records")
    shutil.copy(original, original.with_name("a copy.json"))
    assert sorted(record.key for record in store.records()) == sorted(before)


def test_a_record_under_another_name_is_not_taken_for_it(store: Store, plan: Plan) -> None:
    control, run = (store.record_path(node.name) for node in (*plan.controls, *plan.runs))
    run.write_bytes(control.read_bytes())
    assert missing_nodes(plan, store) == [*plan.runs]


def test_files_are_written_in_full_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file.json"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(store_module.os, "fsync", full)
        with pytest.raises(StorageError, match=r"No space left on device; mend that and run the same command again"):
            write_atomically(path, b"two")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda self, target: full(0))
        with pytest.raises(StorageError):
            write_atomically(path, b"three")
    with monkeypatch.context() as patched:
        patched.setattr(store_module.os, "fsync", lambda descriptor: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_atomically(path, b"four")
    assert path.read_bytes() == b"one"
    assert list(path.parent.iterdir()) == [path]


def test_damage_that_can_not_be_moved_is_one_line(store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    one(store, "records").write_bytes(b"")

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with store.locked():
        monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(StorageError, match=r"is damaged and can't be moved away: Permission denied$"):
            missing_nodes(plan, store)


def test_a_file_where_the_folder_should_be(tiny: SuiteSpec, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="can't write") as caught:
            Store(root, tiny).open()
        assert "\n" not in str(caught.value)
        assert "None" not in str(caught.value)


def test_a_folder_that_may_not_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(store_module.os, "access", lambda path, mode: False)
        with pytest.raises(StorageError, match="permission denied; choose another folder with --out"):
            store.open()

    def refuse(self: FileLock, timeout: float) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(StorageError, match=r"Read-only file system.*--out"), store.locked():
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": 3}', '{"x": 1}', "\x00"])
def test_a_damaged_manifest_is_one_line(store: Store, text: str) -> None:
    (store.folder / "suite.json").write_text(text)
    for attempt in (store.open, store.check_digest, lambda: find_stores(store.folder.parent)):
        with pytest.raises(TlbenchError, match="missing or damaged: use another --out") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_a_manifest_that_does_not_fit_its_digest_is_refused(store: Store) -> None:
    path = store.folder / "suite.json"
    manifest = json.loads(path.read_text())
    manifest["spec"]["seeds"] = 2
    path.write_text(json.dumps(manifest))
    with pytest.raises(TlbenchError, match="another tiny-v1"):
        find_stores(store.folder)
    manifest["spec"]["seeds"] = "many"
    path.write_text(json.dumps(manifest))
    with pytest.raises(TlbenchError, match="damaged: seeds"):
        find_stores(store.folder)


def test_no_results_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TlbenchError, match="holds no results: run `tlbench evaluate` first"):
            find_stores(path)


def test_one_driver_at_a_time(store: Store, tiny: SuiteSpec) -> None:
    other = Store(store.folder.parent, tiny)
    leftover = store.folder / "records" / ".x.json.7.tmp"
    leftover.write_text("half")
    with store.locked():
        assert not leftover.exists()
        with pytest.raises(TlbenchError, match="another tlbench evaluate"), other.locked():
            pass
    with other.locked():
        pass


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(2.5)},
        {"a": torch.zeros(0), "b": torch.ones(3, dtype=torch.float64)},
        {},
    ],
)
def test_knowledge_round_trip(store: Store, tensors: dict[str, torch.Tensor]) -> None:
    data: dict[str, Any] = {"list": [1, None, "é"], "deep": {"x": 0.1}}
    store.write_knowledge("key", Knowledge(tensors, data, {"d": 1.5}), {"steps": {"source": 1}})
    found = store.find_knowledge("key")
    assert found is not None
    knowledge, facts = found
    assert knowledge is not None
    assert list(knowledge.tensors) == list(tensors)
    assert all(torch.equal(knowledge.tensors[name], tensors[name]) for name in tensors)
    assert knowledge.tensors.get("b", torch.zeros(0)).dtype == tensors.get("b", torch.zeros(0)).dtype
    assert (knowledge.data, knowledge.diagnostics, facts["steps"]) == (data, {"d": 1.5}, {"source": 1})
    store.write_knowledge("none", None, {})
    found = store.find_knowledge("none")
    assert found is not None
    assert found[0] is None
    assert store.find_knowledge("absent") is None


def test_expert_round_trip(store: Store, plan: Plan) -> None:
    params, record = store.load_expert(plan.experts[0].key)
    assert next(iter(params)) == "body.0.weight"
    store.write_expert("copy", params, record)
    again, _ = store.load_expert("copy")
    assert list(again) == list(params)
    assert all(torch.equal(again[role], params[role]) for role in params)
