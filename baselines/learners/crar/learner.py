"""CRAR as a learner of tlbench.

Documents: van Driessel and François-Lavet, *Component Transfer Learning for Deep RL Based on Abstract Representations*;
François-Lavet et al. (2019), *Combined Reinforcement Learning via Abstract Representations*.

In words: an encoder makes a small abstract state of an observation. On top of it lie a model (the next abstract state,
the reward, the discount) and Q. Every minibatch is encoded once, states and successors together, and one optimiser step
is taken on the sum of seven losses: prediction errors of the model, double Q-learning, and three that shape the
abstract space (random pairs apart, successive states apart, everything in [-1, 1]). The evaluated policy plans.

Where this differs from the document's code, and what was chosen:

- One optimiser for the sum, where the code has an RMSProp for each loss. Separate optimisers make every loss's step
  equally large, so that the factors of a sum have to bring the losses into balance: here 10 on the transition loss.
  `python benchmarks/crar.py --learn 4000` prints the updates per second of both ways, and what losses each ends with on
  the simple maze and on a small labyrinth (docs/maze.md has them). Under frozen models
  the suite of the simple maze sets the factor to 1 on the target (docs/maze.md).
- Q's loss is over the action taken alone (the code's is a quarter of it: a mean over four actions, three of which are
  their own targets). The bound is the code's: of the largest squared entry, per
  cell where there are planes.
- On tasks in environment steps the agent explores, epsilon-greedily on Q: the document's learns from random play alone.
  There it has tens of thousands of updates, where the document's base models have 400,000: the target networks, which
  carry values about one step further each time, are copied every 200 updates instead of every 1,000, and pictures are
  learned at twice the rate.
- The last transitions of offline data are no ends of episodes; the document's code marks them terminal. All runs on a
  task learn from the same offline data, in an order of their own; the document's agents collect their own.
- What is evaluated is deterministic, as the protocol wants it; the document's code tests with epsilon 0.1.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from pydantic import Field

from tlbench.baselines.learners.agent import ModelAgent, build_model
from tlbench.baselines.learners.crar.algorithm import CRAR
from tlbench.baselines.learners.crar.losses import Weights
from tlbench.baselines.learners.crar.networks import default_neurons, picture_scale
from tlbench.baselines.learners.crar.policy import CRARPolicy, LiveCRAR
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.interface import BudgetedTask, Config, Interface, JSONValue, Learner, Params, Unit

NEURONS = "abstract_neurons"
"""The part of a task's context that asks for a flat abstract state of that many neurons."""

TARGET_UPDATE_INTERVALS = {"samples": 1_000, "env_steps": 200}
"""Updates between copies of the target networks, by the unit of the task's budget."""

LEARNING_RATE, PLANES_IN_STEPS_LEARNING_RATE = 5e-4, 1e-3
"""The learning rate, and that of planes on a task in environment steps."""


