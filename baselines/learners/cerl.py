"""CERL: a population and a portfolio of TD3 learners that differ in their discounts.

Source: Khadka et al. (2019), Collaborative Evolutionary Reinforcement Learning. In words: as ERL, with several
learners on one replay buffer; an upper confidence bound on their returns allots ten episodes per generation to them,
and every five generations the best one's actor enters the population.

Discounts 0.9, 0.99, 0.997 and 0.9995, population 10, ten episodes and the weight 0.9 of the bound are CERL's. The
portfolio's discounts replace the task's, which is the point of the method; the returns that are compared are
undiscounted. The gradient steps are shared out equally among the learners, so that a step of the environment pays for
as many as ERL's. All else is ``erl``'s.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tlbench.baselines.learners.neuroevolution.portfolio import PortfolioAgent, PortfolioConfig, unsupported_portfolio
from tlbench.protocol.interface import Interface, Learner


class CERLConfig(PortfolioConfig):
    """Settings of CERL."""

    discounts: tuple[float, ...] = Field((0.9, 0.99, 0.997, 0.9995), min_length=1, description="One per learner.")
    rollouts: int = Field(10, ge=1, description="Learners' episodes per generation.")
    migrate_every: int = Field(5, ge=1, description="Generations between two migrations of an actor.")


class CERL(Learner):
    """Collaborative evolutionary reinforcement learning: a population and several TD3 learners."""

    id = "cerl"
    seconds_per_unit = 6e-5
    Config = CERLConfig

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        return unsupported_portfolio(interface)

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> PortfolioAgent:
        """Build a fresh agent; equal arguments give equal parameters."""
        del device
        return PortfolioAgent(interface, config, seed)
