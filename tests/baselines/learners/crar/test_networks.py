"""CRAR's networks, losses and planning, by hand and against plain computations."""

import numpy as np
import pytest
import torch
from torch import nn

from tlbench.baselines.learners.crar.history import ROWS, LossHistory
from tlbench.baselines.learners.crar.losses import NAMES, Transitions, Weights, closeness, losses
from tlbench.baselines.learners.crar.networks import Networks, convolutions, picture_encoder
from tlbench.baselines.learners.crar.planning import plan


@pytest.mark.parametrize("tile", [1, 2, 3, 4, 6])
def test_pictures_of_any_tile_size_become_planes(tile):
    networks = Networks((1, 8 * tile, 8 * tile), 4, None)
    x = networks.encode(torch.rand(5, 1, 8 * tile, 8 * tile))
    assert x.shape == (5, 3, 8, 8)
    step, rewards, discounts = networks.step(x, torch.arange(5) % 4)
    assert step.shape == x.shape
    assert rewards.shape == discounts.shape == (5,)
    assert networks.values(x).shape == (5, 4)


def test_sizes_are_the_documents():
    params = Networks((1, 8, 8), 4, 2).roles()
    assert [params[f"body.{i}.weight"].shape[0] for i in range(5)] == [200, 100, 50, 10, 2]
    assert [params[f"transition.{i}.weight"].shape for i in range(5)] == [
        (10, 6),
        (30, 10),
        (30, 30),
        (10, 30),
        (2, 10),
    ]
    assert [params[f"reward.{i}.weight"].shape[0] for i in range(4)] == [10, 50, 20, 1]
    assert [params[r].shape[0] for r in ("q.0.weight", "q.1.weight", "q.2.weight", "head.weight")] == [20, 50, 20, 4]
    planes = Networks((1, 48, 48), 4, None)
    assert sum(p.numel() for p in planes.parameters()) == 128_602
    assert sum(p.numel() for p in planes.roles().values()) == 128_602
    assert all(name.startswith(("body.", "transition.", "reward.", "discount.", "q.", "head.")) for name in params)


def test_convolutions_keep_the_size_as_padding_to_the_right_and_below_does():
    pad, layer, tanh = convolutions((1, 2), (2,))
    image = torch.rand(3, 1, 8, 8)
    wanted = nn.functional.conv2d(nn.functional.pad(image, (0, 1, 0, 1)), layer.weight, layer.bias).tanh()
    assert torch.equal(tanh(layer(pad(image))), wanted)


