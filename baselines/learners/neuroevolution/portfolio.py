"""A population and TD3 learners in one loop: they share lanes and a replay buffer, and actors migrate.

What ERL (Khadka & Tumer 2018) and CERL (Khadka et al. 2019) have in common, with the genetic algorithm of this package
as the population: everybody's transitions go into one replay buffer; learners take gradient steps on it while the
lanes play; their actors enter the population from time to time; and where there are several learners, an upper
confidence bound on their returns decides who plays.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from pydantic import Field

from tlbench.baselines.learners.networks import Activation
from tlbench.baselines.learners.neuroevolution.agent import EvolvingAgent
from tlbench.baselines.learners.neuroevolution.arena import Arena
from tlbench.baselines.learners.neuroevolution.genetic import GeneticAlgorithm, Member, Selection
from tlbench.baselines.learners.neuroevolution.genomes import Vector
from tlbench.baselines.learners.neuroevolution.td3 import SharedReplay, TD3Member, score_entries
from tlbench.baselines.learners.policies import unsupported_spaces
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.interface import Array, BudgetedTask, Config, Interface, JSONValue, Params

MEMORY = 0.2
"""Weight of the newest return in a learner's running mean."""


class PortfolioConfig(Config):
    """Settings of TD3, ERL and CERL; a learner's class says what its defaults are."""

    n_envs: int = Field(8, ge=1, description="Lanes stepped together.")
    population: int = Field(10, ge=0, description="Networks per generation, the elite included; 0: learners alone.")
    parents: int = Field(3, ge=1, description="The best, of which the next generation is made.")
    sigma: float = Field(0.1, gt=0, description="Standard deviation of a mutation.")
    candidates: int = Field(2, ge=1, description="The best, re-evaluated to choose the elite.")
    reevaluations: int = Field(2, ge=0, description="Episodes a candidate plays beyond its first, at least.")
    rollouts: int = Field(1, ge=1, description="Learners' episodes per generation.")
    migrate_every: int = Field(1, ge=1, description="Generations between two migrations of an actor.")
    discounts: tuple[float, ...] = Field((), description="Discount of each learner; none: one, with the task's.")
    ucb: float = Field(0.9, ge=0, description="Weight of the confidence bound when learners are chosen to play.")
    gradient_share: float = Field(0.1, gt=0, description="Gradient steps per environment step, all learners together.")
    learning_starts: int = Field(1000, ge=0, description="Environment steps before the first gradient step.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate, actors and critics.")
    batch_size: int = Field(128, ge=1, description="Transitions per gradient step.")
    buffer_size: int = Field(250_000, ge=1, description="Transitions in the replay buffer.")
    tau: float = Field(0.005, gt=0, le=1, description="Share of the networks that enters their targets at a step.")
    noise: float = Field(0.2, ge=0, description="Standard deviation of a learner's noise, of scores in [-1, 1].")
    hidden_sizes: tuple[int, ...] = Field((64, 64), description="Units of the hidden layers.")
    activation: Activation = Field("tanh", description="Activation of the actors' hidden layers; critics have ReLUs.")


@dataclass
class Contender:
    """A learner that plays, and how well it did."""

    learner: TD3Member
    value: float = -np.inf
    episodes: int = 0

    @property
    def weights(self) -> Vector:
        """The actor as it is now."""
        return self.learner.weights

    @property
    def noise(self) -> float:
        """The learner's noise."""
        return self.learner.noise

    def tell(self, value: float) -> None:
        """Note the return of an episode."""
        self.value = value if not self.episodes else (1 - MEMORY) * self.value + MEMORY * value
        self.episodes += 1


