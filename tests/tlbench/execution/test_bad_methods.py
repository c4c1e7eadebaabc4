"""Methods that break the rules: one clear line each, the other runs finish, no finished record is lost."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tlbench.analysis.load import load_curves
from tlbench.cli.api import Evaluation, evaluate
from tlbench.leaderboard.assembly import assemble
from tlbench.protocol.errors import StorageError, TlbenchError
from tlbench.protocol.specs import SuiteSpec, parse_suite
from tlbench.protocol.task import agent_seed

Run = Callable[..., Evaluation]
Write = Callable[..., str]


BAD: dict[str, tuple[str, str]] = {
    "raises": ("raise ValueError('first line\\nsecond line')", r"^ValueError: first line$"),
    "raises nothing to say": ("raise ZeroDivisionError", r"^ZeroDivisionError$"),
    "raises an odd error": ("raise TlbenchError('do this instead')", r"^do this instead$"),
    "asserts": ("assert False", r"^AssertionError$"),
    "takes too much memory": ("np.ones(1 << 50)", r"^MemoryError: .*\(out of memory\? try fewer --jobs\)$"),
    "takes too much memory in torch": ("torch.ones(1 << 50)", r"\(out of memory\? try fewer --jobs\)$"),
    "publishes nothing": ("pass", r"publish a policy"),
    "steps before it publishes": ("target.envs(2).reset()", r"publish a policy before the first metered call"),
    "publishes no policy": ("target.publish(3)", r"int is no policy: it needs act\(\) and frozen\(\)"),
    "NaN at once": ("target.publish(Constant(np.nan))", r"not finite before anything was learned"),
    "diverges at once": ("raise DivergedError('it is large')", r"diverged before its first step: it is large"),
    "acts outside the space": ("target.publish(Constant(7))", r"outside the action space Discrete\(2\)"),
    "acts in another shape": ("target.publish(Constant([0]))", r"actions have shape \(\d+, 1\)"),
    "acts with floats": ("target.publish(Constant(0.5))", r"actions are float64, the task expects integers"),
    "steps outside the space": (
        "target.publish(Constant(0))\nenv = target.envs(2)\nenv.reset()\nenv.step(np.array([0, 5]))",
        r"outside the action space Discrete\(2\)",
    ),
    "hides a step outside the space": (
        "target.publish(Constant(0))\nenv = target.envs(2)\nenv.reset()\n"
        "try:\n    env.step(np.array([0, 5]))\nexcept Exception:\n    pass",
        r"outside the action space Discrete\(2\)",
    ),
    "builds an environment": (
        "target.publish(Constant(0))\ngymnasium.make('CartPole-v1')",
        r"environment of its own \(CartPoleEnv\): use task\.envs\(n\)",
    ),
    "builds an environment and hides it": (
        "target.publish(Constant(0))\ntry:\n    gymnasium.make_vec('tlbench/CartPole-v1', 4)\nexcept Exception:\n    pass",  # noqa: E501
        r"environment of its own",
    ),
    "goes on after the end": (
        "target.publish(Constant(0))\nenv = target.envs(2)\nenv.reset()\n"
        "while True:\n    try:\n        env.step(np.array([0, 1]))\n    except BaseException:\n        pass",
        r"went on after its budget's end: let BudgetExhausted end learn_target",
    ),
    "calls sys.exit": ("sys.exit(3)", r"sys\.exit\(3\): it has to return"),
    "calls os._exit": ("os._exit(3)", r"ended early with exit status 3"),
    "calls os._exit(0)": ("os._exit(0)", r"ended early with exit status 0"),
    "kills itself": ("os.kill(os.getpid(), 9)", r"killed by SIGKILL"),
    "copies the task": (
        "import copy\ncopies = [copy.deepcopy(target)] * 5",
        r"can't be copied: use task\.envs",
    ),
    "copies the lanes": ("import copy\ncopy.deepcopy(target.envs(2))", r"can't be copied"),
    "pickles the task": ("import pickle\npickle.dumps(target)", r"can't be copied: use task\.envs"),
    "swallows that it can't": (
        "import pickle\ntry:\n    pickle.dumps(target)\nexcept Exception:\n    learn_from_scratch(target, ctx)",
        r"can't be copied: use task\.envs",
    ),
    "evaluates for itself": ("target.fresh_evaluation(Constant(0), 10)", r"no attribute 'fresh_evaluation'"),
    "looks at the harness's points": ("target.finish()", r"no attribute 'finish'"),
    "sets an attribute": ("target.publish(Constant(0))\ntarget.envs(1).set_attr('x', 1)", r"can't be set"),
    "diagnoses NaN": (
        "ctx.diagnostics['x'] = float('nan')\nlearn_from_scratch(target, ctx)",
        r"diagnostics must be finite JSON values",
    ),
    "diagnoses an object": (
        "ctx.diagnostics['x'] = object()\nlearn_from_scratch(target, ctx)",
        r"diagnostics must be finite JSON values",
    ),
}


def functions(bodies: list[str], arguments: str) -> str:
    """One function per body, ``bad_0`` and so on."""
    return "".join(f"\ndef bad_{i}({arguments}):\n{textwrap.indent(b, '    ')}\n" for i, b in enumerate(bodies))


@pytest.fixture(scope="module")
def all_at_once(tiny_text: str, plugin_head: str, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """One evaluation in which every seed breaks another rule and the last one none."""
    seeds = len(BAD) + 1
    suite = parse_suite(tiny_text.replace("seeds = 3", f"seeds = {seeds}"), "many.toml")
    numbers = {agent_seed(suite.tasks["cartpole"], "target", seed): seed for seed in range(seeds)}
    last = "learn_from_scratch(target, ctx)"
    head, cls = plugin_head.split("class Plugin")
    text = head + functions([body for body, _ in BAD.values()] + [last], "target, ctx") + "\n\nclass Plugin" + cls
    text += f"""
    uses_source = False
    control = "self"

    def learn_target(self, target, knowledge, ctx):
        globals()[f"bad_{{ {numbers}[ctx.agent_seed] }}"](target, ctx)
