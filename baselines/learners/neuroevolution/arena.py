"""Networks playing in the lanes of a task: every lane has a network of its own, all act in one batched call.

A lane whose episode ends gets the next network within the same step: the reset inside a step is free, and a lane never
waits for another. So no metered step is spent idling, however different the episodes' lengths are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from tlbench.baselines.learners.networks import Float32, mlp
from tlbench.baselines.learners.neuroevolution.genomes import Layout, Vector
from tlbench.protocol.interface import Array


class Player(Protocol):
    """Somebody with a network."""

    @property
    def weights(self) -> Vector:
        """The network, ``[D]``."""

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on the scores of actions."""


P = TypeVar("P", bound=Player)
OnStep = Callable[[Array, Array, Array, Array, NDArray[np.bool_], list[dict[str, Any]]], None]
"""Is given every vector step: observations, scores of actions, rewards, new observations, dones, infos."""


class Arena:
    """Lanes in which networks play episodes.

    Args:
        envs: The lanes.
        layout: The layout of the networks.
        rng: The generator of the players' noise, if there are any with noise.
    """

    def __init__(self, envs: VecEnv, layout: Layout, rng: np.random.Generator | None = None) -> None:
        self._envs = envs
        self._rng = rng
        self._noise = np.zeros((envs.num_envs, 1), np.float32)
        self._players: list[Player | None] = [None] * envs.num_envs
        self._layout = layout
        self._matrix = np.zeros((envs.num_envs, layout.size), np.float32)
        self._layers = layout.layers(self._matrix)  # views: a lane's network is exchanged by writing its row

    def outputs(self, obs: Array) -> Float32:
        """Outputs of every lane's network, ``[lanes, out]``."""
        x = np.asarray(obs, dtype=np.float32)[:, None]
        return mlp(x, self._layers, self._layout.activation)[:, 0]

    def play(
        self,
        ask: Callable[[], P | None],
        tell: Callable[[P, float, int], None],
        on_step: OnStep | None = None,
        limit: float = np.inf,
    ) -> None:
        """Play episodes until ``ask`` has nothing for any lane.

        Args:
            ask: Gives the network that plays next; ``None``: none (the lane goes on with the one it has, uncounted,
                until all lanes are done).
            tell: Is told each finished episode: who played, its return and its length.
            on_step: Sees every step.
            limit: Vector steps, at most.

        Raises:
            BudgetExhausted: When the budget ends.
            DivergedError: If an output is not a number.
        """
        envs = self._envs
        players: list[P | None] = [self._seat(lane, ask()) for lane in range(envs.num_envs)]
        returns, lengths = np.zeros(envs.num_envs), np.zeros(envs.num_envs, dtype=np.int64)
        obs = envs.reset()
        assert isinstance(obs, np.ndarray)
        step = 0
        while step < limit and any(player is not None for player in players):
            step += 1
            scores = self._explored(self._layout.scores(self.outputs(obs)))
            after, rewards, dones, infos = envs.step(self._layout.actions(scores))
            assert isinstance(after, np.ndarray)
            returns += rewards
            lengths += 1
            if on_step is not None:
                on_step(obs, scores, rewards, after, dones, infos)
            if dones.any():
                for lane in np.flatnonzero(dones).tolist():
                    player = players[lane]
                    if player is not None:
                        tell(player, float(returns[lane]), int(lengths[lane]))
                for lane in np.flatnonzero(dones).tolist():
                    players[lane] = self._seat(lane, ask())
                returns[dones], lengths[dones] = 0.0, 0
            obs = after

    def _seat(self, lane: int, player: P | None) -> P | None:
        if player is not None:
            self._matrix[lane] = player.weights
            self._noise[lane] = player.noise
        self._players[lane] = player
        return player

    def refresh(self) -> None:
        """Take the players' networks anew: some have learned."""
        for lane, player in enumerate(self._players):
            if player is not None:
                self._matrix[lane] = player.weights

    def _explored(self, scores: Float32) -> Float32:
        if self._rng is None or not self._noise.any():
            return scores
        noisy: Float32 = scores + self._noise * self._rng.standard_normal(scores.shape, dtype=np.float32)
        return noisy
