"""Autoencoders over the layers of policy networks, trained on what the decoded network does.

Document: "Neural Network Autoencoders for Compressed Neuroevolution", section 3. In words: a layer's parameters are
encoded and decoded while all other layers stay as they are; the loss is the L2 norm of the difference between the
outputs of the network with the decoded layer and those of the network itself, over a batch of states. Each layer has an
autoencoder of its own. Networks are split into training, validation and test sets; here by training run, so that no
checkpoint of a run that was trained on is ever tested on.

The document leaves open, and this module chooses (all but the first two are settings):

* The norm is divided by the root of the number of states, so that losses on different batches can be compared.
* Parameters are standardised entry by entry over the training networks; the decoder starts out at their mean.
* One hidden layer of 64 tanh units on either side; a code has a sixteenth of the layer's entries, 32 at most (with a
  few dozen networks there are no more directions to be learned).
* Adam, 300 steps on all training networks and 64 states each, keeping the step that is best on the validation networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from tlbench.baselines.learners.networks import TORCH_ACTIVATIONS
from tlbench.baselines.learners.neuroevolution.genomes import Layout, Matrix
from tlbench.protocol.interface import Config, Params

Part = Literal["train", "validation", "test"]
Stack = list[tuple[torch.Tensor, torch.Tensor]]
"""Layers of S networks by depth: weights ``[S, in, out]``, biases ``[S, 1, out]``."""

SMALLEST_SPREAD = 1e-3
"""Standard deviation that an entry is given where the training networks (almost) agree on it."""


class AutoencoderConfig(Config):
    """Settings of the autoencoders."""

    ratio: float = Field(16.0, ge=1, description="Entries of a layer per entry of its code.")
    largest_code: int = Field(32, ge=1, description="Entries of a code, at most.")
    hidden: tuple[int, ...] = Field((64,), description="Hidden units of the encoder; the decoder mirrors them.")
    steps: int = Field(300, ge=1, description="Optimiser steps per layer.")
    learning_rate: float = Field(3e-3, gt=0, description="Adam's learning rate.")
    batch_states: int = Field(64, ge=1, description="States per step.")
    check_every: int = Field(10, ge=1, description="Steps between two looks at the validation networks.")


class LayerAutoencoder(nn.Module):
    """Encodes and decodes one layer's parameters.

    Args:
        mean: Mean of the training networks' entries, ``[d]``.
        spread: Their standard deviation, ``[d]``.
        sizes: Units from the layer's entries to the code: ``(d, ..., k)``.
        generator: The generator of the initial weights.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(
        self, mean: torch.Tensor, spread: torch.Tensor, sizes: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.encoder = _perceptron(sizes, generator)
        self.decoder = _perceptron(sizes[::-1], generator)
        nn.init.zeros_(self.decoder[-1].weight)  # type: ignore[arg-type]

    def encode(self, vectors: torch.Tensor) -> torch.Tensor:
        """Layers ``[S, d]`` as codes ``[S, k]``."""
        codes: torch.Tensor = self.encoder((vectors - self.mean) / self.spread)
        return codes

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes ``[S, k]`` as layers ``[S, d]``, all in one call."""
        vectors: torch.Tensor = self.mean + self.spread * self.decoder(codes)
        return vectors

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Encode and decode."""
        return self.decode(self.encode(vectors))

    @classmethod
    def restored(cls, tensors: Params) -> LayerAutoencoder:
        """An autoencoder from its ``state_dict``."""
        weights = [t for name, t in tensors.items() if name.startswith("encoder.") and name.endswith("weight")]
        sizes = [weights[0].shape[1], *(w.shape[0] for w in weights)]
        network = cls(tensors["mean"], tensors["spread"], sizes, torch.Generator())
        network.load_state_dict(tensors)
        return network


@dataclass(frozen=True)
class Population:
    """Trained networks and the training runs that they come from.

    Attributes:
        layout: Their layout.
        networks: ``[S, D]``.
        runs: The run of each, ``[S]``.
    """

    layout: Layout
    networks: Matrix
    runs: np.ndarray

    def split(self, rng: np.random.Generator) -> dict[Part, np.ndarray]:
        """Rows of the three sets: about 60, 20 and 20 % of the runs, at least one run each.

        Raises:
            ValueError: If there are fewer than three runs.
        """
        runs = rng.permutation(np.unique(self.runs))
        if len(runs) < 3:
            raise ValueError(f"networks of at least three training runs are needed, there are {len(runs)}")
        held = max(1, len(runs) // 5)
        parts: dict[Part, np.ndarray] = {
            "test": runs[:held],
            "validation": runs[held : 2 * held],
            "train": runs[2 * held :],
        }
        return {part: np.flatnonzero(np.isin(self.runs, chosen)) for part, chosen in parts.items()}


class LayerTrainer:
    """Trains and scores the autoencoder of one layer.

    Args:
        population: The networks.
        layer: Name of the layer.
        states: Observations on which networks are compared, ``[N, in]``.
    """

    def __init__(self, population: Population, layer: str, states: np.ndarray) -> None:
        layout = population.layout
        self._depth = layout.names.index(layer)
        self._shape = layout.shapes[self._depth]
        self._activation = TORCH_ACTIVATIONS[layout.activation]()
        stack = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in layout.layers(population.networks)]
        self._after = stack[self._depth + 1 :]
        self.vectors = torch.from_numpy(population.networks[:, layout.layer_slices()[layer]].copy())
        x = torch.from_numpy(np.asarray(states, np.float32)).expand(len(population.networks), *states.shape)
        with torch.no_grad():  # what comes before the layer, and the outputs, are the networks' own: computed once
            for weight, bias in stack[: self._depth]:
                x = self._activation(torch.baddbmm(bias, x, weight))
            self._inputs = x
            rows = np.arange(len(population.networks))
            self._outputs = self._run(self.vectors, rows, slice(None))

    def loss(self, decoded: torch.Tensor, rows: np.ndarray, states: slice | np.ndarray = slice(None)) -> torch.Tensor:
        """The performance loss of networks with these layers, ``[S]``.

        Args:
            decoded: The layers, ``[S, d]``.
            rows: Which networks they belong to, ``[S]``.
            states: Which states.
        """
        difference = self._run(decoded, rows, states) - self._outputs[rows][:, states]
        norms: torch.Tensor = torch.linalg.vector_norm(difference, dim=(1, 2))
        return norms / math.sqrt(difference.shape[1])

    def train(self, split: Mapping[Part, np.ndarray], config: AutoencoderConfig, seed: int) -> LayerAutoencoder:
        """Train the autoencoder on the training networks; the step that is best on the validation networks is kept."""
        generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        rows, held = split["train"], split["validation"]
        vectors = self.vectors[rows]
        spread = vectors.std(dim=0, correction=0).clamp_min(SMALLEST_SPREAD)
        size = vectors.shape[1]
        code = max(1, min(config.largest_code, int(size / config.ratio)))
        network = LayerAutoencoder(vectors.mean(dim=0), spread, (size, *config.hidden, code), generator)
        optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
        best, kept = np.inf, {}
        for step in range(config.steps + 1):
            if step % config.check_every == 0 or step == config.steps:
                with torch.no_grad():
                    loss = float(self.loss(network(self.vectors[held]), held).mean())
                if loss < best:
                    best, kept = loss, {name: t.clone() for name, t in network.state_dict().items()}
            if step < config.steps:
                states = rng.choice(self._inputs.shape[1], min(config.batch_states, self._inputs.shape[1]), False)
                optimiser.zero_grad()
                self.loss(network(vectors), rows, states).mean().backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        network.load_state_dict(kept)
        return network.requires_grad_(False)

    def losses(self, network: LayerAutoencoder, split: Mapping[Part, np.ndarray]) -> dict[Part, float]:
        """Mean performance loss on each set."""
        return {part: float(self.loss(network(self.vectors[rows]), rows).mean()) for part, rows in split.items()}

    def scale(self, split: Mapping[Part, np.ndarray]) -> float:
        """Size of the test networks' own outputs, in the losses' unit: a loss of this size has lost everything."""
        outputs = self._outputs[split["test"]]
        return float((torch.linalg.vector_norm(outputs, dim=(1, 2)) / outputs.shape[1] ** 0.5).mean())

    def _run(self, vectors: torch.Tensor, rows: np.ndarray, states: slice | np.ndarray) -> torch.Tensor:
        """Outputs ``[S, N, out]`` of networks whose layer is replaced, in one call per layer."""
        fan_in, fan_out = self._shape
        weight = vectors[:, : fan_in * fan_out].reshape(-1, fan_in, fan_out)
        x = torch.baddbmm(vectors[:, None, fan_in * fan_out :], self._inputs[rows][:, states], weight)
        for weight, bias in self._after:
            x = torch.baddbmm(bias[rows], self._activation(x), weight[rows])
        return x


def decoded_networks(population: Population, coders: Mapping[str, LayerAutoencoder], rows: np.ndarray) -> Matrix:
    """Networks ``[S, D]`` with these layers encoded and decoded, all others intact."""
    networks: Matrix = population.networks[rows].copy()
    with torch.no_grad():
        for layer, part in population.layout.layer_slices().items():
            if layer in coders:
                networks[:, part] = coders[layer](torch.from_numpy(networks[:, part].copy())).numpy()
    return networks


def _perceptron(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    modules: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.xavier_uniform_(linear.weight, generator=generator)
        nn.init.zeros_(linear.bias)
        modules += [linear, nn.Tanh()]
    return nn.Sequential(*modules[:-1])
