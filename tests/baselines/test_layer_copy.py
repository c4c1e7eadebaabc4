"""Layer copying: which layers are copied for every n, what is frozen, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tlbench.baselines.layer_copy import NAMES, LayerCopy, layers_of
from tlbench.baselines.learners.dqn import DQN, DQNConfig
from tlbench.execution.plan import make_plan
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import aliases, find_method, methods
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Context, Interface, Knowledge, Params
from tlbench.protocol.specs import SuiteSpec
from tlbench.protocol.task import HarnessTask

LAYERS = ["body.0", "body.1", "head"]


def vectors(inputs: int = 4, actions: int = 2) -> Interface:
    return Interface(spaces.Box(-np.inf, np.inf, (inputs,)), spaces.Discrete(actions), 0.99)


def images(side: int = 36) -> Interface:
    return Interface(spaces.Box(0, 255, (4, side, side), np.uint8), spaces.Discrete(3), 0.99)


def params(interface: Interface, seed: int = 0, **settings: Any) -> Params:
    return DQN().build(interface, DQNConfig(**settings), seed, "cpu").params()


def transformed(
    name: str, source: Interface, target: Interface, **settings: Any
) -> tuple[Params, list[str], Context, Params]:
    method = MethodChoice(name).method()
    assert isinstance(method, LayerCopy)
    ctx = Context(0, "cpu", DQN(), DQNConfig(), 1)
    expert = params(source, 1)
    start, frozen = method.transform(Knowledge(expert), params(target, 2, **settings), ctx)
    return start, list(frozen), ctx, expert


def roles(layers: list[str]) -> list[str]:
    return [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("end", ["first", "last"])
@pytest.mark.parametrize("suffix", ["", "-frozen"])
def test_the_first_or_last_n_layers_are_copied(n: int, end: str, suffix: str) -> None:
    start, frozen, ctx, expert = transformed(f"layer-copy-{end}{n}{suffix}", vectors(), vectors())
    chosen = LAYERS[:n] if end == "first" else LAYERS[-n:]
    assert list(start) == roles(chosen)
    assert all(torch.equal(start[role], expert[role]) for role in start)
    assert frozen == (list(start) if suffix else [])
    assert ctx.diagnostics["layers_copied"] == chosen


def test_there_is_a_method_for_every_n_of_natures_network() -> None:
    nature = layers_of(params(images(84), buffer_size=8))
    assert list(nature) == ["body.0", "body.1", "body.2", "body.3", "head"]
    assert len(NAMES) == 2 * 5 * 2
    for name in NAMES:
        assert find_method(name).id == f"{name}-dqn"
        assert methods()[f"{name}-dqn"].cls is LayerCopy
        assert aliases()[name] == f"{name}-dqn"
    start, frozen, _, _ = transformed("layer-copy-last2-frozen", images(), images())
    assert list(start) == frozen == roles(["body.3", "head"])


def test_layers_that_do_not_fit_start_fresh_and_are_trained() -> None:
    start, frozen, ctx, _ = transformed("layer-copy-first2-frozen", vectors(4), vectors(3))
    assert list(start) == frozen == roles(["body.1"])
    start, frozen, _, _ = transformed("layer-copy-last2-frozen", vectors(actions=2), vectors(actions=5))
    assert list(start) == frozen == roles(["body.1"])
    start, frozen, ctx, _ = transformed("layer-copy-last1-frozen", vectors(actions=2), vectors(actions=5))
    assert (start, frozen, ctx.diagnostics["layers_copied"]) == ({}, [], [])


def test_networks_of_other_depth_are_counted_from_the_end_that_is_named() -> None:
    start, _, ctx, expert = transformed("layer-copy-last1", vectors(), vectors(), hidden_sizes=(64, 64, 64))
    assert list(start) == roles(["head"])
    start, _, ctx, expert = transformed("layer-copy-last2", vectors(), vectors(), hidden_sizes=(64, 64, 64))
    assert ctx.diagnostics["layers_copied"] == ["body.2", "head"]
    assert torch.equal(start["body.2.weight"], expert["body.1.weight"])


def test_more_layers_than_the_network_has_is_an_error(tiny: SuiteSpec) -> None:
    for name in ("layer-copy-first4", "layer-copy-last5-frozen"):
        with pytest.raises(TlbenchError, match="the network has 3 weighted layers"):
            make_plan(tiny, MethodChoice(name), ["self"], [0])
    with pytest.raises(TlbenchError, match="on the target, the network has 2 weighted layers: 3 can't be copied"):
        transformed("layer-copy-first3", vectors(), vectors(), hidden_sizes=(64,))
    with pytest.raises(TlbenchError, match="on the source, the network has 3 weighted layers: 5 can't be copied"):
        transformed("layer-copy-first5", vectors(), images())


def test_images_and_vectors_share_no_layer() -> None:
    with pytest.raises(TlbenchError, match="images"):
        transformed("layer-copy-first1", images(), vectors())
    with pytest.raises(TlbenchError, match="images"):
        transformed("layer-copy-last1", vectors(), images())


def test_images_of_different_shapes_share_no_layer() -> None:
    for other in (images(84), Interface(spaces.Box(0, 255, (1, 36, 36), np.uint8), spaces.Discrete(3), 0.99)):
        with pytest.raises(TlbenchError, match="images of different shapes"):
            transformed("layer-copy-first1", images(), other, buffer_size=8)


@pytest.mark.parametrize("name", ["layer-copy-first2-frozen", "layer-copy-last1-frozen", "layer-copy-last3-frozen"])
def test_frozen_layers_get_no_update_at_all(tiny: SuiteSpec, name: str) -> None:
    """Bit for bit, in the network, in the target network, and without moments; the others change."""
    method = MethodChoice(name).method()
    assert isinstance(method, LayerCopy)
    ctx = Context(3, "cpu", DQN(), DQNConfig(learning_starts=100), 5)
    built: list[Any] = []
    original = ctx.build
    ctx.build = lambda *args: built.append(original(*args)) or built[-1]  # type: ignore[method-assign, func-returns-value, return-value]
    expert = params(vectors(), 1)
    task = HarnessTask(tiny.tasks["cartpole"], "target", 0, discrete=True)
    method.learn_target(task, Knowledge(expert), ctx)
    agent, frozen = built[0], set(roles(ctx.diagnostics["layers_copied"]))  # type: ignore[arg-type]
    final, fresh = agent.params(), params(vectors(), 5)
    assert frozen
    for role in final:
        if role in frozen:
            assert torch.equal(final[role], expert[role])
            assert agent._roles[role] not in agent.model.policy.optimizer.state
        else:
            assert not torch.equal(final[role], fresh[role])
    assert ctx.diagnostics["gradient_steps"] == (0 if len(frozen) == len(final) else agent.gradient_steps)
    assert ctx.diagnostics["carried_share"] == pytest.approx(
        sum(final[role].numel() for role in frozen) / sum(tensor.numel() for tensor in final.values())
    )
