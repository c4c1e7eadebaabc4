"""Keys change with exactly what a node depends on; methods share experts and controls without asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tlbench.execution.plan import EXPERT_SEED_STRIDE, Plan, RunNode, make_plan
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import find_suite, methods
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec

Vary = Callable[..., SuiteSpec]

FAMILY = """
[tasks.long]
environment = "tlbench/CartPole-v1"
options = { pole_half_length = 1.0 }
discount = 0.99
random_return = 22.0
expert_return = 500.0
threshold = 475.0
wall_limit = 600.0
target = { budget = 2400, points = 5, episodes = 3 }

[transfers.family]
sources = ["cartpole"]
targets = ["negated", "long"]
relation = "task-family"
"""

COPY = """
[tasks.copy]
environment = "tlbench/CartPole-v1"
options = { pole_half_length = 0.6 }
discount = 0.99
random_return = 22.0
expert_return = 500.0
threshold = 475.0
wall_limit = 600.0
source = { budget = 2400, points = 4, episodes = 2 }

"""

CROSSED = """
[transfers.crossed]
sources = ["cartpole"]
targets = ["cartpole"]
relation = "self"
expert_seeds = [0, 7]
"""

STUDY = """
[transfers.study]
sources = ["cartpole"]
targets = ["pendulum"]
relation = "far"
scored = false
learner.vpg = { learning_rate = 0.001 }
"""


def plan(suite: SuiteSpec, method: str, seeds: tuple[int, ...] = (0,), tasks: str = "", **settings: object) -> Plan:
    chosen = tasks.split(",") if tasks else list(suite.transfers)
    return make_plan(suite, MethodChoice(method, settings), chosen, seeds)


def keys(nodes: tuple[object, ...]) -> set[str]:
    return {node.key for node in nodes}  # type: ignore[attr-defined]


def test_nodes_of_one_evaluation(tiny: SuiteSpec) -> None:
    made = plan(tiny, "spam", (0, 1, 2))
    assert (len(made.experts), len(made.knowledge), len(made.controls), len(made.runs)) == (3, 3, 9, 9)
    assert made.complete
    order = [node.key for node in made.nodes()]
    assert len(order) == len(set(order)) == 24
    for run in made.runs:
        assert run.knowledge in made.knowledge
        assert set(run.knowledge.experts) <= set(made.experts)
        assert run.control_key in keys(made.controls)
        assert run.expert_seed == run.seed
    labels = [node.label for node in made.nodes()]
    assert len(set(labels)) == len(labels)


def test_subsets_are_incomplete(tiny: SuiteSpec) -> None:
    assert not plan(tiny, "spam", (0, 1)).complete
    assert not plan(tiny, "spam", (0, 1, 2), "self,far").complete
    assert not plan(tiny.quick_form(), "spam", (0, 1)).complete
    assert len(plan(tiny, "spam", (0, 1), "self").runs) == 2


def test_a_subset_has_the_keys_of_the_whole(tiny: SuiteSpec) -> None:
    whole = {node.key: node for node in plan(tiny, "spam", (0, 1, 2)).nodes()}
    assert all(whole[node.key] == node for node in plan(tiny, "spam", (1,), "far").nodes())


def test_methods_share_experts_and_controls(tiny: SuiteSpec) -> None:
    spam, linear, finetune = (plan(tiny, name) for name in ("spam", "spam-linear", "finetune-vpg"))
    assert keys(spam.experts) == keys(linear.experts) == keys(finetune.experts)
    assert keys(spam.controls) == keys(linear.controls) == keys(finetune.controls)
    assert not keys(spam.knowledge) & keys(linear.knowledge)
    assert not keys(spam.runs) & keys(linear.runs)
    assert not keys(spam.experts) & keys(plan(tiny, "spam-ppo").experts)
    assert not keys(spam.controls) & keys(plan(tiny, "spam-ppo").controls)


def test_the_runs_of_scratch_are_the_controls_of_the_others(tiny: SuiteSpec) -> None:
    scratch, spam = plan(tiny, "scratch-vpg", (0, 1)), plan(tiny, "spam", (0, 1))
    assert scratch.runs == spam.controls
    assert scratch.controls == scratch.experts == scratch.knowledge == ()
    assert all(run.control_key == run.key for run in scratch.runs)


def test_transfer_tasks_with_one_target_share_a_control(vary: Vary) -> None:
    suite = vary(
        extra="""
        [transfers.again]
        sources = ["cartpole"]
        targets = ["negated"]
        relation = "far"
        """
    )
    made = plan(suite, "finetune-vpg", (0,), "inversion")
    assert len(made.controls) == 1
    assert made.controls[0].transfers == ("inversion", "again")
    assert keys(plan(suite, "finetune-vpg", (0,), "again").controls) == keys(made.controls)


def test_transfer_tasks_that_differ_in_name_only_share_their_runs(vary: Vary) -> None:
    """As a study does for every learner that it has no settings for."""
    suite = vary(extra=STUDY)
    made = plan(suite, "spam-ppo")
    shared = [run for run in made.runs if run.target == "pendulum"]
    assert [run.transfers for run in shared] == [("far", "study")]
    assert shared[0] == plan(suite, "spam-ppo", (0,), "far").runs[0] == plan(suite, "spam-ppo", (0,), "study").runs[0]
    vpg = {run.transfers: run for run in plan(suite, "spam").runs if run.target == "pendulum"}
    assert set(vpg) == {("far",), ("study",)}
    assert vpg["far",].name != vpg["study",].name


def test_only_sources_that_a_method_takes_are_trained_on_and_counted(
    vary: Vary, write_method: Callable[..., str]
) -> None:
    suite = vary(
        ("[transfers.self]", COPY + "[transfers.self]"),
        extra="""
        [transfers.two]
        sources = ["cartpole", "copy"]
        targets = ["negated"]
        relation = "task-family"
        [transfers.turned]
        sources = ["copy", "cartpole"]
        targets = ["negated"]
        relation = "task-family"
        """,
    )
    for method in ("finetune-dqn", "spam-dqn", "layer-copy-first1-dqn", "zero-shot-dqn"):
        both = plan(suite, method, tasks="inversion,two,turned")
        assert [run.sources for run in both.runs] == [("cartpole",), ("copy",)]
        assert [run.transfers for run in both.runs] == [("inversion", "two"), ("turned",)]
        assert [[expert.task for expert in node.experts] for node in both.knowledge] == [["cartpole"], ["copy"]]
        assert plan(suite, method, tasks="two").runs[0] == plan(suite, method, tasks="inversion").runs[0]
    own = write_method("def learn_source(self, sources, experts, ctx):\n    return None\n")
    for method in ("distill-last1-fixed", "finetune-multitask-ppo", own):
        both = plan(suite, method, tasks="two")
        assert both.runs[0].sources == both.knowledge[0].sources == ("cartpole", "copy")
        assert [expert.task for expert in both.experts] in ([], ["cartpole", "copy"])


def test_a_study_sets_the_learner_for_both_arms_but_not_for_the_expert(vary: Vary) -> None:
    suite = vary(extra=STUDY)
    far, study = plan(suite, "spam", (0,), "far"), plan(suite, "spam", (0,), "study")
    assert keys(far.experts) == keys(study.experts)
    assert keys(far.knowledge) == keys(study.knowledge)
    assert not keys(far.controls) & keys(study.controls)
    assert study.controls[0].learner_settings == (("learning_rate", 0.001),)
    assert study.runs[0].control_settings == (("learning_rate", 0.001),)
    scratch = plan(suite, "scratch-vpg", (0,), "study")
    assert scratch.runs == study.controls
    assert len({node.label for node in plan(suite, "scratch-vpg").runs}) == 4


@pytest.mark.parametrize(
    ("old", "new", "expert", "control", "run"),
    [
        ("threshold = 475.0", "threshold = 470.0", False, False, False),
        ("wall_limit = 600.0", "wall_limit = 601.0", False, False, False),
        ("seeds = 3", "seeds = 4", False, False, False),
        ("budget = 2400, points = 4", "budget = 2000, points = 4", True, False, True),
        ("points = 4, episodes = 2", "points = 4, episodes = 3", True, False, True),
        ("budget = 2400, points = 5", "budget = 2000, points = 5", False, True, True),
        ("points = 5, episodes = 3", "points = 6, episodes = 3", False, True, True),
        ("discount = 0.99", "discount = 0.98", True, True, True),
        ("options = { observation_sign = -1 }", "options = { pole_half_length = 0.6 }", False, True, True),
        ("-2.0], [0.0]", "-1.5], [0.0]", False, False, False),
    ],
)
def test_keys_change_with_exactly_what_nodes_depend_on(
    tiny: SuiteSpec, vary: Vary, old: str, new: str, expert: bool, control: bool, run: bool
) -> None:
    """Of the transfer task cartpole -> negated (discretised actions are the pendulum's)."""
    before, after = plan(tiny, "spam", (0,), "inversion"), plan(vary((old, new)), "spam", (0,), "inversion")
    assert (keys(before.experts) != keys(after.experts)) == expert
    assert (keys(before.knowledge) != keys(after.knowledge)) == expert
    assert (keys(before.controls) != keys(after.controls)) == control
    assert (keys(before.runs) != keys(after.runs)) == run


def test_the_seed_is_in_every_key(tiny: SuiteSpec) -> None:
    first, second = plan(tiny, "spam", (0,)), plan(tiny, "spam", (1,))
    assert not keys(tuple(first.nodes())) & keys(tuple(second.nodes()))


def test_settings_change_what_they_are_settings_of(tiny: SuiteSpec) -> None:
    plain, own = plan(tiny, "spam"), plan(tiny, "spam", steps=20)
    assert keys(plain.experts) == keys(own.experts)
    assert keys(plain.controls) == keys(own.controls)
    assert not keys(plain.knowledge) & keys(own.knowledge)
    assert not keys(plain.runs) & keys(own.runs)
    learner = plan(tiny, "spam", **{"learner.learning_rate": 0.5})
    assert keys(plain.experts) == keys(learner.experts)
    assert keys(plain.knowledge) == keys(learner.knowledge)
    assert keys(plain.controls) == keys(learner.controls)
    assert not keys(plain.runs) & keys(learner.runs)
    hashes = [p.choice.config_hash() for p in (plain, own, learner)]
    assert len(set(hashes)) == 3
    default = plan(tiny, "spam", steps=methods()["spam-vpg"].cls.Config().steps)  # set to what it is anyway
    assert keys(default.runs) == keys(plain.runs)
    assert default.choice.config_hash() == plain.choice.config_hash()


def test_settings_of_scratch_leave_its_control_alone(tiny: SuiteSpec) -> None:
    tuned, plain = plan(tiny, "scratch-vpg", **{"learner.learning_rate": 0.5}), plan(tiny, "scratch-vpg")
    assert tuned.controls == plain.runs
    assert {run.control_key for run in tuned.runs} == keys(plain.runs)
    assert not keys(tuned.runs) & keys(plain.runs)


def test_crossed_expert_seeds(vary: Vary) -> None:
    made = plan(vary(extra=CROSSED), "spam", (0, 1), "crossed")
    assert [(run.seed, run.expert_seed) for run in made.runs] == [(0, 0), (0, 7), (1, 0), (1, 7)]
    assert sorted(expert.seed for expert in made.experts) == [0, 7]
    assert len(made.knowledge) == 2
    assert len(made.controls) == 2
    assert len({run.name for run in made.runs}) == len({run.label for run in made.runs}) == 4
    assert len(plan(vary(extra=CROSSED), "scratch-vpg", (0, 1), "crossed").runs) == 2


def test_a_crossed_run_that_is_also_a_plain_one_serves_both(vary: Vary) -> None:
    made = plan(vary(extra=CROSSED), "spam", (0, 1), "self,crossed")
    served = {(run.seed, run.expert_seed): run.transfers for run in made.runs}
    assert served == {
        (0, 0): ("self", "crossed"),
        (1, 1): ("self",),
        (0, 7): ("crossed",),
        (1, 0): ("crossed",),
        (1, 7): ("crossed",),
    }


def test_a_family_has_one_run_per_target_and_one_knowledge(vary: Vary) -> None:
    made = plan(vary(extra=FAMILY), "spam", (0, 1), "family")
    assert [(run.target, run.seed) for run in made.runs] == [("negated", 0), ("negated", 1), ("long", 0), ("long", 1)]
    assert (len(made.knowledge), len(made.experts), len(made.controls)) == (2, 2, 4)
    nodes: list[RunNode] = [*made.runs, *made.controls]
    assert len({node.label for node in nodes}) == len({node.name for node in nodes}) == 8


def test_a_run_has_one_name_whichever_transfer_task_asked_for_it(vary: Vary) -> None:
    suite = vary(extra=FAMILY + CROSSED)
    together = {node.key: node for node in plan(suite, "spam", (0, 1)).nodes()}
    for name in suite.transfers:
        assert all(together[node.key] == node for node in plan(suite, "spam", (0, 1), name).nodes())


def test_several_experts_per_source(tiny: SuiteSpec, write_method: Callable[..., str]) -> None:
    made = plan(tiny, write_method("experts = 3"), (0, 1), "self")
    assert len(made.experts) == 6
    assert {expert.seed for expert in made.experts} == {
        seed + EXPERT_SEED_STRIDE * i for seed in (0, 1) for i in range(3)
    }
    assert keys(plan(tiny, "spam", (0, 1), "self").experts) < keys(made.experts)


def test_a_method_that_trains_itself_has_knowledge_but_no_experts(
    tiny: SuiteSpec, vary: Vary, write_method: Callable[..., str]
) -> None:
    path = write_method("experts = 0")
    made = plan(tiny, path, (0,), "self")
    assert (len(made.experts), len(made.knowledge), len(made.runs), len(made.controls)) == (0, 1, 1, 1)
    other = plan(vary(("budget = 2400, points = 4", "budget = 2000, points = 4")), path, (0,), "self")
    assert keys(other.knowledge) != keys(made.knowledge)


@pytest.mark.parametrize(
    "body", ["uses_source = False", "uses_source = False\nexperts = 0", "uses_source = False\ncontrol = 'self'"]
)
def test_a_plugin_without_a_source_is_not_taken_for_the_control(
    tiny: SuiteSpec, write_method: Callable[..., str], body: str
) -> None:
    made, control = plan(tiny, write_method(body)), plan(tiny, "scratch-vpg")
    assert not keys(made.runs) & keys(control.runs)
    assert {run.control_key for run in made.runs} == (keys(made.runs) if "self" in body else keys(control.runs))
    edited = plan(tiny, write_method(body + "\nx = 1"))
    assert not keys(edited.runs) & keys(made.runs)


def test_methods_without_learner_are_told_apart(tiny: SuiteSpec, write_method: Callable[..., str]) -> None:
    body = "uses_source = False\nlearners = ()\nx = {}"
    one, two = plan(tiny, write_method(body.format(1))), plan(tiny, write_method(body.format(2)))
    assert not keys(one.runs) & keys(two.runs)
    assert one.controls == ()
    assert all(run.control_key == run.key for run in one.runs)


def test_an_edited_plugin_is_run_again(tiny: SuiteSpec, write_method: Callable[..., str]) -> None:
    before = plan(tiny, write_method(""))
    hash_before = before.choice.config_hash()
    after = plan(tiny, write_method("# changed"))
    assert keys(before.experts) == keys(after.experts)
    assert not keys(before.runs) & keys(after.runs)
    assert hash_before != after.choice.config_hash()
    with pytest.raises(TlbenchError, match="changed during the evaluation"):
        before.choice.method()


def test_a_new_version_of_a_method_is_run_again(tiny: SuiteSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan(tiny, "spam")
    monkeypatch.setattr(methods()["spam-vpg"].cls, "version", "2")
    assert not keys(plan(tiny, "spam").runs) & keys(before.runs)


@pytest.mark.parametrize("name", list(methods()))
def test_every_method_plans_the_same_twice(tiny: SuiteSpec, name: str) -> None:
    try:
        first = plan(tiny, name, (0, 1))
    except TlbenchError as error:
        if "does not support tiny-v1" not in str(error):
            raise
        return
    again = plan(tiny, name, (0, 1))
    assert replace(first) == again
    assert first.runs


def test_a_method_that_does_not_support_a_task_says_which_and_why(tiny: SuiteSpec, vary: Vary) -> None:
    suite = vary(
        ('environment = "tlbench/CartPole-v1"\noptions', 'environment = "Blackjack-v1"\noptions'),
        ("options = { observation_sign = -1 }", ""),
    )
    with pytest.raises(TlbenchError, match=r"spam-vpg does not support tiny-v1: inversion: vpg can't learn negated"):
        plan(suite, "spam")
    assert plan(suite, "spam", (0,), "self,far").runs


@pytest.mark.parametrize(
    ("method", "settings", "part"),
    [
        ("spam", {"stepz": 3}, "stepz.*it has: layers"),
        ("spam", {"steps": 0}, "steps"),
        ("spam", {"steps": "many"}, "steps"),
        ("spam", {"learner.lr": 1}, "settings of vpg: lr"),
        ("spam", {"learner.log_std_init": float("nan")}, "log_std_init.*finite"),
        ("spam", {"zero_tol": float("inf")}, "zero_tol.*finite"),
        ("random", {"learner.learning_rate": 1}, "random has no learner"),
        ("random", {"x": 1}, "x"),
    ],
)
def test_wrong_settings_are_one_line(tiny: SuiteSpec, method: str, settings: dict[str, object], part: str) -> None:
    with pytest.raises(TlbenchError, match=part) as caught:
        plan(tiny, method, **settings)
    assert "\n" not in str(caught.value)


def test_a_study_keeps_its_settings_whatever_is_set() -> None:
    suite = find_suite("classic")
    study, plain = "cartpole-to-inverted-pendulum-suboptimal", "cartpole-to-inverted-pendulum"
    plan = make_plan(suite, MethodChoice("finetune-vpg", {"learner.learning_rate": 0.003}), (plain, study), (0,))
    rates = {node.transfers: dict(node.learner_settings)["learning_rate"] for node in plan.runs}
    assert rates == {(plain,): 0.003, (study,): 0.001}
    with pytest.raises(TlbenchError, match="one and the same run"):
        make_plan(suite, MethodChoice("finetune-vpg", {"learner.learning_rate": 0.001}), (plain, study), (0,))