def test_pooling_before_tanh_is_pooling_after_it():
    encoder = picture_encoder((1, 48, 48))
    image = torch.rand(3, 1, 48, 48)
    layers = list(encoder)
    pools = [i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    assert len(pools) == 2
    for i in pools:
        assert isinstance(layers[i + 1], nn.Tanh)
        layers[i], layers[i + 1] = layers[i + 1], layers[i]
    torch.testing.assert_close(nn.Sequential(*layers)(image), encoder(image))


@pytest.mark.parametrize(
    ("shape", "convolutions"), [((1, 8, 8), 0), ((3, 48, 48), 3), ((1, 9, 9), 0), ((1, 16, 24), 0), ((5,), 0)]
)
def test_neurons_of_large_square_pictures_lie_behind_convolutions(shape, convolutions):
    networks = Networks(shape, 4, 2)
    assert sum(isinstance(layer, nn.Conv2d) for layer in networks.encoder) == convolutions
    assert networks.encode(torch.rand(6, *shape)).shape == (6, 2)
    assert len(networks.roles()) == len(list(networks.parameters()))


def batch(n=6, shape=(1, 8, 8), seed=0):
    rng = torch.Generator().manual_seed(seed)
    obs, following = torch.rand((2, n, *shape), generator=rng)
    actions = torch.randint(4, (n,), generator=rng)
    ended = torch.tensor([0.0, 1.0] * (n // 2))
    return Transitions(obs, actions, torch.rand(n, generator=rng), ended, following)


@pytest.mark.parametrize("neurons", [2, None])
@pytest.mark.parametrize("double", [True, False])
def test_losses_are_those_of_one_encoding_per_loss(neurons, double):
    networks, target, data = Networks((1, 8, 8), 4, neurons), Networks((1, 8, 8), 4, neurons), batch()
    found = losses(networks, target, data, 0.9, double)
    assert tuple(found) == NAMES
    x, following = networks.encode(data.obs), networks.encode(data.next_obs)
    goes_on = 1 - data.ended
    inputs = networks.with_actions(x, data.actions)
    expected = {
        "transition": [
            ((x[i] + networks.transition(inputs)[i] - following[i]) ** 2).mean() * goes_on[i] for i in range(6)
        ],
        "reward": (networks.reward(inputs)[:, 0] - data.rewards) ** 2,
        "discount": (networks.discount(inputs)[:, 0] - 0.9 * goes_on) ** 2,
        "disambiguation": [torch.exp(-5 * (x[i] - x[i - 1]).norm()) for i in range(6)],
        "succession": [torch.exp(-5 * (x[i] - following[i]).norm()) for i in range(6)],
        "bound": [((x[i] ** 2).amax(dim=0) - 1).clamp(min=0).mean() for i in range(6)],
    }
    values = target.values(target.encode(data.next_obs))
    chosen = (networks.values(following) if double else values).argmax(dim=1)
    taken = networks.values(x)
    expected["q"] = [
        (taken[i, data.actions[i]] - data.rewards[i] - 0.9 * goes_on[i] * values[i, chosen[i]]) ** 2 for i in range(6)
    ]
    for name, terms in expected.items():
        assert found[name].item() == pytest.approx(np.mean([t.item() for t in terms]), rel=1e-4, abs=1e-7), name


def test_targets_get_no_gradient_and_every_network_gets_its_own():
    networks, target = Networks((1, 8, 8), 4, 2), Networks((1, 8, 8), 4, 2)
    found = losses(networks, target, batch(), 0.9, True)
    parts = {"transition": "transition", "reward": "reward", "discount": "discount", "q": "q"}
    for name in NAMES:
        networks.zero_grad()
        (found[name] + 0 * networks.encode(batch().obs).sum()).backward(retain_graph=True)
        reached = {
            part for part in parts.values() if any(p.grad is not None for p in getattr(networks, part).parameters())
        }
        assert reached == ({parts[name]} if name in parts else set())
    assert all(p.grad is None for p in target.parameters())


def test_closeness_has_a_finite_gradient_where_two_states_coincide():
    x = torch.zeros(3, 2, requires_grad=True)
    closeness(x, x.roll(1, dims=0)).backward()
    assert torch.isfinite(x.grad).all()


def test_weights_without_structure():
    weights = Weights(q=0.5).without_structure()
    assert (weights.q, weights.transition, weights.disambiguation, weights.succession, weights.bound) == (
        0.5,
        1,
        0,
        0,
        0,
    )


class Chain:
    """A model on a line: action i moves by i - 1 and pays the place it leads to; Q knows the place only."""

    actions = 3

    def values(self, x):
        return x + torch.tensor([[0.1, 0.2, 0.3]])

    def step(self, x, actions):
        following = x + (actions - 1)[:, None]
        return following, following[:, 0], torch.full((len(x),), 0.5)


def test_planning_by_hand():
    model, x = Chain(), torch.tensor([[2.0], [-1.0]])
    assert torch.equal(plan(model, x, 0), model.values(x))

    def estimate(place, action, depth):
        if depth == 0:
            return place + (0.1, 0.2, 0.3)[action]
        following = place + action - 1
        branches = (0, 1, 2) if depth == 1 else (1, 2)  # where it ends, the best of all; on the way, the best two
        return following + 0.5 * max(estimate(following, a, depth - 1) for a in branches)

    for depth in (1, 2, 3):
        wanted = [[np.mean([estimate(p, a, d) for d in range(depth + 1)]) for a in range(3)] for p in x[:, 0].tolist()]
        torch.testing.assert_close(plan(model, x, depth), torch.tensor(wanted, dtype=torch.float32))


def test_history_keeps_means_of_equal_stretches():
    history = LossHistory()
    for i in range(4321):
        history.add({"q": torch.tensor(float(i)), "reward": torch.tensor(1.0)})
    table = history.table()
    stretch = table["update"][0]
    assert ROWS / 2 - 1 <= len(table["q"]) <= ROWS
    assert table["update"] == [stretch * (i + 1) for i in range(len(table["q"]))]
    assert table["q"] == pytest.approx([stretch * i + (stretch - 1) / 2 for i in range(len(table["q"]))], rel=1e-3)
    assert set(table["reward"]) == {1.0}
    assert LossHistory().table() == {"update": []}


def test_the_encoder_of_small_pictures_starts_orthogonal() -> None:
    """So that no direction of colours is hidden from the networks on top of it."""
    (layer,) = picture_encoder((3, 8, 8))
    weights = layer.weight[:, :, 0, 0]
    torch.testing.assert_close(weights @ weights.T, torch.eye(3))
