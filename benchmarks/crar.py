"""CRAR's updates per second against a direct implementation, and what the two learn from the same minibatches.

    python benchmarks/crar.py
    python benchmarks/crar.py --learn 4000      # also: losses after so many updates, simple maze and small labyrinth
    python benchmarks/crar.py --rewards 6000    # also: when the rewards of small labyrinths are learned

The direct implementation does what the losses say one by one: a forward pass, a backward pass and an optimiser step of
its own for each of the seven, in torch's default memory layout, with tanh before pooling. Ours encodes once and takes
one step on the sum. One thread, whose processor time is measured, so that other work on the machine disturbs little;
the ways take turns, and the fastest turn counts.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import tlbench.tasks.environments  # noqa: F401
from tlbench.baselines.learners.crar.learner import CRARAgent, CRARConfig, CRARLearner
from tlbench.baselines.learners.crar.losses import NAMES, Transitions, closeness, losses
from tlbench.protocol.specs import Offline, Schedule, TaskSpec
from tlbench.protocol.task import HarnessTask

MAZES = {
    "simple maze, 8 x 8, 2 neurons": ("tlbench/SimpleMaze-v1", {"random_start": False}, {"abstract_neurons": 2.0}),
    "meta-labyrinth, 8 x 8, planes": ("tlbench/MetaLabyrinth-v1", {"tile_size": 1, "colour": True}, {}),
    "meta-labyrinth, 48 x 48, planes": ("tlbench/MetaLabyrinth-v1", {"tile_size": 6}, {}),
}
TURNS = 3
BATCH = 32
Batch = dict[str, np.ndarray]


class Direct:
    """One forward pass, backward pass and RMSProp step per loss, in the order of the document's code."""

    order = ("transition", "reward", "discount", "bound", "disambiguation", "succession", "q")

    def __init__(self, agent: CRARAgent) -> None:
        self.policy = agent.model.policy.to(memory_format=torch.contiguous_format)
        self.model = agent.model
        net = self.policy.networks
        for network in (net, self.policy.target):
            for part in (network.encoder, network.reward, network.discount, network.q):
                tanh_before_pooling(part)
        parts = {"transition": net.transition, "reward": net.reward, "discount": net.discount, "q": net.q}
        self.updates = 0
        self.optimizers = {}
        self.parameters = {}
        for name in self.order:
            owned = [*net.encoder.parameters(), *(parts[name].parameters() if name in parts else ())]
            rate = self.model.lr_schedule(1) * (self.model.weights.succession if name == "succession" else 1)
            self.parameters[name] = owned
            self.optimizers[name] = torch.optim.RMSprop(owned, lr=rate, alpha=0.9, eps=1e-4)

    def update(self, batch: Batch) -> None:
        """Seven steps."""
        data = Transitions(
            torch.as_tensor(batch["obs"]),
            torch.as_tensor(batch["actions"]),
            torch.as_tensor(batch["rewards"], dtype=torch.float32),
            torch.as_tensor(batch["terminated"], dtype=torch.float32),
            torch.as_tensor(batch["next_obs"]),
        )
        for name in self.order:
            loss = self.loss(name, data)
            self.optimizers[name].zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters[name], 1.0)
            self.optimizers[name].step()
        self.updates += 1
        if self.updates % 1000 == 0:
            self.policy.target.load_state_dict(self.policy.networks.state_dict())

    def loss(self, name: str, batch: Transitions) -> torch.Tensor:  # noqa: PLR0911
        """One loss by itself."""
        net, target, discount = self.policy.networks, self.policy.target, self.model.gamma
        x, goes_on = net.encode(batch.obs), 1 - batch.ended
        inputs = net.with_actions(x, batch.actions)
        if name == "transition":
            errors = (x + net.transition(inputs) - net.encode(batch.next_obs)).flatten(1).square().mean(dim=1)
            return (errors * goes_on).mean()
        if name == "reward":
            return (net.reward(inputs)[:, 0] - batch.rewards).square().mean()
        if name == "discount":
            return (net.discount(inputs)[:, 0] - discount * goes_on).square().mean()
        if name == "bound":
            return (x.square().amax(dim=1) - 1).clamp(0, 100).mean()
        if name == "disambiguation":
            return closeness(x, x.roll(1, dims=0))
        if name == "succession":
            return closeness(x, net.encode(batch.next_obs))
        with torch.no_grad():
            chosen = net.values(net.encode(batch.next_obs)).argmax(dim=1, keepdim=True)
            best = target.values(target.encode(batch.next_obs)).gather(1, chosen)[:, 0]
        taken = net.values(x).gather(1, batch.actions[:, None])[:, 0]
        return (taken - batch.rewards - discount * goes_on * best).square().mean()


def tanh_before_pooling(layers: torch.nn.Sequential) -> None:
    """Put each pooling after its tanh, where the document has it."""
    for i in range(len(layers) - 1):
        if isinstance(layers[i], torch.nn.MaxPool2d) and isinstance(layers[i + 1], torch.nn.Tanh):
            layers[i], layers[i + 1] = layers[i + 1], layers[i]


class Ours:
    """The learner's own update."""

    def __init__(self, agent: CRARAgent) -> None:
        self.model = agent.model

    def update(self, batch: Batch) -> None:
        """One step."""
        self.model.update(*(batch[name] for name in ("obs", "actions", "rewards", "next_obs", "terminated")))


