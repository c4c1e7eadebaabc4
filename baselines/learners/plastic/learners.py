"""The learners ``plastic``, ``plastic-homogeneous``, ``nonplastic-rnn`` and ``lstm``.

Document: plasticity-and-model-based-review.txt, sections 2.1, 3.1 and 4.1, on Miconi, Clune & Stanley (2018),
"Differentiable plasticity: training plastic neural networks with backpropagation". In words: every connection has a
weight w, a plasticity coefficient alpha and a trace H of the activities at its two ends, and works with w + alpha H.
H starts at 0 in every lifetime and follows Hebb's or Oja's rule; w, alpha (per connection, or one for all: the
homogeneous network) and the rate of the traces are learned by gradient descent through whole lifetimes.

On tasks in lifetimes (unit ``episodes``) they are trained by the lifetimes' targets, on environments by A2C over
episodes; there continuous actions are shown through the suite's discretisation.

What the documents leave open, and what was chosen here:

- Lifetimes are learned in batches of 16 at a higher learning rate (the original: one at a time). Gradients are clipped.
- Patterns: the plastic networks as described (input times 20 sets the neurons, one bias neuron, Hebb's rule). The
  non-plastic one is the same with more neurons; the LSTM is an ordinary one with a linear read-out, while the
  original's has cells that the pattern sets. Both have as many parameters as ``plastic`` by default, where the original
  has 2,051 neurons and 2,000 cells (``pattern_neurons``).
- Labels: convolutions of 3 x 3 with stride 2 and tanh, and plastic connections (Oja's rule) from features to a softmax,
  as described, with 32 instead of 64 channels and down to 2 x 2 pixels; the rivals have the same convolutions, then a
  recurrent layer and a read-out. The loss is the cross-entropy at the question.
- Environments: see ``a2c.py``. More lanes and a higher learning rate than the original's 30 and 1e-4, which has a
  thousand times as many episodes; rewards are divided by a goal's. Chosen for ``plastic``, on one seed.
"""

from __future__ import annotations

from typing import Any, ClassVar

from gymnasium import spaces
from pydantic import Field

from tlbench.baselines.learners.agent import build_model
from tlbench.baselines.learners.plastic.a2c import RecurrentA2C, RecurrentAgent
from tlbench.baselines.learners.plastic.building import Kind, build_network
from tlbench.baselines.learners.plastic.core_policy import CorePolicy
from tlbench.baselines.learners.plastic.networks import kind_of
from tlbench.baselines.learners.plastic.supervised import SupervisedAgent
from tlbench.baselines.learners.plastic.traces import Rule
from tlbench.baselines.learners.policies import unsupported_spaces
from tlbench.protocol.interface import Agent, Config, Interface, Learner

LABEL_RATE = 1e-3
"""Adam's learning rate on lifetimes with labels."""


class MemoryConfig(Config):
    """Settings: on lifetimes, of the networks, and on environments (``n_envs`` and below)."""

    lifetimes: int = Field(16, ge=1, description="Lifetimes per gradient step.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Adam's learning rate on lifetimes; by default 0.001 with labels, else 0.05 (lstm: 0.15) divided "
        "by the values of a pattern.",
    )
    max_grad_norm: float = Field(10.0, gt=0, description="Largest norm of a gradient on lifetimes.")
    channels: int = Field(32, ge=1, description="Channels of the convolutions on images with labels.")
    neurons: int = Field(100, ge=1, description="Neurons of the plastic core; the others are matched to it.")
    pattern_neurons: int | None = Field(
        None, ge=2, description="Neurons of the non-plastic networks on patterns, instead of matched ones."
    )
    rule: Rule | None = Field(None, description="Rule of the traces; by default Hebb's on patterns, else Oja's.")
    n_envs: int = Field(64, ge=1, description="Lanes stepped together.")
    n_steps: int = Field(60, ge=1, description="Steps per lane and gradient step: a lifetime, or a part of it.")
    a2c_learning_rate: float = Field(2e-3, gt=0, description="Adam's learning rate on environments.")
    vf_coef: float = Field(0.1, ge=0, description="Weight of the value loss.")
    spread_coef: float = Field(0.03, ge=0, description="Weight of the sum of squared probabilities.")
    a2c_max_grad_norm: float = Field(4.0, gt=0, description="Largest norm of a gradient on environments.")
    reward_scale: float = Field(10.0, gt=0, description="What rewards are divided by in training: a goal's.")


class MemoryLearner(Learner):
    """A recurrent network that learns lifetimes by gradient descent, and environments by A2C."""

    Config = MemoryConfig
    discrete_only = True
    units = ("env_steps", "episodes")
    kind: ClassVar[Kind]
    pattern_rate: ClassVar[float] = 0.05

    def unsupported(self, interface: Interface) -> str | None:
        """Why this learner can't learn a task with this interface, or ``None`` if it can."""
        if isinstance(interface.action_space, spaces.Discrete):
            return unsupported_spaces(interface)
        return kind_of(interface)[1]

    def build(self, interface: Interface, config: Any, seed: int, device: str) -> Agent:
        """Build a fresh agent; equal arguments give equal parameters. It learns on the CPU, whatever the device."""
        del device
        if isinstance(interface.action_space, spaces.Discrete):
            return self._build_for_environment(interface, config, seed)
        labels = kind_of(interface)[0] == "labels"
        values = interface.action_space.shape[0]  # type: ignore[index]
        rate = config.learning_rate or (LABEL_RATE if labels else self.pattern_rate / values)
        network = build_network(self.kind, labels, interface, config, seed)
        return SupervisedAgent(network, labels, rate, config.lifetimes, config.max_grad_norm)

    def _build_for_environment(self, interface: Interface, config: Any, seed: int) -> RecurrentAgent:
        model = build_model(
            RecurrentA2C,
            interface,
            config.n_envs,
            policy=CorePolicy,
            learning_rate=config.a2c_learning_rate,
            n_steps=config.n_steps,
            vf_coef=config.vf_coef,
            spread_coef=config.spread_coef,
            max_grad_norm=config.a2c_max_grad_norm,
            reward_scale=config.reward_scale,
            policy_kwargs={
                "kind": self.kind,
                "neurons": config.neurons,
                "rule": config.rule or "oja",
                "optimizer_kwargs": {"eps": 1e-4, "fused": True},
            },
            seed=seed,
            device="cpu",
        )
        return RecurrentAgent(model)


class Plastic(MemoryLearner):
    """A plastic network with a coefficient of its own for every connection."""

    id = "plastic"
    kind = "plastic"


class PlasticHomogeneous(MemoryLearner):
    """A plastic network with one coefficient for all connections."""

    id = "plastic-homogeneous"
    kind = "plastic-homogeneous"


class NonplasticRNN(MemoryLearner):
    """The same network without plasticity."""

    id = "nonplastic-rnn"
    kind = "rnn"


class LSTM(MemoryLearner):
    """A long short-term memory."""

    id = "lstm"
    kind = "lstm"
    pattern_rate = 0.15