class PortfolioAgent(EvolvingAgent):
    """TD3 learners, with a population or without.

    Args:
        interface: The task's interface.
        config: Settings.
        seed: Seed of networks, selection, mutation, noise and minibatches.
    """

    def __init__(self, interface: Interface, config: PortfolioConfig, seed: int) -> None:
        seeds = np.random.SeedSequence(seed)
        discounts = config.discounts or (interface.discount,)
        streams = seeds.spawn(3)
        inputs = int(np.prod(interface.observation_space.shape or ()))
        outputs = score_entries(interface.action_space)
        self._replay = SharedReplay(
            config.buffer_size, inputs, outputs, config.n_envs, np.random.default_rng(streams[0])
        )
        noise_of_targets = np.random.default_rng(streams[2])
        self._members = [
            TD3Member(
                interface,
                discount,
                self._replay,
                config.hidden_sizes,
                config.activation,
                config.learning_rate,
                config.batch_size,
                config.tau,
                config.noise,
                seed + number,
                noise_of_targets,
            )
            for number, discount in enumerate(discounts)
        ]
        super().__init__(self._members[0].layout, self._members[0].params(), config.sigma, seed)
        self._settings = config
        self._noise = np.random.default_rng(streams[1])
        self._contenders: list[Contender] = []
        self._owed = self._turn = 0.0

    @property
    def gradient_steps(self) -> int:
        """Steps of all learners."""
        return sum(member.gradient_steps for member in self._members)

    def load(self, params: Params, frozen: Sequence[str] = ()) -> None:
        """Set the actors' parameters, of learners and population alike; see :class:`EvolvingAgent`.

        Learners keep fresh values of their own for other roles, but for frozen ones: these are the same for all.
        """
        super().load(params, frozen)
        present = self.params()
        for member in self._members:
            member.load({role: present[role] for role in present if role in params or role in frozen}, frozen)

    def train(self, task: BudgetedTask) -> None:
        """Publish the best and learn until the budget ends.

        Raises:
            DivergedError: If a parameter or a network's outputs are not finite.
        """
        self._check_finite()
        self._contenders = [Contender(member) for member in self._members]
        evolution = self._evolution()
        task.publish(self.policy)
        arena = Arena(task.envs(self._settings.n_envs), self.layout, self._noise)

        def ask() -> Member | Contender:
            return self._next_player(evolution)

        def tell(player: Member | Contender, value: float, length: int) -> None:
            del length
            if isinstance(player, Contender):
                player.tell(value)
            elif evolution is not None:
                before = evolution.generation
                evolution.tell(player, value)
                if evolution.generation > before and evolution.generation % self._settings.migrate_every == 0:
                    evolution.immigrate(self._best_contender().weights)
            self._choose(evolution)

        def on_step(obs: Array, scores: Array, rewards: Array, after: Array, dones: Array, infos: list[Any]) -> None:
            self._replay.store(obs, scores, rewards, after, dones, infos)
            if self._learn(len(rewards), task.spent):
                arena.refresh()
                self._choose(evolution)

        with suppress(BudgetExhausted):
            arena.play(ask, tell, on_step)  # type: ignore[misc]  # mypy doesn't solve a bound for a union
        self.generations += evolution.generation if evolution else 0
        self._check_finite()

    def diagnostics(self) -> dict[str, JSONValue]:
        """Generations that have ended, and the episodes that each learner has played."""
        return {**super().diagnostics(), "learner_episodes": [c.episodes for c in self._contenders]}

    def _evolution(self) -> GeneticAlgorithm | None:
        config = self._settings
        if not config.population:
            return None
        selection = Selection(config.population, config.parents, config.candidates, config.reevaluations)
        return GeneticAlgorithm(self._coding(), selection, self._rng)

    def _next_player(self, evolution: GeneticAlgorithm | None) -> Member | Contender:
        """Learners and population take turns, ``rollouts`` to ``population``."""
        config = self._settings
        self._turn += config.rollouts
        if evolution is not None and self._turn < config.population + config.rollouts:
            return evolution.ask()
        self._turn -= config.population + config.rollouts if evolution else config.rollouts
        return max(self._contenders, key=self._bound)

    def _bound(self, contender: Contender) -> float:
        """Upper confidence bound on a learner's return, returns scaled to [0, 1] over the learners."""
        if not contender.episodes:
            return np.inf
        known = [c.value for c in self._contenders if c.episodes]
        spread = max(known) - min(known)
        value = (contender.value - min(known)) / spread if spread else 0.0
        total = sum(c.episodes for c in self._contenders)
        return value + self._settings.ucb * float(np.sqrt(np.log(total) / contender.episodes))

    def _best_contender(self) -> Contender:
        return max(self._contenders, key=lambda c: c.value)

    def _learn(self, transitions: int, spent: int) -> bool:
        """Gradient steps that are due, dealt out to the learners in turn; whether there were any."""
        if spent < self._settings.learning_starts:
            return False
        self._owed += self._settings.gradient_share * transitions
        due = int(self._owed) // len(self._members)
        if due:
            self._owed -= due * len(self._members)
            for member in self._members:
                member.learn(due)
        return due > 0

    def _choose(self, evolution: GeneticAlgorithm | None) -> None:
        """Publish the elite where it was re-evaluated and is better than every learner, else the best one's actor."""
        contender = self._best_contender()
        elite = evolution.elite if evolution is not None else None
        proven = elite is not None and elite.episodes > self._settings.reevaluations
        if elite is not None and proven and elite.mean > contender.value:
            self._elite = elite.weights
        else:
            self._elite = contender.weights


def unsupported_portfolio(interface: Interface) -> str | None:
    """Why TD3 and a population can't learn a task, or ``None`` if they can."""
    space = interface.action_space
    if isinstance(space, spaces.Box) and not space.is_bounded():
        return f"needs bounded actions, not {space}"
    return unsupported_spaces(interface)
