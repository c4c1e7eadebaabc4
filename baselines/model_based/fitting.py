"""Fits the models: Adam on minibatches of which a share is the present task's."""

from __future__ import annotations

import numpy as np
import torch

from tlbench.baselines.model_based.config import ModelBasedConfig
from tlbench.baselines.model_based.dynamics import DynamicsEnsemble
from tlbench.baselines.model_based.segments import Segments


class Fitter:
    """Adam over all members at once: their losses are independent, so each is fitted as it would be alone.

    Args:
        models: What is fitted.
        config: Learning rate, weight decay, minibatches.
        rng: Draws minibatches.
        fresh_share: Share of a minibatch from the present task's data, where there is earlier data too.
    """

    def __init__(
        self, models: DynamicsEnsemble, config: ModelBasedConfig, rng: np.random.Generator, fresh_share: float
    ) -> None:
        self.models = models
        self.updates = 0
        self._config, self._fresh_share = config, fresh_share
        self._rng = rng
        self._adam = torch.optim.Adam(
            models.parameters(), lr=config.model_learning_rate, weight_decay=config.weight_decay, fused=True
        )

    def fit(self, earlier: Segments, present: Segments, updates: int) -> None:
        """Update the models.

        Args:
            earlier: Data of the tasks before this one.
            present: The present task's.
            updates: How many updates.

        Raises:
            DivergedError: If a parameter is no longer finite.
        """
        data = Segments.joined([earlier, present])
        for _ in range(updates):
            self._adam.zero_grad()
            batch = data[self._rows(len(earlier), len(present))]
            self.models.losses(batch).sum().backward()  # type: ignore[no-untyped-call]
            self._adam.step()
        self.updates += updates
        self.models.check_finite()

    def _rows(self, earlier: int, present: int) -> np.ndarray:
        shape = self.models.members, self._config.model_batch
        from_present = self._rng.random(shape) < (self._fresh_share if earlier and present else present > 0)
        old = self._rng.integers(max(earlier, 1), size=shape)
        new = earlier + self._rng.integers(max(present, 1), size=shape)
        return np.where(from_present, new, old)
