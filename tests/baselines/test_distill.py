"""Policy distillation: equation 4 by hand, passes and temperatures, the allowance, several teachers."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from tlbench.baselines.distill import Distill, DistillConfig, Student, divergence, minibatches, values_of
from tlbench.baselines.learners.dqn import DQN, DQNConfig
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import aliases, methods
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Context, Expert, Knowledge
from tlbench.protocol.specs import SuiteSpec
from tlbench.protocol.task import HarnessTask


def source(suite: SuiteSpec, name: str = "cartpole", budget: int = 640, role: Any = "target") -> HarnessTask:
    return HarnessTask(suite.tasks[name], role, 0, budget=budget, discrete=True)


def expert(task: HarnessTask, seed: int = 42, scale: float = 1.0) -> Expert:
    agent = DQN().build(task.interface, DQNConfig(), seed, "cpu")
    params = agent.params()
    params["head.weight"] *= scale
    return Expert(params, task.interface, DQN(), DQNConfig(), seed, 0.0)


def context(seed: int = 3) -> Context:
    return Context(seed, "cpu", DQN(), DQNConfig(), 11)


def learned(method: Distill, tasks: list[HarnessTask], experts: list[Expert], seed: int = 3) -> Knowledge:
    knowledge = method.learn_source(tasks, experts, context(seed))
    assert knowledge is not None
    return knowledge


def test_the_divergence_of_equation_4_by_hand() -> None:
    """Values (0.1, 0.2) at temperature 0.1 are logits (1, 2); the student's are not divided."""
    p = 1 / (1 + math.e)  # softmax of (1, 2)
    q = 1 / (1 + math.e**3)  # softmax of (0, 3)
    by_hand = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    found = divergence(torch.tensor([[0.1, 0.2], [0.0, 0.3]]), torch.tensor([[0.0, 3.0], [5.0, 8.0]]), 0.1)
    assert found[0].item() == pytest.approx(by_hand, rel=1e-5)
    assert found[1].item() == pytest.approx(0.0, abs=1e-6)
    values = torch.tensor([[1.0, 2.0, 4.0]])
    assert divergence(values, values, 1.0).item() == pytest.approx(0.0, abs=1e-6)
    extreme = divergence(torch.tensor([[0.0, 1e4]]), torch.tensor([[0.0, 1.0]]), 0.1)  # one-hot: -log q
    assert extreme.item() == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-5)


def test_temperatures_below_1_sharpen() -> None:
    values = torch.tensor([[0.0, 1.0]])
    assert torch.softmax(values / 0.1, 1).max() > torch.softmax(values / 0.5, 1).max() > torch.softmax(values, 1).max()


def test_names_and_settings_are_the_documents() -> None:
    presets = {name: MethodChoice(name).method().config for name in aliases() if name.startswith("distill")}
    assert {name: (c.end, c.layers, c.temperatures, c.frozen) for name, c in presets.items()} == {
        "distill-last1-fixed": ("last", 1, (0.1,), False),
        "distill-last2-fixed": ("last", 2, (0.1,), False),
        "distill-last1-varying": ("last", 1, (0.1, 0.2, 0.3, 0.4, 0.5), False),
        "distill-last2-varying": ("last", 2, (0.1, 0.2, 0.3, 0.4, 0.5), False),
    }
    assert methods()["distill-last1-fixed-dqn"].cls is Distill


def test_a_pass_uses_every_sample_once() -> None:
    seen = Counter(
        (memory, position)
        for memory, chosen in minibatches([70, 33], 32, np.random.default_rng(0))
        for position in chosen.tolist()
    )
    assert seen == Counter({(0, i): 1 for i in range(70)} | {(1, i): 1 for i in range(33)})
    order = [memory for memory, _ in minibatches([3200, 3200], 32, np.random.default_rng(0))]
    assert 0 < sum(order[:100]) < 100  # the sources are mixed


