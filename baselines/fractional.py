"""Fractional transfer: a fraction of the expert's parameters, added to the fresh ones.

Source: Sasso, Sabatelli & Wiering, "Multi-Source Transfer Learning for Deep Model-Based Reinforcement Learning"
(fractional transfer learning): theta = theta_init + omega * theta_source, omega = 0.2.

There it is applied to the last layers of a world model's reward and value networks, with other parts copied in full.
Here it is applied to every layer that fits, value networks included; ``layers`` sets another omega for single layers
(``--set 'layers={"head": 0.0}'``: 0 is a fresh layer). What the paper leaves open for other learners: the exploration
noise ``log_std`` is no weight and starts fresh; the optimiser starts fresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Config, Context, JSONValue, Knowledge, Params
from tlbench.protocol.starting_point import StartingPointMethod, carried


class FractionalConfig(Config):
    """Settings of fractional transfer."""

    omega: float = Field(0.2, ge=0, description="Fraction of the expert's parameters that is added.")
    layers: Mapping[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description='Another fraction for single layers, such as {"head": 0.0}.'
    )


class Fractional(StartingPointMethod):
    """Starts from the fresh parameters plus a fraction of the expert's."""

    Config = FractionalConfig
    id = "fractional-{learner}"
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {"fractional-{learner}": {}}

    def transform(self, knowledge: Knowledge, fresh: Params, ctx: Context) -> tuple[Params, Sequence[str]]:
        """Add the fraction where role and shape match.

        Raises:
            TlbenchError: If ``layers`` names one that the network doesn't have.
        """
        del ctx
        known = list(dict.fromkeys(_layer(role) for role in fresh if role != "log_std"))
        for layer in self.config.layers:
            if layer not in known:
                raise TlbenchError(f"the network has no layer {layer!r}; it has: {', '.join(known)}")
        start: Params = {}
        for role, tensor in carried(knowledge.tensors, fresh).items():
            if role != "log_std":
                omega = self.config.layers.get(_layer(role), self.config.omega)
                start[role] = fresh[role] + omega * tensor
        return start, ()


def _layer(role: str) -> str:
    return role.rpartition(".")[0]
