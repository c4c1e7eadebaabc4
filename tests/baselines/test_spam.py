"""SPAM: what the autoencoder gives, what of it is loaded where, and the ratios, computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import nn

from tlbench.baselines.spam import Spam, SpamConfig, compress
from tlbench.protocol.discovery import learners, methods
from tlbench.protocol.interface import Context, Expert, Interface, Knowledge, Params

FAST = {"layers": (16, 8), "steps": 20}


def cartpole() -> Interface:
    import numpy as np

    return Interface(spaces.Box(-np.inf, np.inf, (4,)), spaces.Discrete(2), 0.99)


def pendulum() -> Interface:
    import numpy as np

    return Interface(spaces.Box(-np.inf, np.inf, (4,)), spaces.Box(-3, 3, (1,)), 0.99)


def expert(learner: str, interface: Interface, seed: int = 0) -> Expert:
    found = learners()[learner]
    config = found.Config()
    params = found.build(interface, config, seed, "cpu").params()
    return Expert(params, interface, found, config, seed, 0.0)


def context(learner: str = "vpg", seed: int = 3) -> Context:
    found = learners()[learner]
    return Context(seed, "cpu", found, found.Config(), 11)


def spam(name: str = "spam-vpg", **settings: Any) -> Spam:
    preset = dict(methods()[name].preset)
    return Spam(SpamConfig(**{**FAST, **preset, **settings}))


def learned(method: Spam, source: Expert, seed: int = 3) -> Knowledge:
    knowledge = method.learn_source([], [source], context(source.learner.id, seed))
    assert knowledge is not None
    return knowledge


def test_settings_are_those_of_the_document() -> None:
    assert SpamConfig().layers == (256, 128)
    assert (SpamConfig().output, methods()["spam-linear-vpg"].preset) == ("relu", {"output": "linear"})


def test_zeros_come_from_the_relu_of_the_output() -> None:
    source = expert("vpg", cartpole())
    relu, linear = learned(spam(), source), learned(spam("spam-linear-vpg"), source)
    flat = torch.cat([t.flatten() for t in relu.tensors.values()])
    assert (flat >= 0).all()
    assert relu.diagnostics["zero_ratio"] == pytest.approx(float((flat == 0).float().mean()))
    assert 0.4 < float(relu.diagnostics["zero_ratio"]) < 1.0  # type: ignore[arg-type]
    assert linear.diagnostics["zero_ratio"] == 0
    assert min(float(t.min()) for t in linear.tensors.values()) < 0


def test_zero_ratio_of_a_vector_that_is_known() -> None:
    """A network that has learned its vector gives zeros exactly where the vector is not positive."""
    vector = torch.tensor([1.0, -1.0, 2.0, -0.5, 0.5, -2.0, -3.0, 0.25])
    decoded = compress(vector, SpamConfig(layers=(16, 8), steps=3000, learning_rate=1e-2), 1)
    assert (decoded[vector < 0] == 0).all()
    assert ((decoded - vector)[decoded > 0].abs() < 0.1).all()
    linear = compress(vector, SpamConfig(layers=(16, 8), steps=3000, learning_rate=1e-2, output="linear"), 1)
    assert torch.allclose(linear, vector, atol=0.1)


def test_all_weights_of_the_policy_are_compressed_and_nothing_else() -> None:
    for learner in ("vpg", "ppo"):
        for interface in (cartpole(), pendulum()):
            source = expert(learner, interface)
            roles = [r for r in source.params if r != "log_std" and not r.startswith("value.")]
            assert list(learned(spam(), source).tensors) == roles
            everything = learned(spam(include_value=True), source).tensors
            assert list(everything) == [r for r in source.params if r != "log_std"]
            assert all(t.shape == source.params[r].shape for r, t in everything.items())


def test_compression_depends_on_the_expert_the_seed_and_nothing_else() -> None:
    def print_of(knowledge: Knowledge) -> bytes:
        return b"".join(t.numpy().tobytes() for t in knowledge.tensors.values())

    source = expert("vpg", cartpole())
    first = print_of(learned(spam(), source))
    torch.manual_seed(99)
    assert print_of(learned(spam(), source)) == first
    assert print_of(learned(spam(), source, seed=4)) != first
    assert print_of(learned(spam(), expert("vpg", cartpole(), 1))) != first


def test_decoded_tensors_are_loaded_where_role_and_shape_fit() -> None:
    source = expert("vpg", cartpole())
    knowledge = learned(spam(), source)
    for interface, loaded in (
        (cartpole(), set(source.params)),
        (pendulum(), {r for r in source.params if "body" in r}),
    ):
        fresh = learners()["vpg"].build(interface, learners()["vpg"].Config(), 5, "cpu").params()
        start, frozen = spam().transform(knowledge, fresh, context())
        assert set(start) == loaded
        assert frozen == ()
        assert all(torch.equal(start[role], knowledge.tensors[role]) for role in start)
        start, _ = spam(reset_head=True).transform(knowledge, fresh, context())
        assert set(start) == {role for role in loaded if "head" not in role}


def test_reset_head_leaves_a_critics_head_fresh_too() -> None:
    source = expert("ppo", cartpole())
    method = spam(include_value=True, reset_head=True)
    fresh = learners()["ppo"].build(cartpole(), learners()["ppo"].Config(), 5, "cpu").params()
    start, _ = method.transform(learned(method, source), fresh, context("ppo"))
    assert set(start) == {role for role in fresh if "body" in role}


def ratios(start: Params, final: Params, **settings: Any) -> tuple[Any, Any]:
    ctx = context()
    spam(**settings).after(start, final, ctx)
    assert ctx.diagnostics["sparsity_tolerance"] == settings.get("zero_tol", 0.1)
    return ctx.diagnostics["sparsity_ratio"], ctx.diagnostics["sparsity_ratio_tolerant"]


def test_sparsity_ratios_by_hand() -> None:
    start = {
        "body.0.weight": torch.tensor([[0.0, 0.0], [0.0, 1.0]]),
        "head.bias": torch.tensor([0.0, 2.0]),
        "log_std": torch.zeros(5),  # no network weight
        "value.head.bias": torch.zeros(7),  # a critic is not compressed
    }
    final = {
        "body.0.weight": torch.tensor([[0.0, 0.05], [-0.09, 0.0]]),  # the last zero is new
        "head.bias": torch.tensor([0.5, 0.01]),
        "log_std": torch.zeros(5),
        "value.head.bias": torch.zeros(7),
    }
    assert ratios(start, final) == (2 / 4, 3 / 4)
    assert ratios(start, final, zero_tol=0.06) == (2 / 4, 2 / 4)
    assert ratios(start, final, zero_tol=0) == (2 / 4, 0)
    assert ratios(start, final, include_value=True) == (9 / 11, 10 / 11)
    assert ratios(start, start) == (1, 1)
    nonzero = {role: tensor + 1 for role, tensor in start.items()}
    assert ratios(nonzero, final) == (None, None)


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
def test_the_autoencoder_has_the_layers_it_is_said_to_have(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[nn.Sequential] = []
    sequential = nn.Sequential
    monkeypatch.setattr(nn, "Sequential", lambda *modules: built.append(sequential(*modules)) or built[-1])  # type: ignore[func-returns-value]
    compress(torch.randn(30), SpamConfig(layers=(12, 5), activation=activation, steps=1), 0)
    linears = [m for m in built[0] if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linears] == [(30, 12), (12, 5), (5, 30)]
    kind = {"tanh": nn.Tanh, "relu": nn.ReLU, "linear": nn.Identity}[activation]
    assert [type(m) for m in built[0] if not isinstance(m, nn.Linear)] == [kind, kind, nn.ReLU]


def test_the_autoencoder_is_trained_once_per_expert(tiny: Any, tmp_path: Any) -> None:
    from tlbench.execution.plan import make_plan
    from tlbench.execution.selection import MethodChoice

    plan = make_plan(tiny, MethodChoice("spam"), list(tiny.transfers), [0, 1])
    assert len(plan.runs) == 6
    assert len(plan.knowledge) == len(plan.experts) == 2


def test_training_starts_from_the_decoded_weights(tiny: Any, keep_published: Callable[..., Any]) -> None:
    source = expert("vpg", cartpole())
    knowledge = learned(spam(), source)
    task, ctx = keep_published(tiny.tasks["cartpole"]), context()
    spam().learn_target(task, knowledge, ctx)
    assert torch.equal(task.first["body.0.weight"], knowledge.tensors["body.0.weight"])
    assert ctx.diagnostics["carried_share"] == 1.0
    assert {"sparsity_ratio", "sparsity_ratio_tolerant", "gradient_steps"} <= set(ctx.diagnostics)
