"""One DQN run on an Atari game, beside a stock Stable-Baselines3 script with the same network, batch and update rate.

* stock: ``DQN("CnnPolicy")`` on ``make_atari_env`` and ``VecFrameStack``, with an ``EvalCallback``, as SB3's guide.
* tlbench: the learner ``dqn`` on ``tlbench/Atari-v1``, with the harness's metering and evaluation, as in a worker.

Both have Nature's network on four 84 x 84 frames (``--small``: the learner's small one on 42 x 42), minibatches of 32,
an update every four steps, Adam, equal replay, exploration, life rules and time limits, and make as many evaluations of
as many games. Processor seconds (one thread) are printed, so that other jobs on the machine matter little; evaluations
apart, because games are as long as the policies make them. Quote the ratios.

    python benchmarks/atari_dqn.py [--steps 3000] [--game breakout] [--small]
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
import warnings
from dataclasses import dataclass
from typing import Any

import stable_baselines3
import torch
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

from tlbench.baselines.learners.dqn import DQN
from tlbench.baselines.learners.dqn_policy import Convolutions
from tlbench.baselines.learners.dqn_settings import NATURE, SMALL_IMAGES, DQNConfig
from tlbench.protocol.discovery import import_environments
from tlbench.protocol.specs import Schedule, TaskSpec
from tlbench.protocol.task import HarnessTask

LONGEST = 1_000
"""Steps after which a game is cut, so that one evaluation doesn't decide the time."""
POINTS, GAMES = 3, 4
EVERY = {"buffer_size": 20_000, "learning_starts": 400}


@dataclass
class Spent:
    """Processor seconds and steps of a run; evaluation apart."""

    training: float
    evaluation: float
    steps: int
    evaluated: int
    updates: int

    def row(self, name: str) -> str:
        """A line of the table."""
        return f"{name:10}" + "".join(f"{rate:14,.0f}" for rate in self.rates) + f"{self.updates:10,}"

    @property
    def rates(self) -> tuple[float, float]:
        """Steps per second of training and of evaluation."""
        return self.steps / self.training, self.evaluated / self.evaluation


class TimedTask(HarnessTask):
    """Notes what its evaluations cost."""

    evaluation = 0.0
    evaluated = 0

    def _evaluate(self, snapshots: Any) -> Any:
        began = time.process_time()
        outcomes = super()._evaluate(snapshots)
        self.evaluation += time.process_time() - began
        self.evaluated += sum(sum(outcome.lengths) for outcome in outcomes if outcome is not None)
        return outcomes


class TimedCallback(EvalCallback):
    """Notes what its evaluations cost."""

    evaluation = 0.0
    evaluated = 0

    def evaluate(self) -> None:
        """Evaluate now."""
        began = time.process_time()
        lengths = stable_baselines3.common.evaluation.evaluate_policy(
            self.model, self.eval_env, self.n_eval_episodes, return_episode_rewards=True
        )[1]
        self.evaluation += time.process_time() - began
        self.evaluated += sum(lengths) // 4  # the monitor counts frames

    def _on_step(self) -> bool:
        if self.n_calls % self.eval_freq == 0:
            self.evaluate()
        return True


def ours(game: str, side: int, config: DQNConfig, steps: int, seed: int) -> Spent:
    """A run as tlbench does it."""
    spec = TaskSpec(
        environment="tlbench/Atari-v1",
        options={
            "game": game,
            "screen_size": side,
            "max_episode_steps": LONGEST,
            "terminal_on_life_loss": True,
            "fire_reset": True,
        },
        discount=0.99,
        random_return=0.0,
        expert_return=1.0,
        threshold=1.0,
        target=Schedule(budget=steps, points=POINTS, episodes=GAMES),
        wall_limit=1e6,
    )
    began = time.process_time()
    task = TimedTask(spec, "target", seed)
    agent = DQN().build(task.interface, config, seed, "cpu")
    agent.train(task)
    task.finish()
    training = time.process_time() - began - task.evaluation
    return Spent(training, task.evaluation, task.spent, task.evaluated, agent.gradient_steps)


def stock(game: str, side: int, settings: Any, steps: int, seed: int) -> Spent:
    """A run as a stock script does it."""
    name = "".join(part.capitalize() for part in game.split("_")) + "NoFrameskip-v4"

    def make(seed: int, **wrapping: Any) -> VecFrameStack:
        # time limits are in frames, and are ALE's own
        limit = {"max_num_frames_per_episode": 4 * LONGEST}
        wrapping["screen_size"] = side
        return VecFrameStack(make_atari_env(name, 1, seed, env_kwargs=limit, wrapper_kwargs=wrapping), 4)

    began = time.process_time()
    callback = TimedCallback(
        make(seed + 1, terminal_on_life_loss=False), n_eval_episodes=GAMES, eval_freq=steps // (POINTS - 1), verbose=0
    )
    network: dict[str, Any] = {"net_arch": list(settings.hidden_sizes)}
    if side == 84:
        network = {}  # NatureCNN, which has the hidden layer inside
    else:
        network |= {"features_extractor_class": Convolutions}
        network |= {"features_extractor_kwargs": {"layers": settings.conv_layers}}
    model = stable_baselines3.DQN(
        "CnnPolicy",
        make(seed),
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        train_freq=4,
        gradient_steps=1,
        target_update_interval=settings.target_update_interval,
        exploration_fraction=settings.exploration_fraction,
        exploration_final_eps=settings.exploration_final,
        max_grad_norm=settings.max_grad_norm,
        gamma=0.99,
        policy_kwargs=network,
        seed=seed,
        device="cpu",
        **EVERY,
    )
    callback.init_callback(model)
    callback.evaluate()  # as tlbench, before learning
    model.learn(steps, callback=callback)
    training = time.process_time() - began - callback.evaluation
    return Spent(training, callback.evaluation, model.num_timesteps, callback.evaluated, model._n_updates)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--game", default="breakout", help="a game with the action FIRE")
    parser.add_argument("--steps", type=int, default=3_000, help="environment steps of training")
    parser.add_argument("--small", action="store_true", help="the small network on 42 x 42")
    parser.add_argument("--seed", type=int, default=1000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    import_environments()
    import ale_py  # registers the stock script's games

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    settings, side = (SMALL_IMAGES, 42) if arguments.small else (NATURE, 84)
    config = settings.model_copy(update=EVERY)
    ours(arguments.game, side, config.model_copy(update={"learning_starts": 64}), 128, 0)  # warm up
    print(f"{arguments.game}, {side} x {side}: {arguments.steps:,} steps, {POINTS} evaluations of {GAMES} games")
    print(f"{'steps/s':10}{'training':>14}{'evaluation':>14}{'updates':>10}")
    found = {}
    for name, run in (("tlbench", ours), ("stock", stock)):
        found[name] = run(arguments.game, side, config, arguments.steps, arguments.seed)
        print(found[name].row(name), flush=True)
    ratios = [mine / theirs for mine, theirs in zip(found["tlbench"].rates, found["stock"].rates, strict=True)]
    print(f"{'ratio':10}" + "".join(f"{ratio:14.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
