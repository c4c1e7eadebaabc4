"""A bounded memory: everything up to the bound, and beyond it a sample in which all that came before is as likely."""

import numpy as np
import pytest
import torch

from tlbench.baselines.model_based.memory import Memory
from tlbench.baselines.model_based.segments import Segments


@pytest.fixture
def bound(monkeypatch):
    monkeypatch.setattr("tlbench.baselines.model_based.memory.MOST_SEGMENTS", 200)


def numbered(first: int, count: int) -> Segments:
    """Segments whose observations are numbers of their own."""
    obs = torch.arange(first, first + count, dtype=torch.float32)[:, None]
    return Segments(obs, torch.zeros(count, 1, 1), torch.zeros(count, 1, 1), torch.ones(count, 1))


def held(memory: Memory) -> np.ndarray:
    return memory.held.obs[:, 0].numpy().astype(int)


def test_below_the_bound_all_is_held_in_order_and_nothing_is_drawn(bound):
    rng = np.random.default_rng(0)
    memory = Memory(numbered(0, 0), rng)
    memory.add(numbered(0, 150))
    memory.add(numbered(150, 50))
    assert held(memory).tolist() == [*range(200)]
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_beyond_it_the_first_part_is_as_likely_as_the_last(bound):
    counts = np.zeros(20)
    for seed in range(30):
        memory = Memory(numbered(0, 0), np.random.default_rng(seed))
        for part in range(20):
            memory.add(numbered(100 * part, 100))
        kept = held(memory)
        assert len(kept) == len(set(kept)) == 200
        assert memory.seen == 2000
        counts += np.bincount(kept // 100, minlength=20)
    assert counts.sum() == 30 * 200
    assert counts.min() > 200  # 300 expected of each; one that draws from what is left has a handful of the first
    assert counts.max() < 400


def test_a_sample_counts_for_what_it_stands_for(bound):
    memory = Memory(numbered(0, 0), np.random.default_rng(0))
    memory.add(numbered(0, 200))
    memory.add(numbered(200, 200), seen=600)
    assert np.bincount(held(memory) // 200).tolist() == [50, 150]


def test_what_is_far_above_the_bound_is_cut_at_once(bound):
    memory = Memory(numbered(0, 0), np.random.default_rng(0))
    memory.add(numbered(0, 1000))
    assert len(set(held(memory))) == 200
    assert len(memory.some(50)) == 50
