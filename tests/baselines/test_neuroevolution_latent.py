"""Evolution in a latent space: which networks count, what the knowledge is, where the target starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tlbench.baselines.learners.neuroevolution.agent import EvolvingAgent
from tlbench.baselines.learners.neuroevolution.genomes import Layout
from tlbench.baselines.neuroevolution_latent import NeuroevolutionLatent, good_networks
from tlbench.execution.plan import make_plan
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import learners, methods
from tlbench.protocol.interface import Context, Expert, Knowledge
from tlbench.protocol.specs import SuiteSpec
from tlbench.protocol.task import HarnessTask, agent_seed

NAMES = pytest.mark.parametrize("name", ["neuroevolution-latent", "cerl-latent"])
LAYERS = ["body.0", "body.1", "head"]


def source(suite: SuiteSpec, budget: int = 600) -> HarnessTask:
    return HarnessTask(suite.tasks["cartpole"], "source", 0, budget=budget)


def experts(suite: SuiteSpec, returns: list[float]) -> list[Expert]:
    """Untrained PPO agents that are said to have reached these returns."""
    interface, ppo = source(suite).interface, learners()["ppo"]
    config = ppo.Config()
    return [
        Expert(ppo.build(interface, config, seed, "cpu").params(), interface, ppo, config, seed, value)
        for seed, value in enumerate(returns)
    ]


def method(name: str = "neuroevolution-latent", **settings: Any) -> NeuroevolutionLatent:
    fast = {"steps": 3, "states": 40, "visited_steps": 5, "hidden": (8,)}
    chosen = MethodChoice(name, {**fast, **settings}).method()
    assert isinstance(chosen, NeuroevolutionLatent)
    return chosen


def context(suite: SuiteSpec, target: str = "cartpole", name: str = "neuroevolution-latent") -> Context:
    learner = learners()[methods()[name].learner or ""]
    return Context(3, "cpu", learner, learner.Config(), agent_seed(suite.tasks[target], "target", 0))


def learned(suite: SuiteSpec, budget: int = 600, returns: list[float] | None = None, **settings: Any) -> Knowledge:
    found = method(**settings).learn_source(
        [source(suite, budget)], experts(suite, returns or [500.0] * 6), context(suite)
    )
    assert found is not None
    return found


def coded(suite: SuiteSpec, knowledge: Knowledge, target: str = "cartpole", **settings: Any) -> Any:
    agent = context(suite, target).build(HarnessTask(suite.tasks[target], "target", 0).interface)
    assert isinstance(agent, EvolvingAgent)
    return method(**settings)._coding(knowledge, agent, 0.25), agent


def test_networks_below_the_threshold_do_not_count(tiny: SuiteSpec) -> None:
    found = experts(tiny, [500.0, 449.0, 451.0, 20.0, 480.0])
    assert good_networks(found, 0.9).runs.tolist() == [0, 2, 4]
    assert len(good_networks(found, 0.0).runs) == 5
    negative = experts(tiny, [-100.0, -109.0, -111.0])
    assert good_networks(negative, 0.9).runs.tolist() == [0, 1]
    layout = good_networks(found, 0.9).layout
    assert torch.equal(
        layout.unpack(good_networks(found, 0.9).networks[1])["body.1.weight"], found[2].params["body.1.weight"]
    )


def test_it_abstains_where_too_few_networks_are_good(tiny: SuiteSpec) -> None:
    assert method().learn_source([source(tiny)], experts(tiny, [500.0, 500.0, 9.0, 9.0]), context(tiny)) is None


def test_the_knowledge_is_an_autoencoder_per_layer(tiny: SuiteSpec) -> None:
    knowledge = learned(tiny)
    assert list(knowledge.data) == LAYERS
    assert {name.partition("/")[0] for name in knowledge.tensors} == set(LAYERS)
    table: Any = knowledge.diagnostics["autoencoders"]
    assert table["body.1"]["entries"] == 65 * 64
    assert [table[layer]["code"] for layer in LAYERS] == [20, 32, 8]
    assert all(table[layer][f"{part}_loss"] >= 0 for layer in LAYERS for part in ("train", "validation", "test"))
    assert knowledge.diagnostics["networks"] == {"test": 1, "validation": 1, "train": 4}
    only = learned(tiny, layers=["head"])
    assert list(only.data) == ["head"]
    assert set(only.diagnostics["test_returns"]) == {"none", "head", "all"}  # type: ignore[arg-type]


def test_returns_are_measured_within_the_allowance(tiny: SuiteSpec) -> None:
    task = source(tiny, 6000)
    found = method().learn_source([task], experts(tiny, [500.0] * 6), context(tiny))
    assert found is not None
    returns: Any = found.diagnostics["test_returns"]
    assert set(returns) == {"none", *LAYERS, "all"}
    assert all(8 <= value <= 500 for value in returns.values())
    assert task.spent <= 6000
    short: Any = learned(tiny, 30).diagnostics["test_returns"]  # ends before an episode does
    assert set(short.values()) == {None}


def test_it_depends_on_the_experts_and_the_seed_alone(tiny: SuiteSpec) -> None:
    def print_of(knowledge: Knowledge) -> bytes:
        return b"".join(t.numpy().tobytes() for t in knowledge.tensors.values())

    first = print_of(learned(tiny))
    torch.manual_seed(99)
    assert print_of(learned(tiny)) == first
    assert print_of(learned(tiny, returns=[500.0] * 5)) != first


def test_the_target_starts_from_the_mean_code(tiny: SuiteSpec) -> None:
    knowledge = learned(tiny)
    coding, agent = coded(tiny, knowledge, latent_sigma=0.5, initial_sigma=2.0)
    assert len(coding.start) == 20 + 32 + 8
    assert set(coding.coders) == set(LAYERS)
    means = torch.cat([knowledge.tensors[f"{layer}/code_mean"] for layer in LAYERS]).numpy()
    spreads = torch.cat([knowledge.tensors[f"{layer}/code_spread"] for layer in LAYERS]).numpy()
    np.testing.assert_array_equal(coding.start, means)
    np.testing.assert_allclose(coding.scale, 0.5 * spreads)
    np.testing.assert_allclose(coding.initial_scale, 2 * spreads)
    networks = coding.decode(np.stack([coding.start, coding.start + 1]))
    assert networks.shape == (2, agent.layout.size)
    np.testing.assert_allclose(networks[:1], coding.decode(coding.start[None]), atol=1e-6)


def test_layers_without_an_autoencoder_are_evolved_directly(tiny: SuiteSpec) -> None:
    """Pendulum has three observations and one action: only the middle layer fits."""
    coding, agent = coded(tiny, learned(tiny), "pendulum")
    assert set(coding.coders) == {"body.1"}
    fresh = agent.layout.pack(agent.params())
    network = coding.decode(coding.start[None])[0]
    slices = agent.layout.layer_slices()
    for layer in ("body.0", "head"):
        assert np.array_equal(network[slices[layer]], fresh[slices[layer]])
        assert (coding.scale[coding.spans[layer]] == 0.25).all()
    assert not np.array_equal(network[slices["body.1"]], fresh[slices["body.1"]])
    assert np.array_equal(coding.encode(network)[coding.spans["head"]], network[slices["head"]])
    part = coding.encode(network)[coding.spans["body.1"]]
    middle = torch.from_numpy(network[slices["body.1"]][None])
    np.testing.assert_allclose(part, coding.coders["body.1"].encode(middle)[0].numpy(), atol=1e-6)


@NAMES
@pytest.mark.parametrize("target", ["cartpole", "pendulum"])
def test_the_target_is_learned_in_codes(tiny: SuiteSpec, name: str, target: str) -> None:
    knowledge, ctx = learned(tiny), context(tiny, target, name)
    task = HarnessTask(tiny.tasks[target], "target", 0)
    method(name).learn_target(task, knowledge, ctx)
    assert all(outcome is not None for _, outcome in task.finish())
    assert ctx.diagnostics["carried_share"] == pytest.approx(1.0 if target == "cartpole" else 0.9287, abs=1e-3)
    assert ctx.diagnostics["gradient_steps"] == 0 if name == "neuroevolution-latent" else True


def test_the_elite_is_a_decoded_network(tiny: SuiteSpec) -> None:
    knowledge, ctx = learned(tiny, layers=["body.1"]), context(tiny)
    built: list[Any] = []
    original = ctx.build
    ctx.build = lambda *args: built.append(original(*args)) or built[-1]  # type: ignore[func-returns-value, method-assign]
    task = HarnessTask(tiny.tasks["cartpole"], "target", 0)
    method(layers=["body.1"]).learn_target(task, knowledge, ctx)
    coding, agent = built[0].coding, built[0]
    layer = agent.layout.layer_slices()["body.1"]
    found = agent.layout.pack(agent.params())[layer]
    codes = torch.nn.Parameter(torch.from_numpy(coding.start[coding.spans["body.1"]][None].copy()))
    optimiser = torch.optim.Adam([codes], lr=0.05)
    for _ in range(800):  # the elite's layer lies on what the decoder can make
        optimiser.zero_grad()
        error = (coding.coders["body.1"].decode(codes) - torch.from_numpy(found)).norm()
        error.backward()
        optimiser.step()
    assert float(error.detach()) < 0.05 * float(np.linalg.norm(found))


@NAMES
def test_thirty_ppo_experts_are_planned_and_counted(tiny: SuiteSpec, name: str) -> None:
    plan = make_plan(tiny, MethodChoice(name), ["self"], [0, 1])
    assert len(plan.experts) == 60
    assert {expert.learner for expert in plan.experts} == {"ppo"}
    assert {len(node.experts) for node in plan.knowledge} == {30}
    learner = methods()[name].learner
    assert {run.choice.reference for run in plan.controls} == {f"scratch-{learner}"}
    shared = make_plan(tiny, MethodChoice("finetune-ppo"), ["self"], [0])
    assert {e.key for e in shared.experts} < {e.key for e in plan.experts}


def test_layouts_of_other_shapes_are_left_out(tiny: SuiteSpec) -> None:
    found = experts(tiny, [500.0] * 3)
    assert isinstance(good_networks(found, 0.9).layout, Layout)
    found[1].params["body.1.weight"] = torch.zeros(32, 64)
    assert good_networks(found, 0.9).runs.tolist() == [0, 2]