"""
    root = tmp_path_factory.mktemp("bad")
    (root / "plugin.py").write_text(text)
    return evaluate(str(root / "plugin.py"), suite, out=root / "runs", tasks="self", jobs=2, progress=False)


@pytest.mark.parametrize("number", range(len(BAD)), ids=list(BAD))
def test_each_is_told_in_one_line(all_at_once: Evaluation, number: int) -> None:
    error = all_at_once.outcome.failed[f"plugin on cartpole, seed {number}"]
    assert "\n" not in error
    assert "Traceback" not in error
    part = list(BAD.values())[number][1]
    assert re.search(part, error), error


def test_the_good_run_finishes_all_the_same(all_at_once: Evaluation) -> None:
    assert [record.seed for record in all_at_once.records()] == [len(BAD)]
    assert len(all_at_once.outcome.failed) == len(BAD)
    assert all_at_once.outcome.done == 1
    assert not all_at_once.complete
    assert all("Traceback" in detail for detail in all_at_once.outcome.details.values())


def test_a_method_that_never_returns_is_ended_at_its_wall_limit(
    run: Run, write_method: Write, vary: Callable[..., SuiteSpec]
) -> None:
    suite = vary(("max_return = 500.0\nwall_limit = 600.0", "max_return = 500.0\nwall_limit = 1.5"))
    path = write_method(
        """
        uses_source = False
        control = "self"

        def learn_target(self, target, knowledge, ctx):
            while True:
                time.sleep(0.01)
        """
    )
    evaluation = run(path, suite=suite, seeds="1")
    [error] = evaluation.outcome.failed.values()
    assert error == "it was still running after its wall limit of 1.5 s and was ended"


SOURCES: dict[str, tuple[str, str]] = {
    "NaN": ("return Knowledge({'a': torch.tensor([1.0, float('nan')])})", r"knowledge that is not finite"),
    "no knowledge": ("return {'a': 1}", r"learn_source returned dict, not Knowledge or None"),
    "not JSON": ("return Knowledge({}, {'a': object()})", r"not JSON serializable"),
    "raises": ("raise RuntimeError('no')", r"^RuntimeError: no$"),
    "lets the budget end it": (
        "env = sources[0].envs(2)\nenv.reset()\nwhile True:\n    env.step(np.array([0, 0]))",
        r"catch BudgetExhausted there and return the knowledge",
    ),
    "builds an environment": ("gymnasium.make('CartPole-v1')", r"environment of its own"),
}


def test_bad_knowledge_is_one_line_and_its_runs_are_left_out(
    tiny_text: str, plugin_head: str, run: Run, write_method: Write
) -> None:
    seeds = len(SOURCES)
    text = tiny_text.replace("seeds = 3", f"seeds = {seeds}").replace(
        "budget = 2400, points = 4", "budget = 64, points = 2"
    )
    head, cls = plugin_head.split("class Plugin")
    head += functions([body for body, _ in SOURCES.values()], "sources, experts, ctx") + "\n\nclass Plugin" + cls
    path = write_method(
        """
        control = "self"

        def learn_source(self, sources, experts, ctx):
            return globals()[f"bad_{experts[0].seed}"](sources, experts, ctx)
        """,
        head=head,
    )
    evaluation = run(path, suite=parse_suite(text, "many.toml"), tasks="self,inversion", seeds=None)
    assert evaluation.outcome.done == 3 * seeds  # the experts, and the controls on both targets
    assert len(evaluation.outcome.failed) == seeds
    for number, (_, part) in enumerate(SOURCES.values()):
        error = evaluation.outcome.failed[f"knowledge from cartpole, seed {number}"]
        assert "\n" not in error
        assert re.search(part, error), error
        for task in ("self", "inversion"):
            assert f"plugin on {task}, seed {number}" in evaluation.outcome.skipped
    assert [r for r in evaluation.records() if r.knowledge_key is not None] == []


@pytest.mark.parametrize(
    "body",
    [
        "agent.load({role: torch.full_like(t, float('nan')) for role, t in agent.params().items()})",
        "raise DivergedError('the loss is infinite')",
        "target.publish(Constant(np.nan))",
        "env.step(np.array([np.nan, 0.0]))",
    ],
)
def test_a_run_that_diverges_keeps_its_points_and_the_rest_counts_as_random(
    tiny: SuiteSpec, run: Run, own_runs: Any, write_method: Write, body: str
) -> None:
    path = write_method(
        f"""
        uses_source = False

        def learn_target(self, target, knowledge, ctx):
            agent = ctx.build(target.interface)
            target.publish(agent.policy)
            env = target.envs(2)
            env.reset()
            while target.spent < 1300:  # points are due at 0, 600, 1200, 1800 and 2400
                env.step(np.array([0, 1]))
            {body}
            while True:
                env.step(np.array([0, 1]))
        """
    )
    evaluation = run(path, seeds="0")
    assert not evaluation.outcome.failed
    [record] = own_runs(evaluation)
    assert record.diverged
    assert [p.fraction for p in record.curve] == [0.0, 0.25, 0.5]
    assert all(np.isfinite(p.returns).all() for p in record.curve)
    [curves] = load_curves(tiny, evaluation.records()).methods["plugin"]
    assert curves.method[0, 3:].tolist() == [22.0, 22.0]
    assert curves.diverged is not None
    assert curves.diverged.tolist() == [True]


def test_resetting_at_will_spends_the_budget(run: Run, own_runs: Any, write_method: Write) -> None:
    path = write_method(
        """
        uses_source = False

        def learn_target(self, target, knowledge, ctx):
            target.publish(Constant(0))
            resets = 0
            try:
                while True:
                    target.envs(100).reset()
                    resets += 1
            finally:
                ctx.diagnostics["resets"] = resets
        """
    )
    [record] = own_runs(run(path, seeds="0"))
    assert record.diagnostics["resets"] == 25
    assert record.steps.target == 2400


def test_prints_and_threads_of_a_method_harm_nothing(
    run: Run, own_runs: Any, write_method: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_method(
        """
        uses_source = False

        def learn_target(self, target, knowledge, ctx):
            def forever():
                while True:
                    time.sleep(0.01)
            for _ in range(3):
                threading.Thread(target=forever).start()
            for i in range(20_000):
                print("noise", i, flush=False)
            learn_from_scratch(target, ctx)
            sys.stdout = None
        """
    )
    evaluation = run(path)
    assert not evaluation.outcome.failed
    assert len(own_runs(evaluation)) == 2
    assert "noise" not in capfd.readouterr().out  # the tables' stream stays clean


def test_a_full_disk_ends_the_evaluation_and_loses_nothing(
    run: Run, own_runs: Any, write_method: Write, contents: Any, tmp_path: Any
) -> None:
    run("finetune-vpg", seeds="0")
    before = contents(tmp_path / "runs")
    path = write_method(
        """
        uses_source = False

        def learn_target(self, target, knowledge, ctx):
            def full(descriptor):
                raise OSError(28, os.strerror(28))
            os.fsync = full  # in this worker only
            target.publish(Constant(0))
        """
    )
    with pytest.raises(StorageError, match="No space left on device; mend that and run the same command again"):
        run(path, seeds="0,1,2")
    after = contents(tmp_path / "runs")
    assert {name: after[name] for name in before} == before
    assert not any(".tmp" in name or "plugin" in name for name in after if name.endswith(".json"))


def test_a_method_edited_during_an_evaluation_fails_clearly(run: Run, write_method: Write, tmp_path: Any) -> None:
    path = write_method(
        """
        uses_source = False

        def learn_target(self, target, knowledge, ctx):
            with open(__file__, "a") as file:
                file.write("# edited\\n")
            target.publish(Constant(0))
        """
    )
    evaluation = run(path, jobs=1)
    assert any("was changed during the evaluation" in error for error in evaluation.outcome.failed.values())


def test_a_learners_failure_leaves_out_what_needs_it(run: Run, vary: Callable[..., SuiteSpec]) -> None:
    suite = vary(
        ("max_return = 500.0\nwall_limit = 600.0", "max_return = 500.0\nwall_limit = 0.001"),
    )
    evaluation = run("finetune-vpg", suite=suite, tasks="self,inversion", seeds="0")
    failed = evaluation.outcome.failed
    assert set(failed) == {"expert vpg on cartpole, seed 0", "scratch-vpg on cartpole, seed 0"}
    assert all("wall limit of 0.001 s" in error for error in failed.values())
    assert sorted(evaluation.outcome.skipped) == [
        "finetune-vpg on inversion, seed 0",
        "finetune-vpg on self, seed 0",
        "knowledge from cartpole, seed 0",
    ]
    assert [record.target for record in evaluation.records()] == ["negated"]


def test_python_is_warned_of_what_failed_and_the_tracebacks_are_kept(run: Run, write_method: Write) -> None:
    path = write_method(
        """
        def learn_target(self, target, knowledge, ctx):
            raise ValueError("too bad")
        """
    )
    with pytest.warns(UserWarning, match="1 failed, the first: plugin on self, seed 0: ValueError: too bad; "):
        evaluation = run(path, seeds="0")
    assert "Traceback" in (evaluation.store.folder / "failures.log").read_text()


STEPS_FOR_ITSELF = {
    "in its __init__": """
        def __init__(self, config=None):
            super().__init__(config)
            self.envs = gymnasium.make_vec("tlbench/CartPole-v1", num_envs=1)
        """,
    "where it is defined": """
        envs = gymnasium.make_vec("tlbench/CartPole-v1", num_envs=1)
        """,
}


@pytest.mark.parametrize("body", STEPS_FOR_ITSELF.values(), ids=STEPS_FOR_ITSELF)
def test_environments_of_ones_own_are_refused_wherever_they_are_built(run: Run, write_method: Write, body: str) -> None:
    with pytest.raises(TlbenchError, match=r"environment of its own \(CartPoleVectorEnv\): use task\.envs") as caught:
        run(write_method(body), seeds="0")
    assert "\n" not in str(caught.value)


def test_a_method_that_is_its_own_control_has_no_result_without_its_own_runs(run: Run, write_method: Write) -> None:
    path = write_method(
        """
        learners = None
        experts = 0
        control = "self"

        def learn_source(self, sources, experts, ctx):
            return Knowledge({"x": torch.zeros(1)})

        def learn_target(self, target, knowledge, ctx):
            if knowledge is not None:
                raise ValueError("too bad")
            target.publish(Constant(0))
        """
    )
    evaluation = run(path, seeds="0")
    assert [record.diagnostics["arm"] for record in evaluation.records()] == ["control"]
    assert len(evaluation.outcome.failed) == 1
    with pytest.raises(TlbenchError, match="no finished run with its control"):
        evaluation.summary()
    with pytest.raises(TlbenchError, match="there are only the controls of its runs"):
        assemble(evaluation.suite, list(evaluation.store.records()), [], method="plugin", about={})
