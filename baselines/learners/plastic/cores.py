"""Recurrent cores: what turns a sequence of inputs into a sequence of features, with memory as explicit state.

All cores have ``start(batch)``, ``step(x, state)``, ``forward(inputs, state)`` over ``[T, B, inputs]`` and
``forget(state, first)``, which starts the lanes anew where ``first`` is true.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from tlbench.baselines.learners.plastic.layer import Connections
from tlbench.baselines.learners.plastic.traces import Traces


def forget(state: Any, keep: torch.Tensor) -> Any:
    """A state without the memory of some lifetimes.

    Args:
        state: ``(activity [B, n], traces or None)``.
        keep: ``[B, 1]``, 1 where memory stays, 0 where a lifetime begins.
    """
    activity, traces = state
    return activity * keep, forget_traces(traces, keep) if isinstance(traces, Traces) else traces


def forget_traces(traces: Traces, keep: torch.Tensor) -> Traces:
    """Traces that are 0 again where ``keep`` ``[B, 1]`` is 0."""
    base, effective = (None if t is None else t * keep.unsqueeze(2) for t in (traces.base, traces.effective))
    return traces._replace(base=base, effective=effective, gains=traces.gains * keep)


class RecurrentCore(nn.Module):
    """h <- tanh(U x + b + h (w + alpha * H)), with plastic or fixed recurrent connections.

    Args:
        inputs: Inputs per step.
        recurrent: The connections from the neurons to themselves.
    """

    def __init__(self, inputs: int, recurrent: Connections) -> None:
        super().__init__()
        self.size = recurrent.post
        self.input = nn.Linear(inputs, self.size)
        self.recurrent: Any = recurrent

    def start(self, batch: int) -> Any:
        """The state at the start of ``batch`` lifetimes."""
        return self.input.weight.new_zeros(batch, self.size), self.recurrent.start(batch)

    def step(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Features ``[B, size]`` and the next state for inputs ``[B, inputs]``."""
        return self._step(self.input(x), state)

    def forward(self, inputs: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Features ``[T, B, size]`` and the last state for inputs ``[T, B, inputs]``."""
        features = []
        for drive in self.input(inputs):
            h, state = self._step(drive, state)
            features.append(h)
        return torch.stack(features), state

    def forget(self, state: Any, first: torch.Tensor) -> Any:
        """The state, started anew where ``first`` ``[B]`` is true."""
        return forget(state, (~first).to(state[0].dtype).unsqueeze(1))

    def roles(self) -> dict[str, nn.Parameter]:
        """Parameters by role, by depth."""
        found = {"0.weight": self.input.weight, "0.bias": self.input.bias}
        return {**found, **{f"1.{name}": p for name, p in self.recurrent.named_parameters()}}

    def _step(self, drive: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        h, traces = state
        y = torch.tanh(drive + self.recurrent.drive(h, traces))
        return y, (y, self.recurrent.update(h, y, traces))


class LSTMCore(nn.Module):
    """PyTorch's LSTM with one layer.

    Args:
        inputs: Inputs per step.
        size: Cells.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.lstm = nn.LSTM(inputs, size)

    def start(self, batch: int) -> Any:
        """The state at the start of ``batch`` lifetimes."""
        zeros = torch.zeros(1, batch, self.size)
        return zeros, zeros

    def step(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Features ``[B, size]`` and the next state for inputs ``[B, inputs]``."""
        features, state = self.lstm(x.unsqueeze(0), state)
        return features.squeeze(0), state

    def forward(self, inputs: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Features ``[T, B, size]`` and the last state for inputs ``[T, B, inputs]``."""
        features, state = self.lstm(inputs, state)
        return features, state

    def forget(self, state: Any, first: torch.Tensor) -> Any:
        """The state, started anew where ``first`` ``[B]`` is true."""
        keep = (~first).to(state[0].dtype).unsqueeze(1)
        return tuple(part * keep for part in state)

    def roles(self) -> dict[str, nn.Parameter]:
        """Parameters by role, by depth."""
        lstm: Any = self.lstm
        return {
            "0.weight": lstm.weight_ih_l0,
            "0.bias": lstm.bias_ih_l0,
            "1.weight": lstm.weight_hh_l0,
            "1.bias": lstm.bias_hh_l0,
        }


def matched_neurons(kind: str, parameters: int, inputs: int, outputs: int) -> int:
    """Neurons of a non-plastic core that has, with its read-out, about as many parameters as another network.

    Args:
        kind: ``"rnn"``: m^2 + m (inputs + 1) and the read-out's; ``"lstm"``: 4 m^2 + 4 m (inputs + 2) and the same.
        parameters: The other network's.
        inputs: Inputs of the core per step.
        outputs: Outputs of the read-out, (m + 1) parameters each.
    """
    square, linear = (1, inputs + 1 + outputs) if kind == "rnn" else (4, 4 * (inputs + 2) + outputs)
    root = math.sqrt(linear**2 + 4 * square * max(0, parameters - outputs))
    return max(1, round((root - linear) / (2 * square)))
