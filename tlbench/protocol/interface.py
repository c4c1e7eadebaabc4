"""The seams of tlbench: what a learner, an agent, a policy, a task and a method are to each other.

A *learner* builds an *agent* for a task; the agent owns networks and optimiser and shows a *policy*. A *method* decides
what leaves the source (*knowledge*) and how it enters the target. Both meet tasks only as a :class:`BudgetedTask`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from stable_baselines3.common.vec_env import VecEnv

Params = dict[str, torch.Tensor]
"""Role -> tensor, ordered by depth: ``body.0.weight``, ``body.0.bias``, ..., ``head.weight``, ..., ``log_std``."""

Array = NDArray[Any]
Unit = Literal["env_steps", "samples", "episodes"]
LearnSource = TypeVar("LearnSource", bound=Callable[..., Any])
JSONValue = bool | int | float | str | list[Any] | dict[str, Any] | None


class Config(BaseModel):
    """Base of every learner's and method's configuration: typed, immutable, unknown keys and NaN refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )


@runtime_checkable
class Policy(Protocol):
    """What is evaluated. Raw observations in; its own normalisation, planning and memory inside.

    A policy may also have ``embed(obs) -> [lanes, d]`` for tasks scored by the alignment of embeddings, beside it
    ``predict_embeddings(obs) -> [lanes, actions, d]`` for pictures of its model, and a class method ``stack`` (see
    :class:`StackablePolicy`) that lets many frozen policies be evaluated in one batch.
    """

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Choose one action per lane, deterministically, without learning.

        Args:
            obs: Observations, ``[lanes, ...]``, as the environment gives them.
            state: What the previous call returned; ``None`` at the start.
            first: ``[lanes]``, true where an episode begins (memory is to be reset there).

        Returns:
            Actions ``[lanes, ...]`` inside the action space, and the state for the next call.
        """

    def frozen(self) -> Policy:
        """An independent copy that later training does not change."""


@runtime_checkable
class StackablePolicy(Policy, Protocol):
    """A policy of which many frozen copies can act in one batched call."""

    @classmethod
    def stack(cls, policies: Sequence[Self]) -> Policy:
        """Stack S policies of equal shapes.

        Returns:
            A policy whose ``act`` takes observations ``[S, lanes, ...]`` and ``first`` ``[S, lanes]`` and returns
            actions ``[S, lanes, ...]``; row s is computed exactly as policy s would compute it alone on those lanes.
        """


@dataclass(frozen=True)
class Interface:
    """All that a method may know of a task; not which task it is.

    Attributes:
        observation_space: Space of one observation.
        action_space: Space of one action.
        discount: The task's discount factor, part of the suite.
        context: Parameters of a task family, where the suite gives them.
        reward: ``reward(s, a, s')``, where known: takes observations, actions inside the action space and next
            observations, each ``[n, ...]``, and returns ``[n]``.
        terminated: ``terminated(s, a, s')``, where known: the same, for whether the transition ends its episode; time
            limits don't count.

    A record's diagnostics list under ``reads`` which of ``context``, ``reward`` and ``terminated`` were used.
    """

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    discount: float
    context: Mapping[str, float] = field(default_factory=dict)
    reward: Callable[[Array, Array, Array], Array] | None = None
    terminated: Callable[[Array, Array, Array], NDArray[np.bool_]] | None = None


class BudgetedTask(Protocol):
    """A metered source or target."""

    @property
    def interface(self) -> Interface:
        """What may be known of the task."""

    @property
    def unit(self) -> Unit:
        """What the budget counts."""

    @property
    def budget(self) -> int:
        """Units in all."""

    @property
    def spent(self) -> int:
        """Units used so far."""

    def publish(self, policy: Policy) -> None:
        """Name the policy that is evaluated from now on; required before the first metered call.

        The policy may go on learning: the harness takes frozen copies at the points of the schedule.
        """

    def envs(self, n: int) -> VecEnv:
        """Open ``n`` lanes of the task as an SB3 ``VecEnv``; any number of times, one meter for all.

        A step costs one unit per lane, and so does every reset but the first lanes' first; ``BudgetExhausted`` ends
        learning. Lanes whose episode ends are reset within the step, at no cost.
        """

    def samples(self, batch: int) -> Iterator[Mapping[str, Array]]:
        """Minibatches of the task's fixed offline data; each costs ``batch`` units."""

    def episodes(self, n: int) -> Iterator[Mapping[str, Array]]:
        """Batches of ``n`` supervised lifetimes (inputs, targets, mask, ``[T, n, ...]``); each costs ``n`` units."""


class Agent(Protocol):
    """A learner's networks and optimiser, built for one task.

    An agent may also have ``diagnostics() -> dict`` of JSON values about its training, for the record.
    """

    @property
    def policy(self) -> Policy:
        """The current policy (live: it changes as the agent learns)."""

    @property
    def gradient_steps(self) -> int:
        """Optimiser steps taken so far (shown, never metered)."""

    def train(self, task: BudgetedTask) -> None:
        """Publish the policy, learn until ``BudgetExhausted``, catch it and return.

        Raises:
            DivergedError: If a parameter is no longer finite.
        """

    def params(self) -> Params:
        """A copy of all parameters by role."""

    def load(self, params: Params, frozen: Sequence[str] = ()) -> None:
        """Set parameters by role; frozen roles then get no update at all, optimiser moments included.

        Raises:
            KeyError: If a role is unknown.
            ValueError: If a shape differs.
        """


class Learner(ABC):
    """An RL algorithm: builds agents."""

    id: ClassVar[str]
    version: ClassVar[str] = "1"
    Config: ClassVar[type[BaseModel]] = Config
    discrete_only: ClassVar[bool] = False
    """Whether tasks with continuous actions are shown through the suite's frozen discretisation."""
    units: ClassVar[tuple[Unit, ...]] = ("env_steps",)
    """Units of the budgets that it can learn from."""
    seconds_per_unit: ClassVar[float] = 0.0
    """Assumed processor time per unit of budget beside the environment's, until runs were measured; for estimates."""
    seconds_per_pixel: ClassVar[float] = 0.0
    """What is added to it per number of an observation, where observations are pictures."""

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        del interface
        return None

    @abstractmethod
    def build(self, interface: Interface, config: Any, seed: int, device: str) -> Agent:
        """Build a fresh agent; equal arguments give equal parameters."""


@dataclass(frozen=True)
class Expert:
    """A learner trained on a source: its best checkpoint and how good it is.

    Attributes:
        params: Parameters by role.
        interface: The source's interface.
        learner: The learner that was trained.
        config: The configuration it was trained with.
        seed: The expert's seed.
        mean_return: Mean return on fresh evaluation seeds, unnormalised.
    """

    params: Params
    interface: Interface
    learner: Learner
    config: BaseModel
    seed: int
    mean_return: float

    def agent(self, device: str = "cpu") -> Agent:
        """Build an agent that holds the expert's parameters."""
        agent = self.learner.build(self.interface, self.config, self.seed, device)
        agent.load(self.params)
        return agent


@dataclass(frozen=True)
class Knowledge:
    """What is carried from source to target: named tensors and JSON data. Immutable by convention and on disk.

    Attributes:
        tensors: Named tensors.
        data: Anything else that is JSON.
        diagnostics: Numbers about the source side that go into every record that uses this knowledge.
    """

    tensors: Params
    data: Mapping[str, JSONValue] = field(default_factory=dict)
    diagnostics: Mapping[str, JSONValue] = field(default_factory=dict)


@dataclass
class Context:
    """What the harness hands to a method besides tasks and knowledge.

    Attributes:
        seed: Seed for the method's own randomness.
        device: Torch device.
        learner: The learner on the target, if the method uses one.
        learner_config: The learner's configuration on the target: the transfer task's default with the user's
            ``--set learner.key=value`` on top. While a source is learned: the learner's defaults.
        agent_seed: Seed of the fresh agent on the target; the control uses the same.
        diagnostics: What the method reports; stored in the record.
    """

    seed: int
    device: str
    learner: Learner | None
    learner_config: BaseModel | None
    agent_seed: int
    diagnostics: dict[str, JSONValue] = field(default_factory=dict)

    def build(self, interface: Interface, config: BaseModel | None = None) -> Agent:
        """Build the fresh agent for the target; its initial parameters equal the control's.

        Args:
            interface: The target's interface.
            config: Another configuration than ``learner_config``.
        """
        config = self.learner_config if config is None else config
        if self.learner is None or config is None:
            raise ValueError("this method has no learner: build the agent yourself")
        return self.learner.build(interface, config, self.agent_seed, self.device)

    def rng(self) -> np.random.Generator:
        """A fresh generator seeded with ``seed``."""
        return np.random.default_rng(self.seed)


class Method(ABC):
    """How knowledge leaves the source and enters the target.

    A class stands for one or several named methods: ``variants`` maps each id to the configuration values that make it
    that variant. ``{learner}`` in an id stands for every learner in ``learners`` (or all that are found).
    """

    id: ClassVar[str]
    version: ClassVar[str] = "1"
    Config: ClassVar[type[BaseModel]] = Config
    learners: ClassVar[tuple[str, ...] | None] = None
    variants: ClassVar[Mapping[str, Mapping[str, JSONValue]]] = {}
    aliases: ClassVar[Mapping[str, str]] = {}
    experts: ClassVar[int] = 1
    """Experts wanted per source, trained with the method's learner; 0 if the method trains on the sources itself."""
    expert_learner: ClassVar[str | None] = None
    """Id of another learner to train the experts with, under its default configuration."""
    uses_source: ClassVar[bool] = True
    """False for methods that learn the target from scratch: no knowledge at all."""
    units: ClassVar[tuple[Unit, ...]] = ("env_steps",)
    """Units of the budgets that it can work with, if it has no learner: with one, the learner's count."""
    control: ClassVar[Literal["scratch", "self"]] = "scratch"
    """The control: the learner from scratch, or the method itself with no knowledge (for one without a learner)."""
    seconds_per_unit: ClassVar[float] = 0.0
    """As a learner's: what the method does itself per unit of budget, of the target and of sources it trains on."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = self.Config() if config is None else config

    def unsupported(self, interface: Interface) -> str | None:
        """Why this method can't run on a target with this interface, or ``None``; its learner is asked too."""
        del interface
        return None

    @abstractmethod
    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Extract knowledge.

        Args:
            sources: The sources: with their whole budget where ``experts`` is 0, else with the extraction allowance
                (a quarter of the source budget).
            experts: ``experts`` experts per source, in the order of the sources.
            ctx: Seed, device and learner.

        Returns:
            The knowledge, or ``None`` to abstain: the run is then the control's, with gain 0.

        Raises:
            DivergedError: If learning diverged, so that there is nothing to carry; it counts as ``None``.
        """

    @abstractmethod
    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Learn the target, publishing a policy before the first metered call."""


class TargetOnly(Method):
    """A method that learns the target alone: no source, no experts, no knowledge."""

    experts = 0
    uses_source = False

    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Nothing is learned on the source."""
        del sources, experts, ctx
        return None


def first_source_only(learn_source: LearnSource) -> LearnSource:
    """Mark a :meth:`Method.learn_source` that takes the first source alone, where there are several.

    The others are then not handed over: no expert is trained on them, and they don't count as source cost. A method
    that overrides ``learn_source`` gets all sources again, unless its own is marked too.
    """
    learn_source.first_source_only = True  # type: ignore[attr-defined]
    return learn_source


def learn_from_scratch(target: BudgetedTask, ctx: Context) -> None:
    """The control: the fresh agent, trained on the target with no knowledge."""
    agent = ctx.build(target.interface)
    agent.train(target)
    ctx.diagnostics |= training_facts(agent)


def training_facts(agent: Agent) -> dict[str, JSONValue]:
    """What an agent reports of its training: its gradient steps, and its ``diagnostics()`` where it has them."""
    own: Any = getattr(agent, "diagnostics", dict)
    return {**own(), "gradient_steps": agent.gradient_steps}
