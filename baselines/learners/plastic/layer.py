"""Plastic connections: fixed weights plus plasticity coefficients times Hebbian traces.

Miconi, Clune & Stanley (2018), "Differentiable plasticity", section 2; reviewed in
plasticity-and-model-based-review.txt, sections 2.1 and 3.1. Weights, coefficients and the rate eta are learned by
gradient descent through whole lifetimes; the traces belong to a lifetime.
"""

from __future__ import annotations

import torch
from torch import nn

from tlbench.baselines.learners.plastic.traces import (
    Rule,
    Traces,
    dense_traces,
    traces_from_dense,
    updated,
    zero_traces,
)

CHUNK = 16
"""Steps after which traces are multiplied out: it bounds the work of a step, and never changes a result but for
rounding (``benchmarks/plastic.py`` measures other values)."""


class PlasticLayer(nn.Module):
    """Connections from ``pre`` to ``post`` neurons: drive = x (w + alpha * H).

    Args:
        pre: Neurons before the connections.
        post: Neurons behind them.
        shared: One plasticity coefficient for all connections; else one for each.
        rule: How traces change.
        scale: Standard deviation of the initial weights and coefficients.
        eta: Initial rate of the traces.
        chunk: Steps after which traces are multiplied out.
    """

    def __init__(
        self,
        pre: int,
        post: int,
        *,
        shared: bool = False,
        rule: Rule = "hebb",
        scale: float = 0.01,
        eta: float = 0.01,
        chunk: int = CHUNK,
    ) -> None:
        super().__init__()
        self.pre, self.post, self.shared, self.rule, self.chunk = pre, post, shared, rule, chunk
        self.weight = nn.Parameter(scale * torch.randn(pre, post))
        self.plasticity = nn.Parameter(scale * (torch.ones(()) if shared else torch.randn(pre, post)))
        self.rate = nn.Parameter(torch.tensor(eta))

    def start(self, batch: int) -> Traces:
        """The traces at the start of ``batch`` lifetimes."""
        return zero_traces(batch, self.pre, self.post, self.weight)

    def drive(self, x: torch.Tensor, traces: Traces) -> torch.Tensor:
        """Input of the neurons behind the connections.

        Args:
            x: Activity before them, ``[B, pre]``.
            traces: The traces.

        Returns:
            ``[B, post]``.
        """
        drive = x @ self.weight
        if traces.effective is not None:
            drive = torch.addcmul(drive, torch.bmm(x.unsqueeze(1), traces.effective).squeeze(1), traces.left)
        if not traces.steps:
            return drive
        matches = x * traces.pres
        if self.shared:
            return drive + self.plasticity * (matches.sum(2, keepdim=True) * traces.gains).sum(0)
        return drive + ((matches @ self.plasticity) * traces.gains).sum(0)

    def update(self, x: torch.Tensor, y: torch.Tensor, traces: Traces) -> Traces:
        """The traces after activity ``x`` ``[B, pre]`` before and ``y`` ``[B, post]`` behind the connections."""
        traces = updated(traces, x, y, self.rate, self.rule)
        if traces.steps < self.chunk:
            return traces
        return traces_from_dense(dense_traces(traces), self.plasticity)


class FixedLayer(nn.Module):
    """Connections that don't change, with the same methods: the non-plastic rival.

    Args:
        pre: Neurons before the connections.
        post: Neurons behind them.
        scale: Standard deviation of the initial weights.
    """

    def __init__(self, pre: int, post: int, *, scale: float = 0.01) -> None:
        super().__init__()
        self.pre, self.post = pre, post
        self.weight = nn.Parameter(scale * torch.randn(pre, post))

    def start(self, batch: int) -> None:
        """There are no traces."""

    def drive(self, x: torch.Tensor, traces: None) -> torch.Tensor:
        """Input of the neurons behind the connections, ``[B, post]``."""
        del traces
        return x @ self.weight

    def update(self, x: torch.Tensor, y: torch.Tensor, traces: None) -> None:
        """Nothing changes."""


Connections = PlasticLayer | FixedLayer
