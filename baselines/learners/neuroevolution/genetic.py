"""The genetic algorithm of Such et al. (2017), asked for networks and told their returns.

Truncation selection, Gaussian mutation, no crossover, one elite that is chosen by re-evaluating the best. It knows
neither tasks nor lanes, and what it mutates may be a code that a *coding* turns into networks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tlbench.baselines.learners.neuroevolution.genomes import Matrix, Vector


class Coding(Protocol):
    """How codes, which are mutated, stand for networks, which are evaluated."""

    @property
    def start(self) -> Vector:
        """The code that the first generation is made from, ``[K]``."""

    @property
    def scale(self) -> Vector:
        """Standard deviation of the mutation of each entry of a code, ``[K]``; 0 where it is never changed."""

    @property
    def initial_scale(self) -> Vector:
        """The same for the first generation, 0 for the same entries."""

    def decode(self, codes: Matrix) -> Matrix:
        """Codes ``[S, K]`` as networks ``[S, D]``, in one call."""

    def encode(self, network: Vector) -> Vector:
        """A network ``[D]`` as a code ``[K]``."""


@dataclass(frozen=True)
class Direct:
    """Networks are their own codes.

    Attributes:
        start: The network that the first generation is made from, ``[D]``.
        scale: Standard deviation of each entry's mutation, ``[D]``.
    """

    start: Vector
    scale: Vector

    @property
    def initial_scale(self) -> Vector:
        """The same in the first generation as later."""
        return self.scale

    def decode(self, codes: Matrix) -> Matrix:
        """The codes."""
        return codes

    def encode(self, network: Vector) -> Vector:
        """The network."""
        return network


@dataclass(frozen=True)
class Selection:
    """Settings of the algorithm.

    Attributes:
        population: Networks per generation, the elite included.
        parents: The best of them, from which the next generation is made.
        candidates: The best of a generation, one of which becomes the elite.
        reevaluations: Episodes a candidate plays beyond its first, at least.
    """

    population: int
    parents: int
    candidates: int
    reevaluations: int


@dataclass(eq=False)
class Member:
    """A member of the population and what it has reached."""

    code: Vector
    weights: Vector
    total: float = 0.0
    episodes: int = 0
    playing: int = 0
    noise: float = 0.0

    @property
    def mean(self) -> float:
        """Mean return so far; minus infinity before the first episode has ended."""
        return self.total / self.episodes if self.episodes else -np.inf


class GeneticAlgorithm:
    """Gives out networks to be played, and makes generations from what they reached.

    A generation ends when all of its members have played and its candidates were re-evaluated. A player who is asked
    for while others still play their first episode re-evaluates candidates: nobody waits.

    Args:
        coding: What is mutated.
        selection: Settings.
        rng: The generator of all its randomness.
    """

    def __init__(self, coding: Coding, selection: Selection, rng: np.random.Generator) -> None:
        self._coding = coding
        self._settings = selection
        self._rng = rng
        self._live = np.flatnonzero(coding.scale)
        self.generation = 0
        self.elite = Member(coding.start, coding.decode(coding.start[None])[0])
        self._members: list[Member] = []
        self._queue: deque[Member] = deque()
        self._unplayed = 0
        self._begin([self.elite], coding.initial_scale)

    def ask(self) -> Member:
        """Who plays the next episode."""
        member = self._queue.popleft() if self._queue else self._least_played()
        member.playing += 1
        return member

    def tell(self, member: Member, value: float) -> None:
        """Note the return of an episode; the generation may end with it."""
        first = member.episodes == 0
        member.playing -= 1
        member.episodes += 1
        member.total += value
        self._unplayed -= first
        if member.episodes > self._settings.reevaluations and member.mean > self.elite.mean:
            self.elite = member
        if self._unplayed == 0 and not self._queue:
            best = self._best(self._settings.candidates)
            if all(m.episodes > self._settings.reevaluations for m in best):
                self._next(best)

    def immigrate(self, network: Vector) -> None:
        """Put a network from outside in the place of the worst member that has played; it is yet to play."""
        code = self._coding.encode(network)
        newcomer = Member(code, self._coding.decode(code[None])[0])
        played = [m for m in self._members if m.episodes and m is not self.elite]
        if played:
            worst = min(played, key=lambda m: m.mean)
            self._members = [m for m in self._members if m is not worst]
        self._members.append(newcomer)
        self._queue.append(newcomer)
        self._unplayed += 1

    def _next(self, candidates: list[Member]) -> None:
        self.elite = max(candidates, key=lambda m: m.mean)
        self.generation += 1
        self._begin(self._best(self._settings.parents), self._coding.scale)

    def _begin(self, parents: list[Member], scale: Vector) -> None:
        """The elite as it is, and mutants of parents drawn uniformly."""
        count = self._settings.population - 1
        chosen = self._rng.integers(len(parents), size=count)
        codes = np.stack([parents[i].code for i in chosen])
        noise = self._rng.standard_normal((count, len(self._live)), dtype=np.float32)
        codes[:, self._live] += scale[self._live] * noise
        networks = self._coding.decode(codes)
        children = [Member(code, network) for code, network in zip(codes, networks, strict=True)]
        self._members = [self.elite, *children]
        self._queue = deque(m for m in self._members if not m.episodes)
        self._unplayed = len(self._queue)

    def _best(self, count: int) -> list[Member]:
        return sorted(self._members, key=lambda m: -m.mean)[:count]  # stable: ties keep their order

    def _least_played(self) -> Member:
        """Of the candidates so far, the one that has played least; before there are any, of all."""
        pool = [m for m in self._best(self._settings.candidates) if m.episodes] or self._members
        return min(pool, key=lambda m: m.episodes + m.playing)


def mutable(size: int, sigma: float, frozen: list[slice]) -> Vector:
    """A scale that is 0 on the frozen entries and ``sigma`` elsewhere, ``[size]``."""
    scale = np.full(size, sigma, np.float32)
    for part in frozen:
        scale[part] = 0.0
    return scale
