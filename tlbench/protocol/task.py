"""The harness's side of a task: what a method gets of it, and the schedule's snapshots and their evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from tlbench.protocol.alignment import alignment_facts, evaluate_alignment, load_pairs
from tlbench.protocol.budget import Meter
from tlbench.protocol.checkpoint import Checkpoints, Keeper, outcomes_from_json, outcomes_to_json
from tlbench.protocol.errors import ProtocolViolationError
from tlbench.protocol.evaluation import Outcome, Snapshot, evaluate, rewards_within, untouched_randomness
from tlbench.protocol.interface import Array, Interface, JSONValue, Policy, StackablePolicy, Unit
from tlbench.protocol.known import KnownContext, known_function
from tlbench.protocol.metered import MeteredVecEnv, TrainingBins
from tlbench.protocol.sealing import unsealed
from tlbench.protocol.seeding import derive_seed, derive_seeds
from tlbench.protocol.sources import evaluate_lifetimes, load_lifetimes, offline_transitions
from tlbench.protocol.specs import TaskSpec, digest_of
from tlbench.protocol.vector import open_lanes


class HarnessTask:
    """A metered source or target, and the harness's record of what happened on it.

    Args:
        spec: The task.
        role: As which it is used; chooses the schedule.
        seed: The run's seed; training lanes and evaluation starts derive from it and the task alone.
        discrete: Show continuous actions through the suite's discretisation.
        budget: Another budget than the schedule's (extraction), then without evaluation.
        on_point: Called with the point's number whenever a point is due, before anything else happens.
        base: The base model that embeddings are held against, if there is one.
        keeper: Where checkpoints of its training are kept, if they are to be.
    """

    def __init__(
        self,
        spec: TaskSpec,
        role: Literal["source", "target"],
        seed: int,
        *,
        discrete: bool = False,
        budget: int | None = None,
        on_point: Callable[[int], None] | None = None,
        base: Policy | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        schedule = spec.schedule(role)
        self.fractions = schedule.target_fractions() if role == "target" else schedule.source_fractions()
        if budget is not None:
            self.fractions = []
        self._spec = spec
        self._discrete = discrete
        self._episodes = schedule.episodes
        self._identity = (digest_of(spec.identity(role)), role, seed)
        self._on_point = on_point
        self._base = base
        self._pairs = load_pairs(spec) if spec.pairs is not None else None
        self._policy: Policy | None = None
        self._streams = 0
        self._counts: list[int] = []
        self._snapshots: list[Snapshot] = []
        self._outcomes: list[Outcome | None] = []
        self.meter = Meter(schedule.budget if budget is None else budget, self.fractions, self._due)
        self.bins = TrainingBins(max(1, self.meter.budget))
        self._lifetimes = load_lifetimes(spec) if spec.unit == "episodes" else None
        self._reads: set[str] = set()
        self.interface = self._interface()
        self.checkpoints = self._open_checkpoints(keeper)
        self._known = len(self._outcomes)

    @property
    def unit(self) -> Unit:
        """What the budget counts."""
        return self._spec.unit

    @property
    def budget(self) -> int:
        """Units in all."""
        return self.meter.budget

    @property
    def spent(self) -> int:
        """Units used so far."""
        return self.meter.spent

    @property
    def reads(self) -> list[str]:
        """What was read so far of ``context``, ``reward`` and ``terminated``, sorted."""
        return sorted(self._reads)

    def publish(self, policy: Policy) -> None:
        """Name the policy that is evaluated from now on."""
        if not isinstance(policy, Policy):
            raise ProtocolViolationError(f"{type(policy).__name__} is no policy: it needs act() and frozen()")
        self._policy = policy

    def envs(self, n: int) -> VecEnv:
        """Open ``n`` metered lanes."""
        if self.unit != "env_steps":
            raise ProtocolViolationError(f"this task is metered in {self.unit}: it has no environments to step")
        if n < 1:
            raise ProtocolViolationError(f"envs(n) needs at least one lane, not {n}")
        with unsealed():
            env = MeteredVecEnv(open_lanes(self._spec, n, "same_step", self._discrete), self, self._streams == 0)
        env.seed_lanes(derive_seeds(n, "lanes", *self._identity, self._streams))
        self._streams += 1
        return env

    def samples(self, batch: int) -> Iterator[Mapping[str, Array]]:
        """Minibatches of offline data, drawn with replacement; each costs ``batch`` units."""
        if self.unit != "samples":
            raise ProtocolViolationError(f"this task is metered in {self.unit}: it has no offline samples")
        if batch < 1:
            raise ProtocolViolationError(f"samples(batch) needs at least one, not {batch}")
        with unsealed():
            data = offline_transitions(self._spec, self._discrete)
        rng = self._stream("samples")
        while True:
            self.require_policy()
            self.meter.charge(batch)
            rows = rng.integers(len(data["rewards"]), size=batch)
            yield {name: column[rows] for name, column in data.items()}

    def episodes(self, n: int) -> Iterator[Mapping[str, Array]]:
        """Batches of supervised lifetimes; each costs ``n`` units."""
        if self._lifetimes is None:
            raise ProtocolViolationError(f"this task is metered in {self.unit}: it has no lifetimes")
        if n < 1:
            raise ProtocolViolationError(f"episodes(n) needs at least one, not {n}")
        rng = self._stream("lifetimes")
        while True:
            self.require_policy()
            self.meter.charge(n)
            yield self._lifetimes.draw(n, rng)

    def require_policy(self) -> None:
        """Refuse a metered call before a policy was published.

        Raises:
            ProtocolViolationError: If none was.
        """
        if self._policy is None and self.fractions:
            raise ProtocolViolationError("publish a policy before the first metered call: task.publish(policy)")

    def finish(self) -> list[tuple[int, Outcome | None]]:
        """Report the points that are left with the present policy, and evaluate all snapshots.

        Returns:
            (count, outcome) per point; the outcome is ``None`` where the policy had no finite action.

        Raises:
            ProtocolViolationError: If no policy was published, or one acts outside the action space.
            ReplayError: If there is a checkpoint that wasn't taken up.
        """
        self.require_policy()
        self.meter.finish()
        return self.abandon()

    def abandon(self) -> list[tuple[int, Outcome | None]]:
        """Like :meth:`finish` for a run that diverged: only the points that were due, evaluated."""
        if self.checkpoints is not None:
            self.checkpoints.check_resumed()
        self._evaluate_pending()
        return list(zip(self._counts, self._outcomes, strict=True))

    def fresh_evaluation(self, policy: Policy, episodes: int) -> Outcome | None:
        """Evaluate a policy on start states that no point of the schedule uses."""
        seeds = tuple(derive_seeds(episodes, "fresh", *self._identity))
        return self._evaluate([Snapshot(policy.frozen(), self.spent, seeds)])[0]

    def alignment(self) -> dict[str, JSONValue] | None:
        """Diagnostics of the present policy's embedding; ``None`` without pairs, base model or embeddings."""
        if self._pairs is None or self._base is None or self._policy is None:
            return None
        return alignment_facts(self._policy.frozen(), self._base, self._pairs, derive_seed("pairs", *self._identity))

    def within_lifetime(self) -> list[JSONValue] | None:
        """Rewards of the present policy over the course of an episode; ``None`` where the task doesn't ask for them."""
        if not self._spec.within_lifetime or self._policy is None:
            return None
        seeds = tuple(derive_seeds(self._episodes, "within", *self._identity))
        found = rewards_within(Snapshot(self._policy.frozen(), self.spent, seeds), self._open_evaluation)
        return None if found is None else [*found]

    def _due(self, first: int, last: int, count: int) -> None:
        self.require_policy()
        assert self._policy is not None
        self._counts += [count] * (last - first)
        first = max(first, self._known)  # the others were evaluated before the run was interrupted
        if first >= last:
            return
        with untouched_randomness():
            policy = self._policy.frozen()
        new = [
            Snapshot(policy, count, tuple(derive_seeds(self._episodes, "evaluation", *self._identity, point)))
            for point in range(first, last)
        ]
        self._snapshots += new
        if not isinstance(policy, StackablePolicy):  # may be large: don't keep them all
            self._evaluate_pending()
        if self._on_point is not None:
            for point in range(first, last):
                self._on_point(point)

    def _stream(self, name: str) -> np.random.Generator:
        rng = np.random.default_rng(derive_seed(name, *self._identity, self._streams))
        self._streams += 1
        return rng

    def _evaluate_pending(self) -> None:
        self._outcomes += self._evaluate(self._snapshots[len(self._outcomes) - self._known :])

    def _evaluate(self, snapshots: Sequence[Snapshot]) -> list[Outcome | None]:
        if self._lifetimes is not None:
            return [evaluate_lifetimes(snapshot, self._lifetimes) for snapshot in snapshots]
        if self._spec.evaluator == "alignment" and self._pairs is not None:
            return [evaluate_alignment(snapshot, self._pairs, self._base) for snapshot in snapshots]
        return evaluate(snapshots, self._open_evaluation)

    def _open_checkpoints(self, keeper: Keeper | None) -> Checkpoints | None:
        space = self.interface.action_space
        if keeper is None or self.unit != "env_steps" or not isinstance(space, spaces.Discrete):
            return None
        if keeper.found is not None:
            facts: Any = keeper.found.facts
            self._outcomes += outcomes_from_json(facts["outcomes"])
            self._reads |= set(facts["reads"])
        return Checkpoints(keeper, space, self.meter, self._checkpoint_facts)

    def _checkpoint_facts(self) -> dict[str, JSONValue]:
        self._evaluate_pending()
        return {"outcomes": outcomes_to_json(self._outcomes), "reads": [*self.reads]}

    def _open_evaluation(self, lanes: int) -> Any:
        return open_lanes(self._spec, lanes, "disabled", self._discrete)

    def _interface(self) -> Interface:
        context = KnownContext(self._spec.context, self._reads)
        if self._lifetimes is not None:
            spaces_of = self._lifetimes
            return Interface(spaces_of.observation_space, spaces_of.action_space, self._spec.discount, context)
        with unsealed():
            env = open_lanes(self._spec, 1, "disabled", self._discrete)
        interface = Interface(
            env.single_observation_space,
            env.single_action_space,
            self._spec.discount,
            context,
            known_function(env, "reward", self._spec, self._reads),
            known_function(env, "terminated", self._spec, self._reads),
        )
        env.close()
        return interface


def agent_seed(spec: TaskSpec, role: Literal["source", "target"], seed: int) -> int:
    """Seed of a fresh agent: the same for a method and its control."""
    return derive_seed("agent", digest_of(spec.identity(role)), seed)
