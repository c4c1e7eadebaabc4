"""Which runs count: published records with something missing, doubled or diverged."""

from pathlib import Path

import pytest

from tlbench.analysis.figures import collect
from tlbench.analysis.load import counted_runs, load_curves
from tlbench.analysis.page.facts import method_facts
from tlbench.leaderboard.board import Board
from tlbench.protocol.discovery import find_suite
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record, own_controls

SUITE = find_suite("half-cheetah-direction-v1")


def records_of(method: str) -> list[Record]:
    board = Board.local(Path("no-other-board"))
    entries = [e for e in board.entries() if e.metadata.suite == SUITE.id and e.metadata.method == method]
    return [r for r in board.submission(entries[0]).records if r.kind != "expert"]


@pytest.fixture(scope="module")
def maml():
    """Three runs on each of five seeds, and the method's own controls: itself without knowledge."""
    return records_of("maml")


@pytest.fixture(scope="module")
def finetune():
    """The same runs of a method whose controls are learners from scratch."""
    return records_of("finetune-multitask-trpo")


def counted(records, methods=None):
    wanted = [r for r in records if methods is None or r.method.id in methods]
    return counted_runs(load_curves(SUITE, wanted, records).methods, wanted)


def test_a_methods_own_controls_are_no_runs_of_it(maml):
    runs = counted(maml)
    assert len(runs) == 15
    assert own_controls(maml).isdisjoint(r.key for r in runs)
    (facts,) = method_facts(maml, ["maml"])
    assert facts.runs == 15
    assert not facts.source.startswith("0 ")


def test_a_run_without_its_control_does_not_count(finetune):
    method = [r for r in finetune if r.method.id == "finetune-multitask-trpo"]
    lost = next(r for r in method if r.transfers == ("forward-to-backward",))
    records = [r for r in finetune if r.key != lost.control_key]
    runs = counted(records, {"finetune-multitask-trpo"})
    backward = [r.seed for r in runs if "forward-to-backward" in r.transfers]
    assert sorted(backward) == [seed for seed in range(5) if seed != lost.seed]


def test_a_seed_that_lacks_an_instance_does_not_count(finetune):
    method = [r for r in finetune if r.method.id == "finetune-multitask-trpo"]
    lost = next(r for r in method if r.transfers == ("forward-and-backward",))
    runs = counted([r for r in finetune if r.key != lost.key], {"finetune-multitask-trpo"})
    family = sorted(r.seed for r in runs if "forward-and-backward" in r.transfers)
    assert family == [seed for seed in range(5) if seed != lost.seed for _ in range(2)]


def test_a_run_that_counts_on_one_of_its_transfer_tasks_is_kept_for_that_one(finetune):
    lost = next(r for r in finetune if r.method.id == "scratch-trpo" and r.target == "forward")
    runs = counted([r for r in finetune if r.key != lost.key], {"scratch-trpo"})
    (backward,) = [r for r in runs if r.seed == lost.seed]
    assert backward.transfers == ("forward-to-backward",)


def test_a_control_that_diverged_is_a_note_also_where_it_is_not_shown(finetune):
    control = next(r for r in finetune if r.method.id == "scratch-trpo" and r.target == "backward")
    diverged = control.model_copy(update={"diverged": True, "curve": control.curve[:1]})
    records = [diverged if r.key == control.key else r for r in finetune]
    notes = collect(SUITE, records, ["finetune-multitask-trpo"]).notes
    for task in ("forward-and-backward", "forward-to-backward"):
        assert f"finetune-multitask-trpo: 1 run of its control diverged on {task}, which flatters its gain" in notes
    assert not any("diverged" in note for note in collect(SUITE, finetune).notes)


@pytest.mark.parametrize(
    ("what", "note"),
    [
        ({"abstained": True}, "1 run abstained on forward-to-backward: the control's again"),
        ({"diverged": True}, "1 run diverged on forward-to-backward: what is left counts as the random policy's"),
    ],
)
def test_runs_that_abstained_or_diverged_are_notes(finetune, what, note):
    method = [r for r in finetune if r.method.id == "finetune-multitask-trpo"]
    changed = next(r for r in method if r.transfers == ("forward-to-backward",))
    records = [r.model_copy(update=what) if r is changed else r for r in finetune]
    assert f"finetune-multitask-trpo: {note}" in load_curves(SUITE, records).notes


def test_an_incomplete_crossing_is_a_note(finetune):
    text = SUITE.model_dump(mode="json")
    text["transfers"]["forward-to-backward"]["expert_seeds"] = [0, 1, 2, 3, 4]
    crossed = type(SUITE).model_validate(text)
    runs = [r.model_copy(update={"digest": crossed.digest, "expert_seed": 0}) for r in finetune]
    extra = next(r for r in runs if r.method.id != "scratch-trpo" and r.transfers == ("forward-to-backward",))
    others = [extra.model_copy(update={"expert_seed": e, "key": f"{e:064d}"}) for e in (1, 2, 3, 4)]
    (note,) = [n for n in load_curves(crossed, [*runs, *others]).notes if "of its 25 runs" in n and "finetune" in n]
    assert note == "finetune-multitask-trpo: forward-to-backward has 9 of its 25 runs"


def test_two_records_of_one_run_are_an_error_of_one_line(maml):
    other = maml[0].model_copy(update={"key": "0" * 64})
    with pytest.raises(TlbenchError, match="twice"):
        load_curves(SUITE, [*maml, other])