@pytest.mark.parametrize(("temperatures", "steps"), [((0.1,), 20), ((0.1, 0.2, 0.3, 0.4, 0.5), 100)])
def test_temperatures_rise_from_pass_to_pass(
    tiny: SuiteSpec, monkeypatch: pytest.MonkeyPatch, temperatures: tuple[float, ...], steps: int
) -> None:
    used: list[float] = []

    def spy(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> torch.Tensor:
        if student.requires_grad:
            used.append(temperature)
        return divergence(teacher, student, temperature)

    monkeypatch.setattr("tlbench.baselines.distill.divergence", spy)
    task = source(tiny)
    knowledge = learned(Distill(DistillConfig(temperatures=temperatures)), [task], [expert(task)])
    assert knowledge.diagnostics["distilled_samples"] == task.spent == 640
    assert used == [t for t in temperatures for _ in range(20)]
    assert len(used) == steps


def test_the_student_comes_to_act_like_the_teacher(tiny: SuiteSpec) -> None:
    task = source(tiny, budget=3200)
    teacher = expert(task, scale=10.0)
    config = DistillConfig(temperatures=(0.1,) * 5)
    knowledge = learned(Distill(config), [task], [teacher])
    assert float(knowledge.diagnostics["distilled_agreement"]) > 0.97  # type: ignore[arg-type]
    assert list(knowledge.tensors) == list(teacher.params)
    fresh = Student([teacher], context()).params()
    assert not any(torch.equal(knowledge.tensors[role], fresh[role]) for role in fresh)
    assert not any(torch.equal(knowledge.tensors[role], teacher.params[role]) for role in fresh)


def test_distillation_depends_on_its_seed_and_nothing_else(tiny: SuiteSpec) -> None:
    prints = []
    for seed, noise in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(noise)
        np.random.seed(noise)
        task = source(tiny)
        knowledge = learned(Distill(), [task], [expert(task)], seed)
        prints.append(b"".join(t.numpy().tobytes() for t in knowledge.tensors.values()))
    assert prints[0] == prints[1] != prints[2]


def test_the_allowance_is_used_and_kept(tiny: SuiteSpec) -> None:
    for budget, spent in ((650, 640), (640, 640), (20, 16)):
        task = source(tiny, budget=budget)
        assert learned(Distill(), [task], [expert(task)]).diagnostics["distilled_samples"] == spent
        assert task.spent == spent
    task = source(tiny)
    knowledge = learned(Distill(DistillConfig(samples=100)), [task], [expert(task)])
    assert knowledge.diagnostics["distilled_samples"] == 100
    assert task.spent == 112  # seven steps of sixteen lanes
    task = source(tiny, budget=15)
    with pytest.raises(TlbenchError, match="allowance of 15 units is too small for 16 lanes"):
        learned(Distill(), [task], [expert(task)])


def test_the_teacher_plays_greedily_but_for_one_step_in_twenty(tiny: SuiteSpec) -> None:
    """A teacher that always pushes right: episodes are short, and a twentieth of half the actions go left."""
    task = source(tiny, budget=16_000)
    teacher = expert(task)
    teacher.params["head.bias"][1] = 1e3
    actions: list[Any] = []
    original = task.envs

    def envs(n: int) -> Any:
        opened = original(n)
        step = opened.step
        opened.step = lambda chosen: actions.append(chosen.copy()) or step(chosen)  # type: ignore[method-assign, func-returns-value]
        return opened

    task.envs = envs  # type: ignore[method-assign]
    learned(Distill(DistillConfig(batch_size=1000)), [task], [teacher])
    assert np.mean(np.concatenate(actions) == 0) == pytest.approx(0.025, abs=0.005)


def test_the_students_last_layers_are_transferred(tiny: SuiteSpec) -> None:
    task = source(tiny)
    knowledge = learned(Distill(), [task], [expert(task)])
    fresh = DQN().build(task.interface, DQNConfig(), 5, "cpu").params()
    for layers, expected in ((1, {"head"}), (2, {"body.1", "head"})):
        ctx = context()
        start, frozen = Distill(DistillConfig(layers=layers)).transform(knowledge, fresh, ctx)
        assert {role.rpartition(".")[0] for role in start} == expected
        assert all(torch.equal(start[role], knowledge.tensors[role]) for role in start)
        assert frozen == ()


def test_several_teachers_share_a_student(tiny: SuiteSpec) -> None:
    one, two = source(tiny), source(tiny, "negated", 320)
    teachers = [expert(one, 1, 10.0), expert(two, 2, 10.0)]
    knowledge = learned(Distill(), [one, two], teachers)
    assert knowledge.diagnostics["distilled_samples"] == 960
    assert (one.spent, two.spent) == (640, 320)
    assert list(knowledge.tensors) == list(teachers[0].params)  # equally many actions: one head


def test_sources_with_other_numbers_of_actions_have_heads_of_their_own(tiny: SuiteSpec) -> None:
    from gymnasium import spaces

    from tlbench.protocol.interface import Interface

    wide = Interface(source(tiny).interface.observation_space, spaces.Discrete(5), 0.99)
    learner, task = DQN(), source(tiny)
    params = learner.build(wide, DQNConfig(), 1, "cpu").params()
    experts = [expert(task), Expert(params, wide, learner, DQNConfig(), 1, 0.0)]
    student = Student(experts, context())
    narrow_net, wide_net = student.networks[2], student.networks[5]
    assert narrow_net.q_net[0] is wide_net.q_net[0]
    assert narrow_net.q_net[-1] is not wide_net.q_net[-1]
    assert values_of(wide_net, np.zeros((3, 4), np.float32)).shape == (3, 5)
    found = student.params()
    assert list(found)[-4:] == ["head.weight", "head.bias", "heads.5.weight", "heads.5.bias"]
    for interface, head in ((task.interface, "head"), (wide, "heads.5")):
        fresh = learner.build(interface, DQNConfig(), 9, "cpu").params()
        start, _ = Distill().transform(Knowledge(found), fresh, context())
        assert torch.equal(start["head.weight"], found[f"{head}.weight"])


def test_sources_that_observe_otherwise_have_no_common_student(tiny: SuiteSpec) -> None:
    one, two = source(tiny), source(tiny, "pendulum")
    with pytest.raises(TlbenchError, match="observations of one shape"):
        learned(Distill(), [one, two], [expert(one), expert(two)])
