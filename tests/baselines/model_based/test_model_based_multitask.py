"""The methods: no sample before the warm-up is over, every sample of the budget, what is carried and what is told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tlbench.baselines.model_based.config import MultitaskConfig
from tlbench.baselines.model_based.course import Course
from tlbench.baselines.model_based.shared import SharedModels
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.interface import Interface, Knowledge, learn_from_scratch
from tlbench.protocol.task import HarnessTask

GOALS = ((0.4, 0.1), (-0.3, 0.4), (-0.2, -0.4))


def learned(small, source, context, goals=GOALS, name="model-based-multitask", **settings) -> Knowledge:
    method = MethodChoice(name, {**small, **settings}).method()
    found = method.learn_source([source(*goal) for goal in goals], [], context())
    assert found is not None
    return found


@pytest.fixture(scope="module")
def knowledge(small, source, context) -> Knowledge:
    """What the small method learns from three sources."""
    return learned(small, source, context)


def test_the_warm_up_takes_no_sample(small, target, context, monkeypatch, knowledge):
    spent, task = [], target()
    warm_up = Course.warm_up

    def watched(course: Course, updates: int) -> None:
        before = course.pilot.policy.frozen()
        warm_up(course, updates)
        obs = np.random.default_rng(0).normal(0, 0.3, (5, 2))
        moved = [p.act(obs, None, np.ones(5, bool))[0] for p in (before, course.pilot.policy.frozen())]
        spent.append((task.spent, bool(np.array_equal(*moved))))

    monkeypatch.setattr(Course, "warm_up", watched)
    MethodChoice("model-based-multitask", small).method().learn_target(task, knowledge, context())
    assert spent == [(0, False)]


@pytest.mark.parametrize("budget", [600, 601])
def test_every_sample_of_the_budget_is_used_and_what_the_last_ones_teach_counts(
    small, target, context, monkeypatch, knowledge, budget
):
    task, trained, train = target(budget=budget), [], Course._train
    monkeypatch.setattr(Course, "_train", lambda course: (trained.append(task.spent), train(course)))
    MethodChoice("model-based-multitask", small).method().learn_target(task, knowledge, context())
    assert (task.spent, trained[-1], len(trained)) == (600, 600, 3)
    assert task.meter._refused <= 1
    assert [count for count, _ in task.finish()] == [0, -(-budget // 10) * 5, 600]


def test_virtual_episodes_are_as_long_as_the_longest_real_one_so_far(small, source, context, monkeypatch):
    horizons, train = [], Course._train

    def watched(course: Course) -> None:
        train(course)
        horizons.append((course._collector.longest, course._env.horizon))

    monkeypatch.setattr(Course, "_train", watched)
    learned(small, source, context, goals=GOALS[:1], source_stages=3)  # 40 steps of 5 lanes each
    assert horizons == [(40, 40), (80, 80), (100, 100)]


def test_sources_are_spent_in_the_order_told(small, source, context, knowledge):
    sources = [source(*goal) for goal in GOALS]
    method = MethodChoice("model-based-multitask", small).method()
    again = method.learn_source(sources, [], context())
    assert [task.spent for task in sources] == [600] * 3
    assert sorted(knowledge.diagnostics["source_order"]) == [0, 1, 2]
    assert knowledge.diagnostics["source_scores"] == [{}, {}, {}]
    assert [len(errors) for errors in knowledge.diagnostics["source_model_errors"]] == [1, 2, 2]
    assert json.loads(json.dumps(dict(knowledge.diagnostics))) == knowledge.diagnostics
    assert {tuple(task.reads) for task in sources} == {("reward", "terminated")}
    assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in knowledge.tensors.items())


def test_what_is_carried_comes_back(small, small_config, source, target, context):
    knowledge = learned(small, source, context, kept_segments=700)
    roles = set(knowledge.tensors)
    assert {"models.0.weight", "models.1.bias", "models.obs_mean", "models.delta_std", "data.obs", "starts"} <= roles
    assert knowledge.tensors["models.0.weight"].shape == (2, 4, 16)
    assert len(knowledge.tensors["data.obs"]) == 700
    assert knowledge.data == {"observations": 2, "actions": 2, "horizon": 100}
    shared = SharedModels(target().interface, small_config, np.random.default_rng(1))
    shared.load(knowledge)
    back = shared.knowledge(700, {})
    assert dict(back.data) == dict(knowledge.data)
    assert all(torch.equal(back.tensors[name], tensor) for name, tensor in knowledge.tensors.items())


def test_a_target_does_not_change_the_knowledge(small, target, context, knowledge):
    before = {name: tensor.clone() for name, tensor in knowledge.tensors.items()}
    MethodChoice("model-based-multitask", small).method().learn_target(target(), knowledge, context())
    assert all(torch.equal(tensor, knowledge.tensors[name]) for name, tensor in before.items())


def test_models_of_other_sizes_are_left(small, target, context, knowledge):
    other = replace(knowledge, data={**knowledge.data, "observations": 17})
    task, ctx = target(), context()
    MethodChoice("model-based-multitask", small).method().learn_target(task, other, ctx)
    assert (ctx.diagnostics["carried_share"], task.spent) == (0.0, 600)
    assert len(ctx.diagnostics["model_errors"]) == 2  # not on the first data: there was no model


def test_without_knowledge_it_is_its_control(small, target, context):
    task, control = target(), target()
    MethodChoice("model-based-multitask", small).method().learn_target(task, None, context())
    learn_from_scratch(control, context())
    assert task.finish() == control.finish()


@pytest.mark.parametrize("selection", ["predicted-return", "model-error", "disagreement"])
def test_the_active_form_takes_the_highest_score(small, source, context, selection):
    goals = (*GOALS, (0.1, 0.5))
    sources = [source(*goal) for goal in goals]
    settings = {**small, "selection": selection, "visits": 3}
    method = MethodChoice("model-based-multitask-active", settings).method()
    knowledge = method.learn_source(sources, [], context())
    order, scores = (knowledge.diagnostics[f"source_{name}"] for name in ("order", "scores"))
    assert [len(found) for found in scores] == [0, 3, 2]
    for number, found in zip(order[1:], scores[1:], strict=True):
        assert found[str(number)] == max(found.values())
    spent = [task.spent for task in sources]
    left = next(number for number in range(4) if number not in order)
    assert [spent[number] for number in order] == [600] * 3
    assert spent[left] == (60 if selection == "model-error" else 0)
    assert len(knowledge.tensors["data.obs"]) == sum(spent), "what was paid for is kept"


def test_the_lowest_predicted_return_is_the_farthest_goal(small, source, context):
    knowledge = learned(
        small, source, context, goals=((0.1, 0.1), (0.1, -0.1), (4.0, 4.0)), name="model-based-multitask-active"
    )
    scores = knowledge.diagnostics["source_scores"][1]
    assert knowledge.diagnostics["source_order"][0] == 2 or max(scores, key=scores.get) == "2"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reward": None}, "reward and a termination that are known"),
        ({"terminated": None}, "reward and a termination that are known"),
        ({"action_space": spaces.Discrete(3)}, "bounded 1-D Box of actions"),
        ({"action_space": spaces.Box(-np.inf, np.inf, (2,))}, "bounded 1-D Box of actions"),
        ({"observation_space": spaces.Box(0, 255, (3, 8, 8), np.uint8)}, "1-D Box of observations"),
    ],
)
def test_what_it_can_not_learn_is_told_in_a_line(target, changes, reason):
    known: Interface = target().interface
    method = MethodChoice("model-based-multitask").method()
    assert method.unsupported(known) is None
    told = method.unsupported(replace(known, **changes))
    assert told is not None
    assert reason in told
    assert "\n" not in told


def test_it_abstains_where_a_sources_reward_is_not_known(small, source, context):
    task = source()
    task.interface = replace(task.interface, reward=None)
    method = MethodChoice("model-based-multitask", small).method()
    assert method.learn_source([source(*GOALS[1]), task], [], context()) is None
    assert task.spent == 0


@pytest.mark.slow
def test_the_warm_up_alone_gets_most_of_an_oracles_return(source, target, context):
    sources = [source(*goal, budget=1000) for goal in GOALS]
    settings = {
        "members": 3, "hidden_sizes": (64, 64), "warm_up_updates": 15, "iterations": 2, "policy_updates": 3,
        "virtual_samples": 2000, "source_stages": 1,
    }  # fmt: skip
    method = MethodChoice("model-based-multitask", settings).method()
    knowledge = method.learn_source(sources, [], context())
    task = target(0.35, -0.3)
    shared = SharedModels(task.interface, MultitaskConfig(**settings), np.random.default_rng(0))
    shared.load(knowledge)
    course = Course(task, shared, context().learner_config, context().build)
    course.warm_up(settings["warm_up_updates"])
    assert task.spent == 0
    reached = np.mean(HarnessTask.fresh_evaluation(task, course.pilot.policy, 20).returns)
    goal = np.array([0.35, -0.3])  # an oracle walks straight to it from the origin, 0.1 along each axis per step
    oracle = -sum(np.linalg.norm(np.maximum(np.abs(goal) - 0.1 * step, 0)) for step in range(1, 10))
    assert reached > -10
    assert reached > oracle - 0.1 * (oracle + 46)  # nine tenths of the way from standing still, 100 steps
