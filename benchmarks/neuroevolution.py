"""Neuroevolution's speed: a population beside SB3's ``predict``, decoding, steps that idle, TD3's gradient steps.

    python benchmarks/neuroevolution.py [--population 256] [--repeats 3]

All in one process with one thread, in seconds of processor time (so that other jobs on the machine matter little);
figures are medians. Trust their ratios: absolute figures drift with the machine.

* acting: policies that act once per second, all on an observation of their own: the population as one stack, and one
  SB3 ``predict`` per policy.
* evaluated: policies per second that have played an episode of CartPole, environment included: in lanes that take the
  next network as soon as an episode ends, and one by one with ``predict`` in a single environment.
* decoding: networks decoded per second from their codes, in one call and one by one.
* idle: of the steps of a first generation, the share that would belong to nobody if every network had a lane of its own
  and the generation waited for the longest episode; tlbench's lanes take the next network instead.
* TD3: gradient steps per second of ERL's and CERL's learners, and of SB3's ``train`` on the same networks and replay.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

import tlbench.tasks.environments  # noqa: F401  (registers them)
from tlbench.baselines.learners.networks import mlp
from tlbench.baselines.learners.neuroevolution.arena import Arena
from tlbench.baselines.learners.neuroevolution.genetic import Member
from tlbench.baselines.learners.neuroevolution.genomes import Layout
from tlbench.baselines.learners.neuroevolution.td3 import SharedReplay, TD3Member
from tlbench.baselines.learners.td3 import TD3Config
from tlbench.baselines.learners.vpg import VPG
from tlbench.baselines.network_autoencoders import AutoencoderConfig, LayerAutoencoder
from tlbench.protocol.interface import Interface
from tlbench.protocol.vector import VectorEnvAdapter

ENVIRONMENT = "tlbench/CartPole-v1"
SIGMA = 0.1
VECTOR_STEPS = 500


def open_envs(lanes: int, seed: int = 0) -> VectorEnvAdapter:
    """Lanes as the harness opens them."""
    envs = VectorEnvAdapter(
        gymnasium.make_vec(
            ENVIRONMENT, lanes, vectorization_mode="vector_entry_point", autoreset_mode=AutoresetMode.SAME_STEP
        )
    )
    envs.seed_lanes([seed + lane for lane in range(lanes)])
    return envs


class Population:
    """Mutants of a fresh policy, as one matrix and as SB3 policies."""

    def __init__(self, size: int) -> None:
        envs = open_envs(1)
        interface = Interface(envs.observation_space, envs.action_space, 0.99)
        agent = VPG().build(interface, VPG.Config(), 1000, "cpu")
        start = agent.params()
        self.layout = Layout.of(start, "tanh", interface.action_space)
        rng = np.random.default_rng(1000)
        noise = SIGMA * rng.standard_normal((size, self.layout.size), dtype=np.float32)
        self.matrix = self.layout.pack(start) + noise
        self.layers = self.layout.layers(self.matrix)
        self.policies = []
        for row in self.matrix:
            mutant = VPG().build(interface, VPG.Config(), 1000, "cpu")
            mutant.load(self.layout.unpack(row))
            self.policies.append(mutant.model.policy)

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions of all, each on an observation of its own, ``[S]``."""
        outputs = mlp(obs[:, None], self.layers, self.layout.activation)[:, 0]
        return np.asarray(self.layout.actions(self.layout.scores(outputs)))

    def play(self) -> int:
        """Episodes in as many lanes as there are networks, one network after the other; gives how many have ended."""
        players = deque(Member(row, row) for row in self.matrix)
        ended: list[int] = []

        def ask() -> Member:
            players.rotate(-1)
            return players[-1]

        arena = Arena(open_envs(len(self.matrix)), self.layout)
        arena.play(ask, lambda member, value, length: ended.append(length), limit=VECTOR_STEPS)
        return len(ended)

    def play_by_predict(self, number: int) -> None:
        """The first episode of some, with SB3's ``predict`` in a single environment each."""
        env = gymnasium.make("CartPole-v1")
        for lane, policy in enumerate(self.policies[:number]):
            obs, _ = env.reset(seed=lane)
            ended = False
            while not ended:
                action, _ = policy.predict(obs, deterministic=True)
                obs, _, terminated, truncated, _ = env.step(int(action))
                ended = terminated or truncated


