"""What tasks share: the models, what they are fitted to, start states, the horizon; and its form as knowledge."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from tlbench.baselines.model_based.config import ModelBasedConfig
from tlbench.baselines.model_based.dynamics import DynamicsEnsemble
from tlbench.baselines.model_based.fitting import Fitter
from tlbench.baselines.model_based.memory import Memory
from tlbench.baselines.model_based.segments import Segments
from tlbench.protocol.interface import Interface, JSONValue, Knowledge, Params


class SharedModels:
    """Models of the dynamics that a family's tasks have in common.

    Args:
        interface: A task's; 1-D observations and actions.
        config: Settings.
        rng: Draws initial parameters, minibatches and start states.
        fresh_share: Share of a minibatch from the present task's data, where there is earlier data too.

    Attributes:
        models: The ensemble.
        fitter: Fits it.
        earlier: Data of the tasks that are done, a sample of it where there is very much.
        starts: Their start states, ``[n, d]``.
        horizon: Steps of the longest episode met; 0 before any.
        settled: Whether the normalisation stays as it is: on a target, whose policy is trained under it from the start.
    """

    def __init__(
        self, interface: Interface, config: ModelBasedConfig, rng: np.random.Generator, fresh_share: float = 1.0
    ) -> None:
        self.config, self.rng = config, rng
        self._sizes = sizes_of(interface)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        self.models = DynamicsEnsemble(*self._sizes, config.hidden_sizes, config.members, generator)
        self.fitter = Fitter(self.models, config, rng, fresh_share)
        self.earlier = self.memory()
        self.starts = torch.zeros(0, self._sizes[0])
        self.horizon = 0
        self.settled = False

    @property
    def ready(self) -> bool:
        """Whether the models were fitted to anything."""
        return self.horizon > 0

    def memory(self) -> Memory:
        """No data yet, of a task of the family."""
        return Memory(Segments.empty(*self._sizes, self.config.loss_steps), self.rng)

    def fit(self, present: Memory, updates: int) -> None:
        """Fit the models, to the present task's data and to earlier data."""
        self.fitter.fit(self.earlier.held, present.held, updates)

    def normalise(self, present: Memory) -> None:
        """Take means and deviations from all data, unless they are settled."""
        if not self.settled:
            self.models.normalise(Segments.joined([self.earlier.held, present.held]))

    def keep(self, present: Memory) -> None:
        """Add a task's data to the earlier tasks'."""
        self.earlier.add(present.held, present.seen)

    def knowledge(self, kept: int, diagnostics: Mapping[str, JSONValue]) -> Knowledge:
        """All of it as tensors, with at most so many segments of the data."""
        tensors: Params = {f"models.{role}": tensor for role, tensor in self.models.tensors().items()}
        tensors |= {f"data.{name}": tensor for name, tensor in self.earlier.some(kept).tensors().items()}
        tensors["starts"] = self.starts
        data: dict[str, JSONValue] = {
            "observations": self._sizes[0],
            "actions": self._sizes[1],
            "horizon": self.horizon,
        }
        return Knowledge(tensors, data, diagnostics)

    def load(self, knowledge: Knowledge) -> None:
        """Take over what another task's knowledge holds; the normalisation is settled then."""
        parts: dict[str, Params] = {"models": {}, "data": {}}
        for name, tensor in knowledge.tensors.items():
            part, _, role = name.partition(".")
            if part in parts:
                parts[part][role] = tensor
        self.models.load(parts["models"])
        self.earlier = Memory(Segments(**parts["data"]), self.rng)
        self.starts = knowledge.tensors["starts"]
        self.horizon = int(str(knowledge.data["horizon"]))
        self.settled = True


def sizes_of(interface: Interface) -> tuple[int, int]:
    """Components of an observation and of an action."""
    shapes = interface.observation_space.shape, interface.action_space.shape
    assert shapes[0] is not None
    assert shapes[1] is not None
    return shapes[0][0], shapes[1][0]


def fits(knowledge: Knowledge, interface: Interface) -> bool:
    """Whether the models' observations and actions are of the task's sizes."""
    return (knowledge.data["observations"], knowledge.data["actions"]) == sizes_of(interface)