def build(
    maze: str, seed: int = 0, transitions: int = 2_000, options: dict[str, Any] | None = None, **settings: float
) -> tuple[CRARAgent, Callable[[], Batch]]:
    """An agent with these settings, and a source of minibatches of random play."""
    environment, usual, context = MAZES[maze]
    spec = TaskSpec(
        environment=environment,
        options=usual | (options or {}),
        context=context,
        unit="samples",
        offline=Offline(transitions=transitions),
        discount=0.9,
        random_return=0.0,
        expert_return=1.0,
        threshold=1.0,
        source=Schedule(budget=10**9, points=2, episodes=1),
        wall_limit=1.0,
    )
    task = HarnessTask(spec, "source", 0, budget=10**9)
    agent = CRARLearner().build(task.interface, CRARConfig(**settings), seed, "cpu")
    batches = task.samples(BATCH)
    return agent, lambda: dict(next(batches))


def speed(seconds: float) -> Table:
    """Updates per second of both ways on every maze."""
    table = Table("updates/s", "direct", "ours", "ratio")
    for maze in MAZES:
        (one, batches), (other, _) = build(maze), build(maze)
        ways = {"direct": Direct(one), "ours": Ours(other)}
        batch, fastest = batches(), dict.fromkeys(ways, 0.0)
        for way in ways.values():
            way.update(batch)
        for _ in range(TURNS):
            for name, way in ways.items():
                count, start = 0, time.process_time()
                while (elapsed := time.process_time() - start) < seconds / TURNS:
                    way.update(batch)
                    count += 1
                fastest[name] = max(fastest[name], count / elapsed)
        ratio = fastest["ours"] / fastest["direct"]
        table.add_row(maze, f"{fastest['direct']:,.1f}", f"{fastest['ours']:,.1f}", f"{ratio:.1f}")
    return table


LEARNING = {
    "simple maze, 8 x 8, 2 neurons": (2_000, {}, {"ours, transition_weight 1": {"transition_weight": 1.0}}),
    "meta-labyrinth, 8 x 8, planes": (20_000, {"walls": 6}, {"ours, learning_rate 1e-3": {"learning_rate": 1e-3}}),
}
"""Mazes whose losses are compared: transitions of random play, options, and further settings of ours."""


def learning(updates: int, maze: str) -> Table:
    """Losses of both ways after this many updates, means over 100 minibatches."""
    transitions, options, further = LEARNING[maze]
    table = Table(f"{maze}: losses after {updates:,} updates", *NAMES)
    ways = [("direct", Direct, {}), ("ours", Ours, {}), *((name, Ours, changed) for name, changed in further.items())]
    for name, way, settings in ways:
        agent, batches = build(maze, 0, transitions, options, **settings)
        learner = way(agent)
        for _ in range(updates):
            learner.update(batches())
        sums = dict.fromkeys(NAMES, 0.0)
        policy = agent.model.policy
        for _ in range(100):
            batch = batches()
            columns = ("obs", "actions", "rewards", "terminated", "next_obs")
            data = Transitions(*(torch.as_tensor(batch[c]) for c in columns))
            data = data._replace(rewards=data.rewards.float(), ended=data.ended.float())
            with torch.no_grad():
                for key, value in losses(policy.networks, policy.target, data, agent.model.gamma, True).items():
                    sums[key] += float(value) / 100
        table.add_row(name, *(f"{sums[key]:.4f}" for key in NAMES))
    return table


def reward_losses(updates: int, seeds: int = 4) -> Table:
    """The reward loss alone, of an encoder that starts orthogonal and one that is drawn entry by entry.

    Each number is a mean over a sixth of the updates, on 20,000 transitions of random play.
    """
    maze = "meta-labyrinth, 8 x 8, planes"
    table = Table(f"reward loss, sixths of {updates:,} updates", "seed", *map(str, range(1, 7)))
    for name in ("orthogonal", "entry by entry"):
        for seed in range(seeds):
            agent, batches = build(maze, seed, 20_000, {"walls": 6})
            networks = agent.model.policy.networks
            torch.manual_seed(seed)
            if name != "orthogonal":
                torch.nn.init.xavier_uniform_(networks.encoder[0].weight)
            trained = [*networks.encoder.parameters(), *networks.reward.parameters()]
            optimizer = torch.optim.Adam(trained, lr=1e-3, fused=True)
            found = []
            for _ in range(updates):
                batch = batches()
                x = networks.encode(agent.model.policy.tensor(batch["obs"]))
                predicted = networks.reward(networks.with_actions(x, torch.as_tensor(batch["actions"])))[:, 0]
                loss = (predicted - torch.as_tensor(batch["rewards"], dtype=torch.float32)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                found.append(loss.item())
            table.add_row(name, str(seed), *(f"{part.mean():.4f}" for part in np.array_split(found, 6)))
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="time per maze and way (default: 6)")
    parser.add_argument("--learn", type=int, default=0, help="updates whose losses to compare (default: none)")
    parser.add_argument("--rewards", type=int, default=0, help="updates of the reward model to compare (default: none)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=140)
    console.print(speed(arguments.seconds))
    if arguments.learn:
        for maze in LEARNING:
            console.print(learning(arguments.learn, maze))
    if arguments.rewards:
        console.print(reward_losses(arguments.rewards))


if __name__ == "__main__":
    main()