def idle_share(population: Population) -> float:
    """Share of steps after a network's first episode, if all wait for the longest."""
    lengths: list[int] = []
    queue = deque(Member(row, row) for row in population.matrix)
    arena = Arena(open_envs(len(population.matrix)), population.layout)
    arena.play(lambda: queue.popleft() if queue else None, lambda member, value, length: lengths.append(length))
    return 1 - sum(lengths) / (len(lengths) * max(lengths))


def td3_steps(repeats: int) -> tuple[float, float]:
    """Seconds per gradient step: ours, and SB3's."""
    interface = Interface(spaces.Box(-np.inf, np.inf, (4,)), spaces.Discrete(2), 0.99)
    times = []
    for stock in (False, True):
        rng = np.random.default_rng(0)
        replay = SharedReplay(1000, 4, 2, 8, rng)
        for _ in range(replay.buffer_size):
            obs, after = rng.normal(size=(2, 8, 4))
            replay.store(obs, rng.uniform(-1, 1, (8, 2)), np.ones(8), after, np.zeros(8, np.bool_), [{}] * 8)
        config = TD3Config()
        member = TD3Member(
            interface, 0.99, replay, config.hidden_sizes, config.activation, config.learning_rate, config.batch_size,
            config.tau, config.noise, 0, rng,
        )  # fmt: skip
        work = partial(member.model.train, 200, config.batch_size) if stock else partial(member.learn, 200)
        times.append(seconds(work, repeats) / 200)
    return times[0], times[1]


def seconds(work: Callable[[], object], repeats: int, times: int = 1) -> float:
    """Median processor seconds of one call."""
    work()
    found = []
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - began) / times)
    return statistics.median(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--population", type=int, default=256, help="networks")
    parser.add_argument("--repeats", type=int, default=3, help="measurements per figure")
    arguments = parser.parse_args()
    size, repeats = arguments.population, arguments.repeats
    torch.set_num_threads(1)
    population = Population(size)
    obs = np.random.default_rng(0).normal(size=(size, 4)).astype(np.float32)

    def predict() -> None:
        for policy, row in zip(population.policies, obs, strict=True):
            policy.predict(row, deterministic=True)

    agree = [int(p.predict(row, deterministic=True)[0]) for p, row in zip(population.policies, obs, strict=True)]
    assert population.act(obs).tolist() == agree, "the stack acts otherwise than SB3"
    some = min(16, size)
    layout = population.layout
    coders = [
        LayerAutoencoder(
            torch.zeros(entries),
            torch.ones(entries),
            (entries, *AutoencoderConfig().hidden, min(32, entries // 16)),
            torch.Generator().manual_seed(0),
        )
        for entries in layout.sizes
    ]
    codes = [torch.randn(size, coder.encoder[-1].out_features) for coder in coders]  # type: ignore[arg-type]

    def decode(rows: slice) -> None:
        with torch.no_grad():
            for coder, code in zip(coders, codes, strict=True):
                coder.decode(code[rows])

    rows = [
        ("acting", seconds(lambda: population.act(obs), repeats, 20) / size, seconds(predict, repeats) / size),
        (
            "evaluated",
            seconds(population.play, repeats) / population.play(),
            seconds(lambda: population.play_by_predict(some), repeats) / some,
        ),
        (
            "decoding",
            seconds(lambda: decode(slice(None)), repeats, 5) / size,
            seconds(lambda: [decode(slice(i, i + 1)) for i in range(some)], repeats) / some,
        ),
    ]
    print(f"population of {size}, policies per second")
    print(f"{'':12}{'in one call':>14}{'one by one':>14}{'ratio':>9}")
    for name, together, alone in rows:
        print(f"{name:12}{1 / together:14,.0f}{1 / alone:14,.0f}{alone / together:9.1f}")
    print(f"idle if each network had a lane and waited: {idle_share(population):.0%} of the first generation's steps")
    ours, stock = td3_steps(repeats)
    print(f"TD3, gradient steps per second: {1 / ours:,.0f}, SB3's train {1 / stock:,.0f}, ratio {stock / ours:.1f}")


if __name__ == "__main__":
    main()
