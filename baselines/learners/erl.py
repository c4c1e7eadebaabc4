"""ERL: a population and one TD3 learner in one loop.

Source: Khadka & Tumer (2018), Evolution-Guided Policy Gradient in Reinforcement Learning. In words: a small population
and a learner play; all their transitions go into one replay buffer, from which the learner learns; in every generation
the learner's actor takes the place of the worst of the population.

What differs here, and why: the learner is TD3 instead of DDPG (its successor, and CERL's); the population is evolved
by the genetic algorithm of ``neuroevolution`` (truncation, Gaussian mutation of all weights, re-evaluated elite), not
by ERL's tournament, crossover and mutation of a tenth of the weights, so that the learners differ in one thing each;
and what is published is the better of elite and actor by their mean returns. Population 10 and one learner's episode
per generation are ERL's; the gradient steps and the treatment of discrete actions are those of ``td3``.
"""

from __future__ import annotations

from typing import Any

from tlbench.baselines.learners.neuroevolution.portfolio import PortfolioAgent, PortfolioConfig, unsupported_portfolio
from tlbench.protocol.interface import Interface, Learner


class ERL(Learner):
    """Evolutionary reinforcement learning: a population and TD3 on shared experience."""

    id = "erl"
    seconds_per_unit = 6e-5
    Config = PortfolioConfig

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        return unsupported_portfolio(interface)

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> PortfolioAgent:
        """Build a fresh agent; equal arguments give equal parameters."""
        del device
        return PortfolioAgent(interface, config, seed)
