"""The genetic algorithm by itself: who plays, who becomes the elite, what is mutated."""

from __future__ import annotations

import numpy as np
import pytest

from tlbench.baselines.learners.neuroevolution.genetic import Direct, GeneticAlgorithm, Selection, mutable

SIZE = 6


def algorithm(seed: int = 0, frozen: list[slice] | None = None, **settings: int) -> GeneticAlgorithm:
    selection = Selection(**{"population": 8, "parents": 2, "candidates": 2, "reevaluations": 1, **settings})
    start = np.zeros(SIZE, np.float32)
    return GeneticAlgorithm(Direct(start, mutable(SIZE, 0.5, frozen or [])), selection, np.random.default_rng(seed))


def quality(code: np.ndarray) -> float:
    return -float(((code - 1) ** 2).sum())


def evolve(evolution: GeneticAlgorithm, episodes: int, lanes: int = 3, rng: np.random.Generator | None = None) -> None:
    """Play episodes in lanes that end in random order."""
    rng = rng or np.random.default_rng(1)
    playing = [evolution.ask() for _ in range(lanes)]
    for _ in range(episodes):
        lane = int(rng.integers(lanes))
        evolution.tell(playing[lane], quality(playing[lane].code))
        playing[lane] = evolution.ask()


@pytest.mark.parametrize("lanes", [1, 3, 20])
def test_it_climbs(lanes: int) -> None:
    evolution = algorithm()
    before = quality(evolution.elite.code)
    evolve(evolution, 2000, lanes)
    assert evolution.generation > 5
    assert quality(evolution.elite.code) > before / 10


def test_every_member_plays_before_anybody_plays_again() -> None:
    evolution = algorithm()
    first = [evolution.ask() for _ in range(8)]
    assert len({id(member) for member in first}) == 8
    assert first[0] is evolution.elite


def test_nobody_waits_for_the_last_one() -> None:
    """Free lanes re-evaluate the best so far; the generation ends with its last member."""
    evolution = algorithm()
    members = [evolution.ask() for _ in range(8)]
    for value, member in enumerate(members[:-1]):
        evolution.tell(member, float(value))
    for _ in range(6):
        again = evolution.ask()
        assert again in members[5:7]  # the best two of those that have played
        evolution.tell(again, 10.0)
    assert evolution.generation == 0
    evolution.tell(members[-1], -1.0)
    assert evolution.generation == 1


def test_a_lucky_episode_makes_no_elite() -> None:
    evolution = algorithm()
    members = [evolution.ask() for _ in range(8)]
    for member in members:
        evolution.tell(member, 100.0 if member is members[3] else 50.0 if member is members[5] else 0.0)
    while evolution.generation == 0:
        member = evolution.ask()
        evolution.tell(member, -100.0 if member is members[3] else 50.0)
    assert evolution.elite is members[5]


class Wide(Direct):
    """The first generation is spread far, later mutations are small."""

    @property
    def initial_scale(self) -> np.ndarray:
        return 100 * self.scale


def test_the_next_generation_is_the_elite_and_mutants_of_the_parents() -> None:
    coding = Wide(np.zeros(SIZE, np.float32), np.full(SIZE, 0.01, np.float32))
    evolution = GeneticAlgorithm(coding, Selection(8, 2, 2, 0), np.random.default_rng(0))
    members = [evolution.ask() for _ in range(8)]
    for value, member in enumerate(members):
        evolution.tell(member, float(value))
    assert evolution.elite is members[7]
    children = [evolution.ask() for _ in range(7)]
    nearest = []
    for child in children:
        distances = [float(np.linalg.norm(child.code - m.code)) for m in members]
        assert 0 < min(distances) < 0.1
        nearest.append(int(np.argmin(distances)))
    assert set(nearest) == {6, 7}


def test_a_late_reevaluation_counts_for_who_played_it() -> None:
    evolution = algorithm(reevaluations=0)
    members = [evolution.ask() for _ in range(8)]
    for value, member in enumerate(members[:-1]):
        evolution.tell(member, float(value))
    late = evolution.ask()  # plays on when the generation has ended
    evolution.tell(members[-1], 0.0)
    assert evolution.generation == 1
    queued = [evolution.ask() for _ in range(7)]
    evolution.tell(late, 5.0)
    assert evolution.generation == 1
    assert late.episodes == 2
    for member in queued:
        evolution.tell(member, 0.0)
    assert evolution.generation == 2


def test_frozen_entries_are_never_mutated() -> None:
    evolution = algorithm(frozen=[slice(1, 3)])
    start = evolution.elite.code.copy()
    evolve(evolution, 300)
    assert evolution.generation > 2
    assert (evolution.elite.code[1:3] == start[1:3]).all()
    assert (evolution.elite.code[[0, 3, 4, 5]] != start[[0, 3, 4, 5]]).all()


def test_the_seed_decides_everything() -> None:
    def ended(seed: int) -> bytes:
        evolution = algorithm(seed)
        evolve(evolution, 200)
        return evolution.elite.code.tobytes()

    assert ended(0) == ended(0)
    assert ended(0) != ended(1)


def test_all_frozen_ends_where_it_began() -> None:
    evolution = algorithm(frozen=[slice(0, SIZE)])
    evolve(evolution, 100)
    assert (evolution.elite.code == 0).all()
