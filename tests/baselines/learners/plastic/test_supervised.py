"""Learning lifetimes: networks over time and step by step, roles, freezing, the budget's end, and that it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tlbench.baselines.learners.plastic.supervised import MemoryPolicy, loss_of
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import learners
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Context, Interface, Knowledge, Learner
from tlbench.protocol.specs import SuiteSpec, TaskSpec
from tlbench.protocol.task import HarnessTask
from tlbench.tasks.lifetimes.binary_patterns import BinaryPatterns

IDS = ("plastic", "plastic-homogeneous", "nonplastic-rnn", "lstm")
PATTERNS = Interface(spaces.Box(-1, 1, (6,)), spaces.Box(-1, 1, (6,)), 1.0)
LABELS = Interface(spaces.Box(0, 1, (67,)), spaces.Box(0, 1, (3,)), 1.0, {"image_side": 8})


@pytest.fixture(params=IDS)
def learner(request: pytest.FixtureRequest) -> Learner:
    return learners()[request.param]


@pytest.fixture(params=[PATTERNS, LABELS], ids=["patterns", "labels"])
def interface(request: pytest.FixtureRequest) -> Interface:
    return request.param


@pytest.fixture
def make_task(tiny: SuiteSpec) -> Callable[..., HarnessTask]:
    def make(kind: str = "patterns", budget: int = 200, points: int = 2) -> HarnessTask:
        options: dict[str, Any] = {"bits": 6}
        path, context = "tlbench.tasks.lifetimes.binary_patterns:BinaryPatterns", {}
        if kind == "labels":
            options, context = {"part": "greek", "ways": 3, "side": 8}, {"image_side": 8.0}
            path = "tlbench.tasks.lifetimes.characters:Characters"
        spec = TaskSpec.model_validate(
            {
                **tiny.tasks["cartpole"].model_dump(),
                "environment": path,
                "options": options,
                "context": context,
                "unit": "episodes",
                "target": {"budget": budget, "points": points, "episodes": 50},
            }
        )
        return HarnessTask(spec, "target", 0)

    return make


def build(learner: Learner, interface: Interface, seed: int = 0, **settings: Any) -> Any:
    return learner.build(interface, learner.Config(**settings), seed, "cpu")


def inputs_of(interface: Interface, steps: int = 5, lanes: int = 4) -> np.ndarray:
    shape = (steps, lanes, *interface.observation_space.shape)  # type: ignore[misc]
    return np.random.default_rng(0).random(shape).astype(np.float32)


def live(policy: MemoryPolicy, inputs: np.ndarray) -> np.ndarray:
    state, outputs = None, []
    for number, x in enumerate(inputs):
        y, state = policy.act(x, state, np.full(len(x), number == 0))
        outputs.append(y)
    return np.stack(outputs)


def test_step_by_step_is_the_same_as_in_one_go(learner: Learner, interface: Interface) -> None:
    agent, inputs = build(learner, interface), inputs_of(interface, steps=40)  # traces are multiplied out on the way
    with torch.no_grad():
        for parameter in agent.network.parameters():
            parameter.mul_(5)
        expected = agent.network(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(live(agent.policy, inputs), expected, atol=2e-5)
    assert expected.shape == (40, 4, *interface.action_space.shape)  # type: ignore[misc]
    assert all(interface.action_space.contains(y) for y in expected[:, 0])


def test_memory_begins_anew_where_an_episode_does(learner: Learner, interface: Interface) -> None:
    agent, inputs = build(learner, interface), inputs_of(interface, steps=20)
    with torch.no_grad():
        for parameter in agent.network.parameters():
            parameter.mul_(5)
    if interface is LABELS:
        inputs[18, :, 64:] = 0  # the question
    state = None
    for number, x in enumerate(inputs):
        first = np.array([number == 0, number in (0, 18), number == 0, number in (0, 3)])
        y, state = agent.policy.act(x, state, first)
        if number == 18:
            fresh, _ = agent.policy.act(x, None, np.ones(4, bool))
            np.testing.assert_allclose(y[1], fresh[1], atol=1e-6)
            assert np.abs(y[0] - fresh[0]).max() > 1e-6


def test_frozen_copies_do_not_change(learner: Learner, interface: Interface, make_task: Any) -> None:
    task = make_task("labels" if interface is LABELS else "patterns")
    agent, inputs = build(learner, task.interface), inputs_of(task.interface)
    copy, live_policy = agent.policy.frozen(), agent.policy
    before = live(copy, inputs)
    agent.train(task)
    np.testing.assert_array_equal(live(copy, inputs), before)
    assert not np.array_equal(live(live_policy, inputs), before)


def test_training_ends_with_the_budget_changes_every_role_and_repeats(learner: Learner, make_task: Any) -> None:
    for kind in ("patterns", "labels"):
        ends = []
        for disturbance in (1, 2):
            task = make_task(kind)
            agent = build(learner, task.interface, seed=3)
            torch.manual_seed(disturbance)
            start = agent.params()
            agent.train(task)
            assert (task.spent, agent.gradient_steps) == (192, 12)  # batches of 16
            assert len(task.finish()) == 2
            ends.append(agent.params())
            assert all(not torch.equal(start[role], ends[-1][role]) for role in start)
        assert all(torch.equal(ends[0][role], ends[1][role]) for role in ends[0])


def test_how_often_is_evaluated_does_not_change_what_is_learned(learner: Learner, make_task: Any) -> None:
    ends = []
    for points in (2, 11):
        task = make_task(points=points)
        task._identity = ("fixed", "target", 0)
        agent = build(learner, task.interface)
        agent.train(task)
        assert len(task.finish()) == points
        ends.append(agent.params())
    assert all(torch.equal(ends[0][role], ends[1][role]) for role in ends[0])


def test_frozen_roles_stay_and_the_rest_learns(learner: Learner, make_task: Any) -> None:
    task = make_task("labels")
    agent = build(learner, task.interface)
    start = {role: tensor + 0.01 for role, tensor in agent.params().items()}
    frozen = ["body.0.weight", "head.weight"]
    agent.load(start, frozen)
    agent.train(task)
    final = agent.params()
    assert {role for role in final if torch.equal(final[role], start[role])} == set(frozen)
    agent.load({}, list(final))
    agent.train(make_task("labels"))
    assert all(torch.equal(final[role], tensor) for role, tensor in agent.params().items())


def test_roles_are_shared_by_seeds_and_refused_where_wrong(learner: Learner, interface: Interface) -> None:
    agent = build(learner, interface)
    params = agent.params()
    assert next(iter(params)) == "body.0.weight"
    assert sum(p.numel() for p in params.values()) == sum(p.numel() for p in agent.network.parameters())
    with pytest.raises(KeyError, match="tail"):
        agent.load({"tail": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"body\.0\.weight"):
        agent.load({"body.0.weight": torch.zeros(1)})
    other = build(learner, interface, seed=1)
    other.load(params)
    assert all(torch.equal(params[role], tensor) for role, tensor in other.params().items())


def test_non_plastic_networks_have_as_many_parameters(interface: Interface) -> None:
    wide = Interface(spaces.Box(-1, 1, (50,)), spaces.Box(-1, 1, (50,)), 1.0)
    counts = {name: sum(p.numel() for p in build(learners()[name], wide).params().values()) for name in IDS}
    assert counts["plastic"] == 2 * 51**2 + 1
    assert counts["plastic-homogeneous"] == 51**2 + 2
    for name in ("nonplastic-rnn", "lstm"):
        assert counts[name] == pytest.approx(counts["plastic"], rel=0.02)


def test_losses_by_hand() -> None:
    outputs = torch.tensor([[[0.5, 0.5]], [[1.0, 0.0]], [[0.25, 0.75]]])
    targets = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    mask = torch.tensor([[True], [False], [True]])
    squares = loss_of(outputs, targets, mask, labels=False)
    assert float(squares) == pytest.approx((0.5 + 0.125) / 2)
    likelihood = loss_of(outputs, targets, mask, labels=True)
    assert float(likelihood) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)


def test_divergence_is_raised(learner: Learner, make_task: Any) -> None:
    task = make_task()
    agent = build(learner, task.interface)
    role = next(iter(agent.params()))
    agent.load({role: torch.full_like(agent.params()[role], torch.nan)})
    with pytest.raises(DivergedError, match=role):
        agent.train(task)
    assert task.spent == 0


@pytest.mark.parametrize(
    ("obs", "out", "context", "why"),
    [
        ((6,), (5,), {}, "patterns"),
        ((6,), (3, 2), {}, "1-D"),
        ((67,), (3,), {}, "image_side"),
        ((66,), (3,), {"image_side": 8}, "image_side"),
    ],
)
def test_other_lifetimes_are_told(learner: Learner, obs: Any, out: Any, context: Any, why: str) -> None:
    low = 0 if "image" in why else -1
    interface = Interface(spaces.Box(-1, 1, obs), spaces.Box(low, 1, out), 1.0, context)
    text = learner.unsupported(interface)
    assert text is not None
    assert why in text
    assert "\n" not in text


def test_plastic_networks_remember_and_the_others_do_not_yet() -> None:
    """2,400 lifetimes: copying scores 0.5, guessing the erased bits 0.75."""
    lifetimes = BinaryPatterns(bits=30)
    interface = Interface(lifetimes.observation_space, lifetimes.action_space, 1.0)
    held_out = lifetimes.draw(300, np.random.default_rng(99))
    scores = {}
    for name in ("plastic", "plastic-homogeneous", "nonplastic-rnn"):
        agent, rng = build(learners()[name], interface), np.random.default_rng(0)
        for _ in range(150):
            agent.learn(lifetimes.draw(16, rng))
        scores[name] = lifetimes.score(live(agent.policy, held_out["inputs"]), held_out).mean()
    assert scores["plastic"] > 0.85
    assert scores["plastic-homogeneous"] > 0.85
    assert 0.7 < scores["nonplastic-rnn"] < 0.8


@pytest.mark.parametrize("kind", ["patterns", "labels"])
def test_experts_are_carried_between_lifetimes(learner: Learner, make_task: Any, kind: str) -> None:
    source = make_task(kind)
    expert = build(learner, source.interface, seed=1)
    expert.train(source)
    inputs = inputs_of(source.interface)
    for template, share in (("finetune-{}", 1.0), ("zero-shot-{}", 1.0), ("finetune-reset-head-{}", None)):
        target, ctx = make_task(kind), Context(0, "cpu", learner, learner.Config(), 5)
        target.meter.spent = target.budget  # no lifetime is left: the policy stays as it starts
        MethodChoice(template.format(learner.id)).method().learn_target(target, Knowledge(expert.params()), ctx)
        assert ctx.diagnostics["gradient_steps"] == 0
        if share:
            assert ctx.diagnostics["carried_share"] == share
            np.testing.assert_array_equal(live(target._policy, inputs), live(expert.policy, inputs))
