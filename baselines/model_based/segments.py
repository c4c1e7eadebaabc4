"""Segments of real experience: what models are fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tlbench.protocol.interface import Array, Params


@dataclass(frozen=True)
class Segments:
    """N stretches of up to H consecutive transitions; float32.

    Attributes:
        obs: First observations, ``[N, d]``.
        actions: Actions scaled to [-1, 1], ``[N, H, k]``.
        deltas: Changes of the observation, ``[N, H, d]``.
        mask: 1 where a transition belongs to the stretch, ``[N, H]``; the first always does.
    """

    obs: torch.Tensor
    actions: torch.Tensor
    deltas: torch.Tensor
    mask: torch.Tensor

    def __len__(self) -> int:
        return len(self.obs)

    def __getitem__(self, rows: Array) -> Segments:
        """The stretches of these indices; ``[M, B]`` of them give tensors ``[M, B, ...]``."""
        index = torch.from_numpy(rows)
        return Segments(self.obs[index], self.actions[index], self.deltas[index], self.mask[index])

    @classmethod
    def empty(cls, observations: int, actions: int, steps: int) -> Segments:
        """None yet, of ``steps`` transitions each."""
        shapes = (observations,), (steps, actions), (steps, observations), (steps,)
        return cls(*(torch.zeros(0, *shape) for shape in shapes))

    @classmethod
    def of_lanes(cls, obs: Array, actions: Array, following: Array, ended: Array, steps: int) -> Segments:
        """Cut what lanes did into one stretch per transition, which goes on until its episode or the data ends.

        Args:
            obs: Observations, ``[T, lanes, d]``.
            actions: Actions scaled to [-1, 1], ``[T, lanes, k]``.
            following: Next observations, an episode's last one included, ``[T, lanes, d]``.
            ended: Whether an episode ended with the transition, ``[T, lanes]``.
            steps: H.
        """
        total, lanes = ended.shape
        deltas = (following - obs).astype(np.float32)
        mask = np.zeros((total, lanes, steps), np.float32)
        shifted_actions = np.zeros((total, lanes, steps, actions.shape[2]), np.float32)
        shifted_deltas = np.zeros((total, lanes, steps, deltas.shape[2]), np.float32)
        alive = np.ones((total, lanes), np.bool_)
        for step in range(min(steps, total)):
            left = total - step
            mask[:left, :, step] = alive[:left]
            shifted_actions[:left, :, step] = actions[step:]
            shifted_deltas[:left, :, step] = deltas[step:]
            alive[:left] &= ~ended[step:]
        parts = obs.astype(np.float32), shifted_actions, shifted_deltas, mask
        return cls(*(torch.from_numpy(part.reshape(total * lanes, *part.shape[2:])) for part in parts))

    @classmethod
    def joined(cls, parts: Sequence[Segments]) -> Segments:
        """All stretches of several."""
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in ("obs", "actions", "deltas", "mask")))

    def tensors(self) -> Params:
        """The tensors by name."""
        return {"obs": self.obs, "actions": self.actions, "deltas": self.deltas, "mask": self.mask}
