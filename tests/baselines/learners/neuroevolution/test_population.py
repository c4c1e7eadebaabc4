"""Networks as rows of a matrix, and how they share lanes."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tlbench.baselines.learners.networks import FrozenMLP
from tlbench.baselines.learners.neuroevolution.arena import Arena
from tlbench.baselines.learners.neuroevolution.genetic import Member
from tlbench.baselines.learners.neuroevolution.genomes import Layout
from tlbench.baselines.learners.neuroevolution.learner import Neuroevolution
from tlbench.baselines.learners.vpg import VPG
from tlbench.protocol.errors import BudgetExhausted, DivergedError
from tlbench.protocol.task import HarnessTask

FIRST = np.ones(9, dtype=bool)


def agents(interface, n, **config):
    found = []
    for seed in range(n):
        agent = Neuroevolution().build(interface, Neuroevolution.Config(**config), seed, "cpu")
        generator = torch.Generator().manual_seed(seed)
        agent.load({r: p + 0.3 * torch.randn(p.shape, generator=generator) for r, p in agent.params().items()})
        found.append(agent)
    return found


def test_packing_and_unpacking_are_inverse(interface):
    [agent] = agents(interface, 1)
    params = agent.params()
    vector = agent.layout.pack(params)
    assert vector.shape == (agent.layout.size,)
    assert all(torch.equal(tensor, params[role]) for role, tensor in agent.layout.unpack(vector).items())
    assert list(agent.layout.role_slices()) == list(params)


def test_a_packed_network_acts_as_sb3s_own(interface):
    """The same parameters in VPG's SB3 policy give the same actions."""
    [agent] = agents(interface, 1)
    vpg = VPG().build(interface, VPG.Config(), 0, "cpu")
    vpg.load(agent.params())
    obs = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    actions, _ = agent.policy.act(obs, None, FIRST)
    expected, _ = vpg.model.policy.predict(obs, deterministic=True)
    np.testing.assert_allclose(actions, expected, atol=1e-5)


def test_the_start_is_vpgs_start(interface):
    agent = Neuroevolution().build(interface, Neuroevolution.Config(), 5, "cpu")
    vpg = VPG().build(interface, VPG.Config(), 5, "cpu").params()
    assert all(torch.equal(tensor, vpg[role]) for role, tensor in agent.params().items())


class ScriptedLanes:
    """Lanes whose episodes have given lengths; the reward is the action taken."""

    def __init__(self, lengths, lanes, interface):
        self.lengths, self.num_envs, self.dim = deque(lengths), lanes, interface.observation_space.shape[0]
        self.rng = np.random.default_rng(0)
        self.left = [self.lengths.popleft() for _ in range(lanes)]
        self.seen, self.done = [], []

    def obs(self):
        return self.rng.normal(size=(self.num_envs, self.dim))

    def reset(self):
        return self.obs()

    def step(self, actions):
        self.seen.append(np.array(actions))
        self.left = [n - 1 for n in self.left]
        dones = np.array([n == 0 for n in self.left])
        for lane in np.flatnonzero(dones):
            if not self.lengths:
                raise BudgetExhausted
            self.left[lane] = self.lengths.popleft()
        return self.obs(), np.ones(self.num_envs), dones, [{}] * self.num_envs


def test_lanes_take_the_next_network_as_soon_as_an_episode_ends(interface):
    found = agents(interface, 6)
    layout = found[0].layout
    members = [Member(w, w) for w in (layout.pack(agent.params()) for agent in found)]
    queue, told = deque(members), []
    lengths = [5, 2, 3, 1, 4, 2, 9, 9, 9]
    arena = Arena(ScriptedLanes(lengths, 2, interface), layout)
    arena.play(
        lambda: queue.popleft() if queue else None,
        lambda member, value, length: told.append((members.index(member), value, length)),
    )
    assert sorted(told) == [(i, float(n), n) for i, n in enumerate(lengths[:6])]


def test_every_lane_acts_by_its_own_network(interface):
    found = agents(interface, 4)
    layout = found[0].layout
    members = deque(Member(w, w) for w in (layout.pack(agent.params()) for agent in found))
    lanes = ScriptedLanes([3] * 12, 4, interface)
    seen = []
    Arena(lanes, layout).play(
        lambda: members.popleft() if members else None, lambda *_: None, lambda obs, *_: seen.append(obs), limit=3
    )
    policies = [agent.policy.frozen() for agent in found]
    for obs, actions in zip(seen, lanes.seen, strict=True):
        for lane, policy in enumerate(policies):
            alone, _ = policy.act(obs[lane : lane + 1], None, FIRST[:1])
            assert np.array_equal(actions[lane], alone[0])


def test_no_metered_step_is_idle(tiny):
    """All steps but those of the episodes under way at the end belong to episodes that were told."""
    task = HarnessTask(tiny.tasks["cartpole"], "target", 0)
    agent = Neuroevolution().build(task.interface, Neuroevolution.Config(n_envs=4, population=6, parents=2), 0, "cpu")
    told = []
    original = Arena.play

    def play(self, ask, tell, *args):
        def counted(member, value, length):
            told.append(length)
            assert value == length  # a reward of 1 per step
            tell(member, value, length)

        original(self, ask, counted, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Arena, "play", play)
        agent.train(task)
    assert task.spent == 2400
    assert 2400 - 4 * 500 <= sum(told) <= 2400
    assert sum(task.bins.as_lists()[1]) == len(told)


def test_an_output_that_is_no_number_is_divergence(interface):
    [agent] = agents(interface, 1)
    weights = np.full(agent.layout.size, np.nan, np.float32)
    arena = Arena(ScriptedLanes([3] * 9, 2, interface), agent.layout)
    with pytest.raises(DivergedError, match="not a number"):
        arena.play(lambda: Member(weights, weights), lambda *_: None)


def test_policies_are_stackable(interface):
    found = [agent.policy.frozen() for agent in agents(interface, 3)]
    obs = np.random.default_rng(0).normal(size=(3, 9, 5))
    together, _ = FrozenMLP.stack(found).act(obs, None, np.ones((3, 9), dtype=bool))
    for row, policy in enumerate(found):
        assert np.array_equal(together[row], policy.act(obs[row], None, FIRST)[0])


def test_other_roles_are_no_part_of_a_layout():
    roles = ("body.0.weight", "head.weight", "value.head.weight")
    params = {role: torch.zeros(3, 3) for role in roles} | {"log_std": torch.zeros(1)}
    assert Layout.of(params, "tanh", spaces.Discrete(2)).names == ("body.0", "head")