class CRARConfig(Config):
    """Settings of CRAR."""

    n_envs: int = Field(16, ge=1, description="Lanes stepped together.")
    train_freq: int = Field(1, ge=1, description="Steps of all lanes between updates.")
    gradient_steps: int | None = Field(
        None, ge=1, description="Updates each time; None: 2 with neurons, 4 with planes."
    )
    batch_size: int = Field(32, ge=1, description="Minibatch size.")
    buffer_size: int = Field(100_000, ge=1, description="Transitions that replay keeps.")
    learning_starts: int = Field(1_000, ge=0, description="Environment steps under random actions at first.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="The optimiser's learning rate at first; None: 5e-4, and 1e-3 with planes on environment steps.",
    )
    decay: float | None = Field(
        None, gt=0, le=1, description="Factor on it per 5,000 updates; None: 0.9 with neurons, 1 with planes."
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    target_update_interval: int | None = Field(
        None, ge=1, description="Updates between copies of the target networks; None: 1,000 on samples, 200 on steps."
    )
    double: bool = Field(True, description="Double Q-learning.")
    planning_depth: int = Field(3, ge=0, le=6, description="How far ahead the evaluated policy looks.")
    exploration_fraction: float = Field(0.2, gt=0, le=1, description="Share of the budget with epsilon falling from 1.")
    exploration_final: float = Field(0.1, ge=0, le=1, description="Epsilon at the end of its fall.")
    neurons: int | None = Field(
        None,
        ge=1,
        description="Size of a flat abstract state; None: the task's, or 8 for vectors, planes for pictures.",
    )
    transition_weight: float | None = Field(
        None, ge=0, description="Factor of the transition loss; None: 10 with neurons, 1 with planes."
    )
    reward_weight: float = Field(1.0, ge=0, description="Factor of the reward loss.")
    discount_weight: float = Field(1.0, ge=0, description="Factor of the discount loss.")
    q_weight: float = Field(1.0, ge=0, description="Factor of the Q loss.")
    disambiguation_weight: float = Field(1.0, ge=0, description="Factor of L_d1, on random pairs.")
    succession_weight: float | None = Field(
        None, ge=0, description="Factor of L'_d1, on successive states; None: 0.2 with neurons, 1 with planes."
    )
    bound_weight: float = Field(1.0, ge=0, description="Factor of L_d2.")
    unstructured_share: float = Field(
        0.0, ge=0, le=1, description="Share of the budget at first without L_d1, L'_d1 and L_d2."
    )

    def weights(self, flat: bool) -> Weights:
        """Factors of the losses for a flat abstract state or for planes."""
        transition = (10.0 if flat else 1.0) if self.transition_weight is None else self.transition_weight
        succession = (0.2 if flat else 1.0) if self.succession_weight is None else self.succession_weight
        return Weights(
            transition,
            self.reward_weight,
            self.discount_weight,
            self.q_weight,
            self.disambiguation_weight,
            succession,
            self.bound_weight,
        )


class CRARAgent(ModelAgent):
    """Wraps a :class:`CRAR` model.

    Args:
        model: The model.
        target_update_interval: Updates between copies of the target networks; ``None``: by the unit of the task.
        learning_rate: At the start; ``None``: by the unit of the task and the abstract state.
    """

    def __init__(
        self, model: CRAR, target_update_interval: int | None = None, learning_rate: float | None = None
    ) -> None:
        super().__init__(model, model.policy, model.policy.networks.roles())
        self.policy = LiveCRAR(model.policy)
        self._target_update_interval = target_update_interval
        self._learning_rate = learning_rate

    @property
    def gradient_steps(self) -> int:  # type: ignore[override]
        """Optimiser steps taken so far."""
        return int(self.model._n_updates)

    def train(self, task: BudgetedTask) -> None:
        """Publish the policy and learn until the budget ends: from offline samples, or from an empty replay buffer.

        Raises:
            DivergedError: If a parameter is no longer finite after an update.
        """
        self.model.target_update_interval = self._target_update_interval or TARGET_UPDATE_INTERVALS[task.unit]
        rate = self._learning_rate or self._usual_learning_rate(task.unit)
        self.model.lr_schedule = lambda _: rate
        if task.unit != "samples":
            self.model.replay_buffer.reset()
            super().train(task)
            return
        task.publish(self.policy)
        try:
            for batch in task.samples(self.model.batch_size):
                self.model.progress((task.spent - len(batch["rewards"])) / task.budget)
                columns = ("obs", "actions", "rewards", "next_obs", "terminated")
                self.model.update(*(batch[name] for name in columns))
        except BudgetExhausted:
            pass
        self.check_finite()

    def _usual_learning_rate(self, unit: Unit) -> float:
        planes = self.model.policy.neurons is None
        return PLANES_IN_STEPS_LEARNING_RATE if planes and unit == "env_steps" else LEARNING_RATE

    def params(self) -> Params:
        """A copy of all parameters by role, on the CPU, in the order of their dimensions."""
        return {role: tensor.contiguous() for role, tensor in super().params().items()}

    def diagnostics(self) -> dict[str, JSONValue]:
        """The course of the losses, for the record."""
        return {"losses": dict(self.model.history.table())}

    def _renew(self) -> None:
        self.model.policy.renew(self.model.lr_schedule(1))


class CRARLearner(Learner):
    """CRAR: model, values and planning over one abstract state."""

    id = "crar"
    seconds_per_unit = 4e-3  # on pictures of 8 x 8; less on vectors
    Config = CRARConfig
    discrete_only = True
    units = ("env_steps", "samples")

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        obs, action = interface.observation_space, interface.action_space
        if not isinstance(action, spaces.Discrete) or action.start != 0:
            return f"needs discrete actions that count from 0, not {action}"
        if not isinstance(obs, spaces.Box) or obs.dtype.kind != "f":
            return f"needs a Box of floats as observations, not {obs}"
        if len(obs.shape) != 1 and picture_scale(obs.shape) is None and NEURONS not in interface.context:
            return f"needs vectors, or square pictures whose sides are multiples of 8, not {obs}"
        return None

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> CRARAgent:
        """Build a fresh agent; equal arguments give equal parameters."""
        neurons = abstract_neurons(interface, config)
        decay = config.decay or (0.9 if neurons is not None else 1.0)
        model = build_model(
            CRAR,
            interface,
            config.n_envs,
            policy=CRARPolicy,
            learning_rate=config.learning_rate or LEARNING_RATE,
            decay=decay,
            buffer_size=config.buffer_size,
            learning_starts=config.learning_starts,
            batch_size=config.batch_size,
            train_freq=config.train_freq,
            gradient_steps=config.gradient_steps or (2 if neurons is not None else 4),
            double=config.double,
            weights=config.weights(neurons is not None),
            unstructured_share=config.unstructured_share,
            max_grad_norm=config.max_grad_norm,
            exploration_fraction=config.exploration_fraction,
            exploration_final=config.exploration_final,
            policy_kwargs={
                "neurons": neurons,
                "planning_depth": config.planning_depth,
                "optimizer_class": torch.optim.Adam,
                "optimizer_kwargs": {"fused": True},
            },
            seed=seed,
            device=device,
        )
        return CRARAgent(model, config.target_update_interval, config.learning_rate)


def abstract_neurons(interface: Interface, config: CRARConfig) -> int | None:
    """The size of a flat abstract state: the setting, the task's wish, 8 for vectors; ``None`` for planes."""
    if config.neurons is not None:
        return config.neurons
    if NEURONS in interface.context:
        return int(interface.context[NEURONS])
    return default_neurons(interface.observation_space.shape or ())
