"""Hebbian traces as explicit state, kept in factors until it pays to multiply them out.

A trace H starts at 0 in every lifetime and is changed by one outer product per step. Multiplying that out costs a pass
over ``[B, pre, post]`` numbers per step, forward, and several backward, where memory is slow. Both rules only scale
columns of H and add the outer product x y, so H is exactly

    H[b, i, j] = base[b, i, j] * left[b, j] + sum over k of pres[k, b, i] * gains[k, b, j]

and everything a network needs of H can be had from the right-hand side by matrix products.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

Rule = Literal["hebb", "oja"]


class Traces(NamedTuple):
    """The traces of B lifetimes.

    Attributes:
        base: ``[B, pre, post]``, what was multiplied out; ``None`` while that is 0.
        effective: ``base`` times the plasticity coefficients, which every step needs.
        left: ``[B, post]``, the factor that has become of ``base`` since.
        pres: ``[K, B, pre]``, the activity before the connections in the K steps since.
        gains: ``[K, B, post]``, what has become of eta times the activity behind them.
    """

    base: torch.Tensor | None
    effective: torch.Tensor | None
    left: torch.Tensor
    pres: torch.Tensor
    gains: torch.Tensor

    @property
    def steps(self) -> int:
        """Steps that are not multiplied out."""
        return self.pres.shape[0]


def zero_traces(batch: int, pre: int, post: int, like: torch.Tensor) -> Traces:
    """The traces at the start of ``batch`` lifetimes."""
    return Traces(None, None, like.new_ones(batch, post), like.new_empty(0, batch, pre), like.new_empty(0, batch, post))


def traces_from_dense(dense: torch.Tensor, plasticity: torch.Tensor) -> Traces:
    """Traces that were multiplied out, ``[B, pre, post]``.

    Args:
        dense: The traces.
        plasticity: The coefficients, ``[pre, post]`` or a scalar.
    """
    batch, pre, post = dense.shape
    return zero_traces(batch, pre, post, dense)._replace(base=dense, effective=plasticity * dense)


def dense_traces(traces: Traces) -> torch.Tensor:
    """The traces multiplied out: ``[B, pre, post]``."""
    recent = torch.einsum("kbi,kbj->bij", traces.pres, traces.gains)
    return recent if traces.base is None else torch.addcmul(recent, traces.base, traces.left.unsqueeze(1))


def updated(traces: Traces, pre: torch.Tensor, post: torch.Tensor, eta: torch.Tensor, rule: Rule) -> Traces:
    """The traces after a step.

    Hebb: H <- (1 - eta) H + eta x y. Oja: H <- H + eta y (x - y H), which keeps H bounded without forgetting what is
    not overwritten.

    Args:
        traces: The traces before it.
        pre: Activity x before the connections, ``[B, pre]``.
        post: Activity y behind them, ``[B, post]``.
        eta: The rate, a scalar tensor.
        rule: The rule.
    """
    factor = 1 - eta if rule == "hebb" else torch.addcmul(torch.ones_like(post), post * eta, post, value=-1)
    gains = torch.cat([traces.gains * factor, (eta * post).unsqueeze(0)])
    left = traces.left if traces.base is None else traces.left * factor
    return Traces(traces.base, traces.effective, left, torch.cat([traces.pres, pre.unsqueeze(0)]), gains)
