"""One task's course: a fresh policy, warm-up on the models, then collecting, fitting and virtual training in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from tlbench.baselines.learners.agent import ModelAgent
from tlbench.baselines.model_based.collecting import Collector
from tlbench.baselines.model_based.pilot import Imagined, Pilot
from tlbench.baselines.model_based.segments import Segments
from tlbench.baselines.model_based.shared import SharedModels
from tlbench.baselines.model_based.virtual_env import Scales, VirtualEnv
from tlbench.protocol.interface import BudgetedTask, Interface

Build = Callable[[Interface, Any], ModelAgent]
"""Builds a fresh agent from an interface and the learner's configuration; always from the same seed."""

UNKNOWN_HORIZON = 2
"""Steps per rollout of a policy that is built before any episode was seen; it is built again before it is trained."""
CRITIC_BATCHES = 4
"""Minibatches of the value network per pass over a virtual rollout; smaller ones take most of the time."""


class Course:
    """Learns one task with shared models.

    Args:
        task: The task.
        shared: What it shares with other tasks.
        learner_config: The learner's configuration; lanes, steps and minibatches are set to the virtual ones.
        build: Builds the fresh agent.

    Attributes:
        pilot: The policy, which is published.
        errors: The models' relative error on newly collected data before they were fitted to it, per stage.
    """

    def __init__(self, task: BudgetedTask, shared: SharedModels, learner_config: Any, build: Build) -> None:
        self.shared, self.errors = shared, list[float]()
        self._task, self._config, self._build, self._learner_config = task, shared.config, build, learner_config
        self._scales = Scales(shared.models, task.interface)
        self._present = shared.memory()
        self._collector: Collector | None = None
        self._env: VirtualEnv | None = None
        self._horizon = 0
        self.renew()

    def renew(self) -> None:
        """Begin with a fresh policy, and publish it."""
        horizon = self.shared.horizon
        lanes = -(-self._config.virtual_samples // max(horizon, 1))
        lanes = self._config.members * -(-lanes // self._config.members)
        if not horizon:
            lanes, horizon = 1, UNKNOWN_HORIZON
        sizes = {"n_envs": lanes, "n_steps": horizon, "batch_size": max(2, -(-lanes * horizon // CRITIC_BATCHES))}
        scales = self._scales
        seen = replace(self._task.interface, observation_space=scales.seen_space, action_space=scales.unit_space)
        agent = self._build(seen, self._learner_config.model_copy(update=sizes))
        self.pilot = Pilot(agent, scales, self._learner_config.scale_rewards)
        self._env = self._virtual_env(lanes) if self.shared.ready else None
        self._horizon = horizon
        self._task.publish(self.pilot.policy)

    def warm_up(self, updates: int) -> None:
        """Train the policy on the models alone, by so many updates; nothing where there is no model yet."""
        if self._env is not None:
            self.pilot.train(self._env, updates)

    def imagine(self) -> Imagined:
        """What the models expect of the policy."""
        assert self._env is not None
        return self.pilot.imagine(self._virtual_env(self._env.num_envs))

    def probe(self, units: int) -> float:
        """The models' relative error on real data that is collected at the first call, where the policy then goes.

        Args:
            units: Units of the task's meter to spend, if none were yet.
        """
        if not len(self._present):
            self._collect(units)
        return self.shared.models.relative_error(self._present.held) if len(self._present) else 0.0

    def alternate(self, stages: int) -> None:
        """Collect, fit and train in turn until the budget ends.

        Args:
            stages: The budget is collected in so many equal parts.
        """
        units = -(-self._task.budget // stages)
        while not self._exhausted:
            fresh = self._collect(units)
            if not len(fresh):
                break
            if self.shared.ready:
                self.errors.append(self.shared.models.relative_error(fresh))
            self._train()

    def finish(self) -> None:
        """Hand the task's data over to the tasks that follow."""
        self.shared.keep(self._present)
        self.shared.starts = self._starts()

    @property
    def _exhausted(self) -> bool:
        return self._collector is not None and self._collector.exhausted

    def _collect(self, units: int) -> Segments:
        if self._collector is None:
            self._collector = Collector(self._task, self._scales, self._config, self.shared.rng)
        fresh = self._collector.collect(self.pilot, units)
        self._present.add(fresh)
        return fresh

    def _train(self) -> None:
        assert self._collector is not None
        shared, config = self.shared, self._config
        shared.normalise(self._present)
        shared.horizon = max(shared.horizon, self._collector.longest)
        if self._env is None or (shared.horizon != self._horizon and not self.pilot.updates):
            self.renew()
        assert self._env is not None
        self._env.starts, self._env.horizon = self._starts(), shared.horizon
        for _ in range(config.iterations):
            shared.fit(self._present, config.model_updates)
            self.pilot.train(self._env, config.policy_updates)

    def _virtual_env(self, lanes: int) -> VirtualEnv:
        shared = self.shared
        return VirtualEnv(
            shared.models, self._scales, self._task.interface, self._starts(), shared.horizon, lanes, shared.rng
        )

    def _starts(self) -> torch.Tensor:
        own = [] if self._collector is None else [self._collector.starts]
        return torch.cat([self.shared.starts, *own])
