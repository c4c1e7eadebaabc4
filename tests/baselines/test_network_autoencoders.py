"""Autoencoders over layers: the loss by hand, splits by run, and what can and can't be learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tlbench.baselines.learners.neuroevolution.genomes import Layout
from tlbench.baselines.network_autoencoders import (
    AutoencoderConfig,
    LayerAutoencoder,
    LayerTrainer,
    Population,
    decoded_networks,
)

LAYOUT = Layout(("body.0", "body.1", "head"), ((3, 8), (8, 8), (8, 2)), "tanh", spaces.Discrete(2))
STATES = np.random.default_rng(5).normal(size=(50, 3)).astype(np.float32)
LAYERS = list(LAYOUT.names)


def population(runs: int = 12, checkpoints: int = 2, directions: int = 2) -> Population:
    """Networks that differ in a few directions only, so that they can be compressed."""
    rng = np.random.default_rng(0)
    base, spread = rng.normal(size=LAYOUT.size), rng.normal(size=(directions, LAYOUT.size))
    networks = [
        base + factors @ spread + 0.01 * rng.normal(size=LAYOUT.size)
        for factors in np.repeat(rng.normal(size=(runs, directions)), checkpoints, axis=0)
    ]
    return Population(LAYOUT, np.stack(networks).astype(np.float32), np.repeat(np.arange(runs), checkpoints))


def outputs(network: np.ndarray) -> np.ndarray:
    """One network's outputs, layer by layer."""
    x, layers = STATES.astype(np.float64), LAYOUT.layers(network[None])
    for weight, bias in layers[:-1]:
        x = np.tanh(x @ weight[0] + bias[0])
    return x @ layers[-1][0][0] + layers[-1][1][0]


@pytest.mark.parametrize("layer", LAYERS)
def test_the_loss_is_the_norm_of_the_difference_of_outputs(layer: str) -> None:
    """Against a loop over networks with the other layers intact."""
    given = population()
    trainer = LayerTrainer(given, layer, STATES)
    rows = np.array([3, 0, 7])
    changed = trainer.vectors[rows] + 0.1 * torch.randn(
        3, trainer.vectors.shape[1], generator=torch.Generator().manual_seed(0)
    )
    loss = trainer.loss(changed, rows)
    for row, vector, value in zip(rows, changed, loss, strict=True):
        network = given.networks[row].copy()
        before = outputs(network)
        network[LAYOUT.layer_slices()[layer]] = vector.numpy()
        expected = np.sqrt(((outputs(network) - before) ** 2).sum() / len(STATES))
        assert float(value) == pytest.approx(expected, rel=1e-4)
    assert float(trainer.loss(trainer.vectors[rows], rows).max()) == 0


@pytest.mark.parametrize("runs", [3, 4, 12, 30])
def test_no_run_is_in_two_sets(runs: int) -> None:
    given = population(runs, 3)
    split = given.split(np.random.default_rng(0))
    sets = {part: set(given.runs[rows]) for part, rows in split.items()}
    assert all(sets.values())
    assert sum(len(found) for found in sets.values()) == runs == len(set.union(*sets.values()))
    assert sum(len(rows) for rows in split.values()) == 3 * runs
    assert len(sets["train"]) >= runs // 2


def test_two_runs_can_not_be_split() -> None:
    with pytest.raises(ValueError, match="at least three training runs"):
        population(2).split(np.random.default_rng(0))


@pytest.mark.parametrize("layer", LAYERS)
def test_networks_that_differ_in_two_directions_are_compressed(layer: str) -> None:
    given = population(20)
    split = given.split(np.random.default_rng(0))
    trainer = LayerTrainer(given, layer, STATES)
    network = trainer.train(split, AutoencoderConfig(ratio=4, steps=300, hidden=(32,)), 0)
    untrained = trainer.train(split, AutoencoderConfig(ratio=4, steps=1, hidden=(32,)), 0)
    before, after = trainer.losses(untrained, split), trainer.losses(network, split)
    assert all(after[part] < before[part] / 2 for part in ("train", "validation", "test"))
    assert after["test"] < trainer.scale(split) / 3
    assert network.encode(trainer.vectors).shape == (40, trainer.vectors.shape[1] // 4)


def test_the_best_step_on_the_validation_networks_is_kept() -> None:
    """Networks of random weights can't be learned: more steps may not make validation worse than the mean network."""
    rng = np.random.default_rng(0)
    given = Population(LAYOUT, rng.normal(size=(12, LAYOUT.size)).astype(np.float32), np.arange(12))
    split = given.split(rng)
    trainer = LayerTrainer(given, "body.1", STATES)
    mean = trainer.vectors[split["train"]].mean(dim=0).expand(len(split["validation"]), -1)
    at_the_start = float(trainer.loss(mean, split["validation"]).mean())
    network = trainer.train(split, AutoencoderConfig(steps=100), 0)
    assert trainer.losses(network, split)["validation"] <= at_the_start * (1 + 1e-5)


def test_training_depends_on_networks_states_and_seed_alone() -> None:
    given = population()
    split = given.split(np.random.default_rng(0))

    def state(seed: int) -> bytes:
        network = LayerTrainer(given, "head", STATES).train(split, AutoencoderConfig(steps=10), seed)
        return b"".join(t.numpy().tobytes() for t in network.state_dict().values())

    first = state(0)
    torch.manual_seed(99)
    assert state(0) == first
    assert state(1) != first


def test_only_the_chosen_layers_are_decoded_and_all_networks_at_once() -> None:
    given = population()
    split = given.split(np.random.default_rng(0))
    network = LayerTrainer(given, "body.1", STATES).train(split, AutoencoderConfig(steps=10), 0)
    rows = np.array([1, 4])
    decoded, part = decoded_networks(given, {"body.1": network}, rows), LAYOUT.layer_slices()["body.1"]
    others = np.ones(LAYOUT.size, bool)
    others[part] = False
    assert np.array_equal(decoded[:, others], given.networks[rows][:, others])
    alone = np.concatenate([decoded_networks(given, {"body.1": network}, rows[i : i + 1]) for i in range(2)])
    np.testing.assert_allclose(decoded, alone, atol=1e-6)
    assert not np.array_equal(decoded[:, part], given.networks[rows][:, part])


def test_an_autoencoder_is_restored_from_its_tensors() -> None:
    given = population()
    trainer = LayerTrainer(given, "head", STATES)
    network = trainer.train(given.split(np.random.default_rng(0)), AutoencoderConfig(steps=5, hidden=(16, 8)), 0)
    again = LayerAutoencoder.restored(dict(network.state_dict()))
    assert torch.equal(network(trainer.vectors), again(trainer.vectors))
