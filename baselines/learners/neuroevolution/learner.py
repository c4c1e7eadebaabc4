"""neuroevolution: the genetic algorithm of Such et al. (2017), direct search among networks.

Documents: "Neural Network Autoencoders for Compressed Neuroevolution", whose reference for gradient-free training is
Such et al. (2017), "Deep Neuroevolution": truncation selection, Gaussian mutation, no crossover, and an elite that is
chosen by re-evaluating the best of each generation.

In words: the first generation is made of mutants of the start. Every network plays one episode with deterministic
actions; the best few play again, and the best of these is the elite, which is published and goes on unchanged; all
others of the next generation are mutants of parents drawn from the best.

What the documents leave open or is too large here, and what was chosen:

- Networks are SB3's policies as VPG has them (two tanh layers of 64, SB3's initialisation), so that knowledge passes
  between learners; a population is one matrix, and all lanes' networks act in one batched product.
- Lanes and generations are not tied: lanes take the next network as soon as an episode ends, and while the last ones
  of a generation still play, free lanes re-evaluate its candidates. Every metered step is part of somebody's episode.
- Sizes: Such et al. have 1,000 networks per generation and billions of frames; a target here has 36,000 to 225,000
  steps, so that generations are small and mutations large. See docs/neuroevolution.md for the sweep.
- The first generation are mutants of one start, not networks drawn afresh, so that a start that was carried from a
  source means something.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic import Field, model_validator
from stable_baselines3.common.utils import set_random_seed

from tlbench.baselines.learners.networks import TORCH_ACTIVATIONS, Activation
from tlbench.baselines.learners.neuroevolution.agent import EvolvingAgent
from tlbench.baselines.learners.neuroevolution.arena import Arena
from tlbench.baselines.learners.neuroevolution.genetic import GeneticAlgorithm, Member, Selection
from tlbench.baselines.learners.neuroevolution.genomes import Layout
from tlbench.baselines.learners.policies import ActorPolicy, unsupported_spaces
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.interface import BudgetedTask, Config, Interface, Learner, Params


class NeuroevolutionConfig(Config):
    """Settings of neuroevolution."""

    n_envs: int = Field(8, ge=1, description="Lanes stepped together.")
    population: int = Field(32, ge=2, description="Networks per generation, the elite included.")
    parents: int = Field(4, ge=1, description="The best, of which the next generation is made.")
    sigma: float = Field(0.1, gt=0, description="Standard deviation of a mutation.")
    candidates: int = Field(3, ge=1, description="The best, re-evaluated to choose the elite.")
    reevaluations: int = Field(2, ge=0, description="Episodes a candidate plays beyond its first, at least.")
    hidden_sizes: tuple[int, ...] = Field((64, 64), description="Units of the hidden layers.")
    activation: Activation = Field("tanh", description="Activation of the hidden layers.")

    @model_validator(mode="after")
    def _fits(self) -> NeuroevolutionConfig:
        if max(self.parents, self.candidates) > self.population:
            raise ValueError("parents and candidates can't be more than the population")
        return self

    def selection(self) -> Selection:
        """The settings of the algorithm."""
        return Selection(self.population, self.parents, self.candidates, self.reevaluations)


class NeuroevolutionAgent(EvolvingAgent):
    """A population that plays in the lanes of a task.

    Args:
        layout: Layout of the networks.
        start: The first network's parameters.
        config: Settings.
        seed: Seed of selection and mutation.
    """

    gradient_steps = 0

    def __init__(self, layout: Layout, start: Params, config: NeuroevolutionConfig, seed: int) -> None:
        super().__init__(layout, start, config.sigma, seed)
        self._config = config

    def train(self, task: BudgetedTask) -> None:
        """Publish the elite and evolve until the budget ends.

        Raises:
            DivergedError: If the start or a network's outputs are not finite.
        """
        self._check_finite()
        evolution = GeneticAlgorithm(self._coding(), self._config.selection(), self._rng)
        self._elite = evolution.elite.weights
        task.publish(self.policy)

        def tell(member: Member, value: float, length: int) -> None:
            del length
            evolution.tell(member, value)
            self._elite = evolution.elite.weights

        with suppress(BudgetExhausted):
            Arena(task.envs(self._config.n_envs), self.layout).play(evolution.ask, tell)
        self.generations += evolution.generation
        self._check_finite()


class Neuroevolution(Learner):
    """A genetic algorithm over policy networks (Such et al. 2017)."""

    id = "neuroevolution"
    Config = NeuroevolutionConfig

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        return unsupported_spaces(interface)

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> NeuroevolutionAgent:
        """Build a fresh agent; equal arguments give equal parameters."""
        del device  # single rows through small networks: the CPU is faster
        start = fresh_policy(interface, config.hidden_sizes, config.activation, seed)
        layout = Layout.of(start, config.activation, interface.action_space)
        return NeuroevolutionAgent(layout, start, config, seed)


def fresh_policy(interface: Interface, hidden_sizes: Sequence[int], activation: Activation, seed: int) -> Params:
    """Parameters of SB3's policy network as VPG's with that seed; ``log_std`` left out.

    Seeding Python's, NumPy's and torch's global generators is part of it, as with every SB3 model.
    """
    set_random_seed(seed)
    policy = ActorPolicy(
        interface.observation_space,
        interface.action_space,
        lambda _: 0.0,
        net_arch={"pi": list(hidden_sizes), "vf": []},
        activation_fn=TORCH_ACTIVATIONS[activation],
    )
    linears = policy.actor_linears()
    names = [*(f"body.{i}" for i in range(len(linears) - 1)), "head"]
    params: Params = {}
    for name, linear in zip(names, linears, strict=True):
        params[f"{name}.weight"], params[f"{name}.bias"] = linear.weight.detach(), linear.bias.detach()
    return params
