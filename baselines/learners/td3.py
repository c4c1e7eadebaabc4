"""TD3: Stable-Baselines3's, on several lanes; what ERL and CERL are held against.

Source: Fujimoto et al. (2018), Addressing Function Approximation Error in Actor-Critic Methods. Losses, targets and
delays are SB3's. It is ERL's loop without a population, so that the two differ in nothing else.

Chosen here: a gradient step per ten environment steps, so that an evaluation takes minutes; it is computed in NumPy, on
the parameters of SB3's model. Discrete actions are shown to the actor as scores in [-1, 1], of which the largest wins;
actor and critic see the scores, with the noise that was added. Networks have two layers of 64, the actor tanh (as all
other learners' policies here), critics ReLU.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tlbench.baselines.learners.neuroevolution.portfolio import PortfolioAgent, PortfolioConfig, unsupported_portfolio
from tlbench.protocol.interface import Interface, Learner


class TD3Config(PortfolioConfig):
    """Settings of TD3."""

    population: int = Field(0, ge=0, le=0, description="None.")


class TD3(Learner):
    """SB3's TD3."""

    id = "td3"
    seconds_per_unit = 6e-5
    Config = TD3Config

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        return unsupported_portfolio(interface)

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> PortfolioAgent:
        """Build a fresh agent; equal arguments give equal parameters."""
        del device
        return PortfolioAgent(interface, config, seed)
