"""Seeds from names: every random stream of a run is derived from what it is for, never drawn from another stream."""

from __future__ import annotations

import random

import numpy as np
import torch

from tlbench.protocol.specs import digest_of


def derive_seed(*parts: str | int) -> int:
    """A seed in [0, 2**31) from the parts; different parts give unrelated seeds, on any machine the same."""
    return int(digest_of(list(parts))[:16], 16) % 2**31


def derive_seeds(n: int, *parts: str | int) -> list[int]:
    """``n`` seeds in [0, 2**31) from the parts."""
    entropy = int(digest_of(list(parts))[:32], 16)
    return [int(s) for s in np.random.SeedSequence(entropy).generate_state(n) >> 1]


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators (a worker inherits its parent's state)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
