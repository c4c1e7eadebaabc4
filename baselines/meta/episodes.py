"""Episodes played with given parameters, and their advantages over a linear baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tlbench.baselines.learners.networks import Float32
from tlbench.baselines.meta.policy import FunctionalPolicy
from tlbench.protocol.interface import Array, BudgetedTask

RIDGE = 1e-5
Float64 = NDArray[np.float64]


class Batch(NamedTuple):
    """Steps of one task ``[N, ...]``, or of several ``[M, N, ...]``.

    Attributes:
        obs: ``[N, in]``.
        actions: ``[N]`` or ``[N, d]``, as drawn.
        advantages: ``[N]``, of mean 0 and standard deviation 1.
        weights: ``[N]``, each step's share in the mean over the task's steps; 0 where a step only fills up.
    """

    obs: torch.Tensor
    actions: torch.Tensor
    advantages: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Episodes:
    """What lanes played from their start on, episode after episode; the last of a lane may be cut.

    Attributes:
        obs: ``[T, lanes, in]``.
        actions: ``[T, lanes]`` or ``[T, lanes, d]``, as drawn.
        rewards: ``[T, lanes]``.
        ended: ``[T, lanes]``, whether an episode ended with the step.
    """

    obs: Float32
    actions: Array
    rewards: Float64
    ended: NDArray[np.bool_]

    @property
    def first(self) -> NDArray[np.bool_]:
        """Whether the step belongs to its lane's first episode, ``[T, lanes]``."""
        return np.asarray(np.cumsum(self.ended, axis=0) - self.ended == 0)

    @property
    def mean_return(self) -> float:
        """Mean undiscounted return of the lanes' first episodes; all that ended in time would favour short ones."""
        return float(np.where(self.first, self.rewards, 0.0).sum(axis=0).mean())

    @property
    def time(self) -> NDArray[np.int64]:
        """Steps since the episode's start, ``[T, lanes]``."""
        steps = np.broadcast_to(np.arange(len(self.ended))[:, None], self.ended.shape)
        after_end = np.zeros(self.ended.shape, np.int64)
        after_end[1:] = np.where(self.ended[:-1], steps[1:], 0)
        return np.asarray(steps - np.maximum.accumulate(after_end, axis=0), np.int64)

    def batch(self, discount: float, device: str = "cpu") -> Batch:
        """The steps with their advantages, lane after lane within each step."""
        rows = self.ended.size
        flat = (column.reshape(rows, *column.shape[2:]) for column in (self.obs, self.actions))
        values = advantages(self, discount).astype(np.float32)
        columns = (*flat, values, np.full(rows, 1 / rows, np.float32))
        return Batch(*(torch.from_numpy(column).to(device) for column in columns))


class Player:
    """Plays a task with given parameters, from the start in all lanes, until the first episode of every lane has ended.

    Lanes whose episode ends early begin another, and all steps of the batch are used: they are paid for. What the last
    lane's end cuts is treated as what a time limit cuts; no action of a cut episode had a say in when. Where all lanes
    end together, the next episodes begin without a reset.

    Args:
        task: The metered task.
        policy: The policy.
        lanes: Lanes played at once.
        rng: Generator of the actions drawn.
    """

    def __init__(self, task: BudgetedTask, policy: FunctionalPolicy, lanes: int, rng: np.random.Generator) -> None:
        self.discount = task.interface.discount
        self._policy = policy
        self._envs = task.envs(lanes)
        self._rng = rng
        self._obs: Any = None

    def play(self, theta: torch.Tensor) -> Episodes:
        """Play at least one episode per lane.

        Raises:
            BudgetExhausted: If the budget ends before the last lane's first episode does.
            DivergedError: If an action is not finite.
        """
        obs = self._envs.reset() if self._obs is None else self._obs
        self._obs = None
        sampler = self._policy.sampler(theta)
        waiting = np.ones(self._envs.num_envs, dtype=np.bool_)
        seen, taken, rewards, ended = [], [], [], []
        while waiting.any():
            x = np.array(obs, dtype=np.float32).reshape(len(waiting), -1)
            actions = sampler.draw(x, self._rng)
            obs, reward, dones, _ = self._envs.step(self._policy.to_environment(actions))
            seen.append(x)
            taken.append(actions)
            rewards.append(np.array(reward))
            ended.append(np.array(dones))
            waiting &= ~dones
        if dones.all():
            self._obs = obs
        return Episodes(np.stack(seen), np.stack(taken), np.stack(rewards).astype(np.float64), np.stack(ended))


def advantages(episodes: Episodes, discount: float) -> Float64:
    """Discounted rewards-to-go over a linear baseline that is fitted to them, shifted and scaled.

    The baseline is that of Duan et al. (2016), Benchmarking Deep RL for Continuous Control: least squares on the
    observation, its square, and time to the powers 0 to 3. In batches with further episodes, one more input says how
    soon these may be cut.

    Args:
        episodes: The episodes.
        discount: The discount per step.

    Returns:
        ``[T * lanes]``, lane after lane within each step, of mean 0 and standard deviation 1 (0 if the baseline
        explains all).
    """
    to_go, running = np.empty_like(episodes.rewards), np.zeros(episodes.rewards.shape[1])
    for t in reversed(range(len(to_go))):
        running = episodes.rewards[t] + np.where(episodes.ended[t], 0.0, discount * running)
        to_go[t] = running
    inputs = features(episodes, discount)
    targets, inputs = to_go.reshape(-1), inputs.reshape(-1, inputs.shape[2])
    gram = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1])
    left = targets - inputs @ np.linalg.solve(gram, inputs.T @ targets)
    return np.asarray((left - left.mean()) / (left.std() + 1e-8), dtype=np.float64)


def features(episodes: Episodes, discount: float) -> Float64:
    """The baseline's inputs ``[T, lanes, 2 in + 4]``; one more where lanes have further episodes.

    The batch ends with a first episode, so when it ends is nothing that a further episode's actions can change: its
    baseline may know.
    """
    obs = np.clip(episodes.obs.astype(np.float64), -10, 10)
    time = episodes.time[:, :, None] / 100.0
    columns = [obs, obs**2, time, time**2, time**3, np.ones_like(time)]
    first = episodes.first
    if not first.all():
        left = len(obs) - np.arange(len(obs))[:, None]
        columns.append(np.where(first, 0.0, discount**left)[:, :, None])
    return np.concatenate(columns, axis=2)


def stacked(batches: Sequence[Batch]) -> Batch:
    """Batches of M tasks as one, shorter ones filled up with steps of weight 0."""
    columns = (torch.nn.utils.rnn.pad_sequence(list(column), batch_first=True) for column in zip(*batches, strict=True))
    return Batch(*columns)
