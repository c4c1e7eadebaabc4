"""A harness task that remembers the parameters of the policy that was published first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tlbench.protocol.interface import Policy
from tlbench.protocol.task import HarnessTask


class Remembering(HarnessTask):
    """Keeps a copy of the first published policy's network weights."""

    first: dict[str, Any]
    last: Policy

    def publish(self, policy: Policy) -> None:
        """Publish, and remember."""
        super().publish(policy)
        self.last = policy
        if not hasattr(self, "first"):
            net = policy._policy  # type: ignore[attr-defined]
            linears = net.actor_linears()
            names = [f"body.{i}" for i in range(len(linears) - 1)] + ["head"]
            self.first = {}
            for name, linear in zip(names, linears, strict=True):
                self.first[f"{name}.weight"] = linear.weight.detach().clone()
                self.first[f"{name}.bias"] = linear.bias.detach().clone()


@pytest.fixture
def keep_published() -> Callable[..., Remembering]:
    """Makes such tasks."""
    return lambda spec, seed=0: Remembering(spec, "target", seed)
