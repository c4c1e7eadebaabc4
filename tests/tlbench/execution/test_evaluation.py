"""Whole evaluations through worker processes: what ends in records, determinism, resuming, abstention."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlbench.analysis.load import load_curves
from tlbench.cli.api import Evaluation
from tlbench.execution.plan import make_plan
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import methods
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec

Run = Callable[..., Evaluation]
Own = Callable[[Evaluation], list[Record]]


def test_records_hold_the_outcome_and_where_it_comes_from(tiny: SuiteSpec, run: Run, own_runs: Own) -> None:
    evaluation = run("spam", tasks="self,far", settings={"steps": 20})
    assert not evaluation.outcome.failed
    assert not evaluation.complete
    found = own_runs(evaluation)
    assert [(r.transfers, r.seed) for r in found] == [(("far",), 0), (("far",), 1), (("self",), 0), (("self",), 1)]
    for record in found:
        schedule = tiny.tasks[record.target].schedule("target")
        assert (record.suite, record.digest, record.kind) == ("tiny-v1", tiny.digest, "run")
        assert [p.fraction for p in record.curve] == schedule.target_fractions()
        assert all(len(p.returns) == len(p.lengths) == schedule.episodes for p in record.curve)
        counts = [p.count for p in record.curve]
        assert counts[0] == 0
        assert all(c >= f * schedule.budget for c, f in zip(counts[:-1], schedule.target_fractions(), strict=False))
        assert counts[-1] == record.steps.target
        assert schedule.budget - 64 < record.steps.target <= schedule.budget
        assert (record.steps.source, record.steps.extraction) == (2400, 0)
        assert record.gradient_steps
        assert sum(record.training.episodes) > 0
        assert record.learner is not None
        assert record.learner.config["learning_rate"] > 0
        assert record.method is not None
        assert record.method.id == "spam-vpg"
        [expert] = record.experts
        assert expert.task == "cartpole"
        assert {"zero_ratio", "sparsity_ratio", "carried_share"} <= set(record.diagnostics)
        assert {"python", "packages", "git_commit", "device", "wall_seconds"} <= set(record.provenance)
        assert str(Path.home()) not in record.model_dump_json()
    controls = [r for r in evaluation.records() if r not in found]
    assert {r.key for r in controls} == {r.control_key for r in found}
    for record in controls:
        assert record.knowledge_key is None
        assert record.experts == ()
        assert (record.steps.source, record.expert_seed) == (0, None)
    frame = evaluation.to_frame()
    assert len(frame) == 2


def test_the_expert_is_the_best_checkpoint(tiny: SuiteSpec, run: Run) -> None:
    evaluation = run("finetune-vpg", seeds="0,1,2")
    for record in evaluation.store.expert_records():
        means = [float(np.mean(p.returns)) for p in record.curve]
        assert [p.fraction for p in record.curve] == [0.25, 0.5, 0.75, 1.0]
        assert record.diagnostics["best_point"] == int(np.argmax(means))
        assert record.steps.source == 2400
        [run_record] = [r for r in evaluation.records() if r.experts and r.experts[0].key == record.key]
        assert run_record.experts[0].mean_return == record.diagnostics["mean_return"]


def test_the_control_of_finetuning_at_zero_percent_differs_only_by_knowledge(run: Run, own_runs: Own) -> None:
    """Start states are shared: zero-shot on its own task scores 0 % exactly as fine-tuning does."""
    finetune, zero = run("finetune-vpg"), run("zero-shot-vpg")
    for a, b in zip(own_runs(finetune), own_runs(zero), strict=True):
        assert a.curve[0].returns == b.curve[0].returns
        assert a.control_key == b.control_key
    assert zero.outcome.done == 4  # knowledge and runs: experts and controls were there


@pytest.mark.parametrize("method", ["spam", "random"])
def test_equal_whatever_the_number_of_workers(
    run: Run, contents: Callable[[Path], dict[str, Any]], tmp_path: Path, method: str
) -> None:
    settings = {"steps": 20} if method == "spam" else {}
    for jobs in (1, 2):
        run(method, out=tmp_path / str(jobs), jobs=jobs, tasks="self,far", settings=settings)
    one, two = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert one == two
    assert len(one) > 4


def test_only_what_is_missing_is_run(run: Run, contents: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    first = run("finetune-vpg")
    assert first.outcome.done == 8  # 2 experts, 2 knowledge, 2 controls, 2 runs
    before = contents(tmp_path / "runs")
    assert run("finetune-vpg").outcome.done == 0
    lost = sorted((tmp_path / "runs" / "tiny-v1" / "records" / "finetune-vpg").glob("*.json"))[0]
    lost.unlink()
    again = run("finetune-vpg")
    assert again.outcome.done == 1
    assert contents(tmp_path / "runs") == before
    more = run("finetune-vpg", seeds="0,1,2")
    assert more.outcome.done == 4


def test_experts_and_knowledge_that_no_missing_run_needs_are_not_made_again(run: Run, tmp_path: Path) -> None:
    run("finetune-vpg")
    store = tmp_path / "runs" / "tiny-v1"
    for folder in ("experts", "knowledge"):
        for path in (store / folder).iterdir():
            path.unlink()
    assert run("finetune-vpg").outcome.done == 0


@pytest.mark.parametrize("folder", ["experts", "knowledge", "records"])
def test_damaged_files_are_made_again(
    run: Run, contents: Callable[[Path], dict[str, Any]], tmp_path: Path, folder: str
) -> None:
    run("finetune-vpg", seeds="0")
    before = contents(tmp_path / "runs")
    [victim, *_] = sorted((tmp_path / "runs" / "tiny-v1" / folder).rglob("*.json"))
    victim.write_bytes(victim.read_bytes()[:100])
    for other in ("records/finetune-vpg", "knowledge"):  # so that what is damaged is needed
        for path in (tmp_path / "runs" / "tiny-v1" / other).iterdir():
            path.unlink()
    again = run("finetune-vpg", seeds="0")
    assert not again.outcome.failed
    after = contents(tmp_path / "runs")
    assert {name: content for name, content in after.items() if not name.endswith(".damaged")} == before


def test_an_abstaining_method_has_its_controls_curve_exactly(
    run: Run, own_runs: Own, write_method: Callable[..., str]
) -> None:
    path = write_method(
        """
        def learn_source(self, sources, experts, ctx):
            np.random.seed(1)
            torch.rand(3)
            return None

        def learn_target(self, target, knowledge, ctx):
            raise AssertionError("never called")
        """
    )
    evaluation = run(path, tasks="self,far", settings={"learner.learning_rate": 0.5})
    assert not evaluation.outcome.failed
    controls = {r.key: r for r in evaluation.records()}
    for record in own_runs(evaluation):
        control = controls[record.control_key or ""]
        assert record.key != control.key
        assert record.abstained
        assert record.curve == control.curve
        assert record.training == control.training
        assert record.learner == control.learner
        assert record.steps.target == control.steps.target
        assert record.steps.source == 2400
        assert len(record.experts) == 1
    summary = evaluation.summary()
    assert summary is not None


def test_learning_on_the_source_that_diverges_is_an_abstention(
    run: Run, own_runs: Own, write_method: Callable[..., str]
) -> None:
    path = write_method(
        """
        experts = 0

        def learn_source(self, sources, experts, ctx):
            [source] = sources
            agent = ctx.build(source.interface, ctx.learner_config.model_copy(update={"learning_rate": 1e38}))
            agent.train(source)
            raise AssertionError("it has diverged")
        """
    )
    evaluation = run(path)
    assert not evaluation.outcome.failed
    controls = {r.key: r for r in evaluation.records()}
    for record in own_runs(evaluation):
        assert record.abstained
        assert not record.diverged
        assert str(record.diagnostics["abstention"]).startswith("learning on the source diverged: ")
        assert record.curve == controls[record.control_key or ""].curve
        assert 0 < record.steps.source < 2400


def test_extraction_has_a_quarter_of_the_source_budget(
    run: Run, own_runs: Own, write_method: Callable[..., str]
) -> None:
    path = write_method(
        """
        def learn_source(self, sources, experts, ctx):
            [source] = sources
            assert source.budget == 600
            env = source.envs(7)
            env.reset()
            try:
                while True:
                    env.step(np.zeros(7, dtype=np.int64))
            except BudgetExhausted:
                pass
            return Knowledge(dict(experts[0].params), {"note": [1, "a"]}, {"seen": source.spent})
        """
    )
    evaluation = run(path)
    assert not evaluation.outcome.failed
    for record in own_runs(evaluation):
        assert (record.steps.source, record.steps.extraction) == (2400, 595)
        assert record.diagnostics["seen"] == 595


def test_a_method_that_trains_itself_has_the_whole_source_budget(
    run: Run, own_runs: Own, write_method: Callable[..., str]
) -> None:
    path = write_method(
        """
        experts = 0

        def learn_source(self, sources, experts, ctx):
            assert experts == []
            agent = ctx.build(sources[0].interface)
            agent.train(sources[0])
            return Knowledge(agent.params())
        """
    )
    evaluation = run(path)
    assert not evaluation.outcome.failed
    for record in own_runs(evaluation):
        assert (record.steps.source, record.steps.extraction) == (2400, 0)
        assert record.experts == ()


def test_views_of_one_tensor_are_knowledge_too(run: Run, write_method: Callable[..., str]) -> None:
    path = write_method(
        """
        def learn_source(self, sources, experts, ctx):
            flat = torch.cat([t.flatten() for t in experts[0].params.values()])
            pieces = flat.split([t.numel() for t in experts[0].params.values()])
            shaped = zip(experts[0].params.items(), pieces)
            return Knowledge({role: piece.view(t.shape) for (role, t), piece in shaped})
        """
    )
    assert not run(path).outcome.failed


def test_several_experts_are_counted(run: Run, own_runs: Own, write_method: Callable[..., str]) -> None:
    evaluation = run(write_method("experts = 2"), seeds="0")
    [record] = own_runs(evaluation)
    assert record.steps.source == 4800
    assert len({expert.key for expert in record.experts}) == 2


def test_families_and_crossed_experts_run_and_are_reported(
    vary: Callable[..., SuiteSpec], run: Run, own_runs: Own
) -> None:
    suite = vary(
        extra="""
        [transfers.family]
        sources = ["cartpole"]
        targets = ["negated", "cartpole"]
        relation = "task-family"

        [transfers.crossed]
        sources = ["cartpole"]
        targets = ["cartpole"]
        relation = "self"
        expert_seeds = [0, 2]
        """
    )
    evaluation = run("finetune-vpg", suite=suite, tasks="family,crossed")
    assert not evaluation.outcome.failed
    served = sorted((r.target, r.seed, r.expert_seed, "crossed" in r.transfers) for r in own_runs(evaluation))
    assert served == [
        ("cartpole", 0, 0, True), ("cartpole", 0, 2, True), ("cartpole", 1, 0, True),
        ("cartpole", 1, 1, False), ("cartpole", 1, 2, True), ("negated", 0, 0, False), ("negated", 1, 1, False),
    ]  # fmt: skip
    curves = {c.task: c for c in load_curves(suite, evaluation.records()).methods["finetune-vpg"]}
    assert curves["family"].method.shape == (2, 5)
    assert curves["crossed"].method.shape == (4, 5)


def test_a_folder_of_another_digest_is_refused(run: Run, vary: Callable[..., SuiteSpec], tmp_path: Path) -> None:
    run("random")
    other = vary(("threshold = 475.0", "threshold = 470.0"))
    with pytest.raises(TlbenchError, match=r"was made with another tiny-v1 .*another --out") as caught:
        run("random", suite=other)
    assert "\n" not in str(caught.value)


def test_records_copied_from_another_digest_are_not_used(
    run: Run, vary: Callable[..., SuiteSpec], tmp_path: Path
) -> None:
    run("random")
    other = vary(("threshold = 475.0", "threshold = 470.0"))
    evaluation = run("random", suite=other, out=tmp_path / "other")
    [mine, *_] = sorted((tmp_path / "runs").rglob("random/*.json"))
    theirs = tmp_path / "other" / mine.relative_to(tmp_path / "runs")
    theirs.write_bytes(mine.read_bytes())
    with pytest.raises(TlbenchError, match=r"another digest .*same `tlbench evaluate`"):
        list(evaluation.store.records())
    assert run("random", suite=other, out=tmp_path / "other").outcome.done == 1


def test_two_drivers_of_one_folder(run: Run, tmp_path: Path) -> None:
    first = run("random")
    inside = tmp_path / "runs" / "tiny-v1" / "records" / ".half.json.1.tmp"
    with first.store.locked():
        inside.write_text("another driver's worker is writing this")
        with pytest.raises(TlbenchError, match="another tlbench evaluate is writing"):
            run("spam")
        assert inside.exists()  # what the other driver is writing is left alone
    assert not run("random").outcome.failed
    assert not inside.exists()  # now it is a leftover


def test_a_quick_evaluation_is_marked(run: Run, tiny: SuiteSpec) -> None:
    evaluation = run("finetune-vpg", suite=tiny.quick_form(), tasks=None, seeds=None)
    assert not evaluation.complete
    assert all(not record.submittable for record in evaluation.records())
    assert evaluation.store.folder.name == "tiny-v1-quick"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(methods()))
def test_every_method_runs_on_the_tiny_suite(run: Run, name: str) -> None:
    try:
        evaluation = run(name, tasks=None, seeds="0")
    except TlbenchError as error:
        if "does not support tiny-v1" not in str(error):
            raise
        return
    assert not evaluation.outcome.failed
    assert not any(record.diverged for record in evaluation.records())
    assert run(name, tasks=None, seeds="0").outcome.done == 0


def test_workers_order_sets_of_text_alike(run, write_method) -> None:  # else a record depends on when it was made
    evaluation = run(
        write_method(
            """
            def learn_target(self, target, knowledge, ctx):
                ctx.diagnostics["random hashes"] = sys.flags.hash_randomization
                learn_from_scratch(target, ctx)
            """
        ),
        seeds="0",
    )
    [own] = [r for r in evaluation.records() if r.method is not None and r.method.id == "plugin"]
    assert own.diagnostics["random hashes"] == 0


def test_a_family_with_long_names_has_short_files(vary) -> None:
    name = "a-source-with-a-velocity-of-its-own"
    source = """
    [tasks.{}]
    environment = "tlbench/CartPole-v1"
    discount = 0.99
    random_return = 20.0
    expert_return = 480.0
    threshold = 400.0
    wall_limit = 600.0
    source = {{ budget = 640, points = 2, episodes = 1 }}
    """
    names = [f"{name}-{number}" for number in range(12)]
    family = """
    [transfers.family]
    sources = [{}]
    targets = ["cartpole", "negated"]
    relation = "task-family"
    """
    extra = "".join(source.format(n) for n in names) + family.format(", ".join(f'"{n}"' for n in names))
    suite = vary(extra=extra)
    plan = make_plan(suite, MethodChoice("finetune-multitask-ppo"), ("family",), (0,))
    files = [node.name.partition("/")[2] for node in (*plan.controls, *plan.runs)]
    assert max(map(len, files)) < 200
    assert len(set(files)) == len(files)
