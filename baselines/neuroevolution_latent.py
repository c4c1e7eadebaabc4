"""neuroevolution-latent: evolution in the codes of autoencoders that were trained on networks that solve the source.

Document: "Neural Network Autoencoders for Compressed Neuroevolution". In words: many networks are trained on the
source; one autoencoder per layer learns to encode and decode them (``network_autoencoders.py``). On the target a
genetic algorithm mutates codes instead of weights; codes are decoded, and the decoded networks are evaluated.

The knowledge is the set of autoencoders with the mean and spread of the training networks' codes. The document leaves
open, and this module chooses:

* The networks: 30 experts of 30 seeds, trained with PPO; those count whose return is at least 90 % of the best one's.
  Their source steps are all counted, which puts the method into the class ``multi-expert``.
* States: those that the training networks visit in their first 100 steps, and a quarter of random ones, drawn from a
  normal distribution with the mean and twice the spread of the visited ones.
* The target starts from the mean code. The first generation are draws from the training networks' codes, seen as
  independent normal variables; later mutations are a fraction of their spread.
* Layers that have no autoencoder, because they don't fit the target or were not chosen (``layers``), are evolved
  directly, from a fresh start.

On the source's extraction allowance it plays the test networks, once as they are and once with each layer decoded: the
document's figure 3, in the diagnostics of every record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from tlbench.baselines.learners.neuroevolution.agent import EvolvingAgent
from tlbench.baselines.learners.neuroevolution.arena import Arena
from tlbench.baselines.learners.neuroevolution.genetic import Member
from tlbench.baselines.learners.neuroevolution.genomes import Layout, Matrix, Vector
from tlbench.baselines.network_autoencoders import (
    AutoencoderConfig,
    LayerAutoencoder,
    LayerTrainer,
    Population,
    decoded_networks,
)
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.interface import (
    Array,
    BudgetedTask,
    Context,
    Expert,
    JSONValue,
    Knowledge,
    Method,
    Params,
    learn_from_scratch,
    training_facts,
)


class NeuroevolutionLatentConfig(AutoencoderConfig):
    """Settings of evolution in a latent space."""

    layers: tuple[str, ...] | None = Field(None, description="Layers compressed (body.0, ..., head); all if none.")
    threshold: float = Field(0.9, ge=0, le=1, description="Least return of a network, as a share of the best one's.")
    visited_steps: int = Field(100, ge=1, description="Steps for which training networks are played to see states.")
    random_share: float = Field(0.25, ge=0, lt=1, description="Share of random states.")
    states: int = Field(512, ge=1, description="States on which networks are compared.")
    initial_sigma: float = Field(1.0, gt=0, description="First mutation of a code, in spreads of the networks' codes.")
    latent_sigma: float = Field(0.3, gt=0, description="Later mutations of a code, in the same unit.")


@dataclass(frozen=True)
class LatentCoding:
    """Codes that stand for some layers, and weights for the others.

    Attributes:
        layout: Layout of the target's networks.
        coders: Autoencoders by layer.
        spans: Which entries of a code belong to which layer.
        start: The first code, ``[K]``.
        scale: Standard deviation of each entry's mutation, ``[K]``.
        initial_scale: The same in the first generation.
    """

    layout: Layout
    coders: Mapping[str, LayerAutoencoder]
    spans: Mapping[str, slice]
    start: Vector
    scale: Vector
    initial_scale: Vector

    def decode(self, codes: Matrix) -> Matrix:
        """Codes ``[S, K]`` as networks ``[S, D]``."""
        networks = np.empty((len(codes), self.layout.size), np.float32)
        with torch.no_grad():
            for layer, part in self.layout.layer_slices().items():
                piece = codes[:, self.spans[layer]]
                if layer in self.coders:
                    piece = self.coders[layer].decode(torch.from_numpy(np.ascontiguousarray(piece))).numpy()
                networks[:, part] = piece
        return networks

    def encode(self, network: Vector) -> Vector:
        """A network ``[D]`` as a code ``[K]``."""
        code = np.empty(len(self.start), np.float32)
        with torch.no_grad():
            for layer, part in self.layout.layer_slices().items():
                piece = network[part]
                if layer in self.coders:
                    piece = self.coders[layer].encode(torch.from_numpy(piece[None].copy()))[0].numpy()
                code[self.spans[layer]] = piece
        return code


class NeuroevolutionLatent(Method):
    """Evolves the codes of autoencoders over networks that solve the source."""

    Config = NeuroevolutionLatentConfig
    id = "neuroevolution-latent"
    learners = ("neuroevolution",)
    experts = 30
    expert_learner = "ppo"

    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Train the autoencoders; abstain where fewer than three experts are good enough to be split by run."""
        population = good_networks(experts, self.config.threshold)
        if len(np.unique(population.runs)) < 3:
            return None
        split = population.split(ctx.rng())
        states = self._states(sources[0], population, split["train"], ctx.rng())
        tensors: Params = {}
        coders: dict[str, LayerAutoencoder] = {}
        table: dict[str, JSONValue] = {}
        for layer in self._chosen(population.layout):
            trainer = LayerTrainer(population, layer, states)
            coders[layer] = coder = trainer.train(split, self.config, ctx.seed)
            codes = coder.encode(trainer.vectors[split["train"]])
            content = {**coder.state_dict(), "code_mean": codes.mean(dim=0), "code_spread": codes.std(dim=0)}
            tensors |= {f"{layer}/{name}": tensor for name, tensor in content.items()}
            losses = {f"{part}_loss": value for part, value in trainer.losses(coder, split).items()}
            table[layer] = {"entries": trainer.vectors.shape[1], "code": codes.shape[1], **losses,
                            "output_norm": trainer.scale(split)}  # fmt: skip
        returns = decoded_returns(sources[0], population, coders, split["test"])
        diagnostics: dict[str, JSONValue] = {
            "networks": {part: len(rows) for part, rows in split.items()},
            "autoencoders": table,
            "test_returns": returns,
        }
        shapes: dict[str, JSONValue] = {
            name: list(shape) for name, shape in zip(population.layout.names, population.layout.shapes, strict=True)
        }
        return Knowledge(tensors, {layer: shapes[layer] for layer in coders}, diagnostics)

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Evolve codes."""
        if knowledge is None:
            learn_from_scratch(target, ctx)
            return
        agent = ctx.build(target.interface)
        assert isinstance(agent, EvolvingAgent)
        coding = self._coding(knowledge, agent, float(ctx.learner_config.sigma))  # type: ignore[union-attr]
        agent.coding = coding
        coded = sum(size for name, size in zip(agent.layout.names, agent.layout.sizes, strict=True)
                    if name in coding.coders)  # fmt: skip
        ctx.diagnostics["carried_share"] = coded / agent.layout.size
        ctx.diagnostics["code_entries"] = len(coding.start)
        agent.train(target)
        ctx.diagnostics |= training_facts(agent)

    def _states(
        self, source: BudgetedTask, population: Population, rows: np.ndarray, rng: np.random.Generator
    ) -> Array:
        """States on which networks are compared, ``[N, in]``: visited by the training networks, and random ones."""
        arena = Arena(source.envs(len(rows)), population.layout)
        seen: list[Array] = []
        players = deque(Member(network, network) for network in population.networks[rows])

        def seat() -> Member:
            players.rotate(-1)
            return players[-1]

        with suppress(BudgetExhausted):
            arena.play(seat, lambda *_: None, lambda obs, *_: seen.append(obs), self.config.visited_steps)
        visited = np.concatenate(seen)
        count = int(self.config.random_share * self.config.states)
        drawn = rng.normal(visited.mean(axis=0), 2 * visited.std(axis=0), (count, visited.shape[1]))
        chosen = visited[rng.integers(len(visited), size=self.config.states - count)]
        return np.concatenate([chosen, drawn]).astype(np.float32)

    def _chosen(self, layout: Layout) -> list[str]:
        layers: tuple[str, ...] | None = self.config.layers
        return [name for name in layout.names if layers is None or name in layers]

    def _coding(self, knowledge: Knowledge, agent: EvolvingAgent, sigma: float) -> LatentCoding:
        layout, fresh = agent.layout, agent.layout.pack(agent.params())
        coders, spans = {}, {}
        parts: list[tuple[Vector, Vector, Vector]] = []
        size = 0
        for (layer, part), entries in zip(layout.layer_slices().items(), layout.sizes, strict=True):
            own = {n.removeprefix(f"{layer}/"): t for n, t in knowledge.tensors.items() if n.startswith(f"{layer}/")}
            if knowledge.data.get(layer) == list(layout.shapes[layout.names.index(layer)]):
                mean, spread = own.pop("code_mean").numpy(), own.pop("code_spread").numpy()
                coders[layer] = LayerAutoencoder.restored(own).requires_grad_(False)
                parts.append((mean, self.config.latent_sigma * spread, self.config.initial_sigma * spread))
            else:
                scale = np.full(entries, sigma, np.float32)
                parts.append((fresh[part], scale, scale))
            spans[layer] = slice(size, size + len(parts[-1][0]))
            size = spans[layer].stop
        start, scale, initial = (np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True))
        return LatentCoding(layout, coders, spans, start, scale, initial)


def good_networks(experts: Sequence[Expert], threshold: float) -> Population:
    """The networks of the experts that are nearly as good as the best one; every expert is a training run.

    Args:
        experts: Experts, all of networks of the first one's layout.
        threshold: Least return, as a share of the best one's (of its magnitude below it, where returns are negative).
    """
    best = max(expert.mean_return for expert in experts)
    least = best - (1 - threshold) * abs(best)
    config = experts[0].config
    layout = Layout.of(experts[0].params, config.activation, experts[0].interface.action_space)  # type: ignore[attr-defined]
    chosen = [
        (layout.pack(expert.params), run)
        for run, expert in enumerate(experts)
        if expert.mean_return >= least
        and Layout.of(expert.params, layout.activation, layout.action_space).shapes == layout.shapes
    ]
    return Population(layout, np.stack([network for network, _ in chosen]), np.array([run for _, run in chosen]))


def decoded_returns(
    source: BudgetedTask, population: Population, coders: Mapping[str, LayerAutoencoder], rows: np.ndarray
) -> dict[str, JSONValue]:
    """Mean return of one episode per test network: as they are, with each layer decoded, with all of them decoded.

    Returns:
        Mean returns by what was decoded; ``None`` where the source's budget ended before an episode did.
    """
    groups = {"none": population.networks[rows]}
    groups |= {layer: decoded_networks(population, {layer: coder}, rows) for layer, coder in coders.items()}
    groups["all"] = decoded_networks(population, coders, rows)
    players = deque(Member(network, network) for matrix in groups.values() for network in matrix)
    members = list(players)

    def tell(member: Member, value: float, length: int) -> None:
        del length
        member.total, member.episodes = value, 1

    with suppress(BudgetExhausted):
        arena = Arena(source.envs(len(members)), population.layout)
        arena.play(lambda: players.popleft() if players else None, tell)
    found: dict[str, JSONValue] = {}
    for number, name in enumerate(groups):
        group = members[number * len(rows) : (number + 1) * len(rows)]
        done = all(member.episodes for member in group)
        found[name] = float(np.mean([member.total for member in group])) if done else None
    return found
