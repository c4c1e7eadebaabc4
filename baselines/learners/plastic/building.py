"""From an interface and a configuration to the network of each learner."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from tlbench.baselines.learners.plastic.cores import LSTMCore, RecurrentCore, matched_neurons
from tlbench.baselines.learners.plastic.layer import Connections, FixedLayer, PlasticLayer
from tlbench.baselines.learners.plastic.networks import (
    ClampedNetwork,
    ImageEncoder,
    MatchingNetwork,
    Network,
    ReadoutNetwork,
)
from tlbench.baselines.learners.plastic.traces import Rule
from tlbench.protocol.interface import Interface

Kind = Literal["plastic", "plastic-homogeneous", "rnn", "lstm"]

BIAS = 1
"""Neurons of a pattern network that are always on."""


def connections(kind: Kind, pre: int, post: int, rule: Rule) -> Connections:
    """Connections of that kind."""
    if kind == "rnn":
        return FixedLayer(pre, post)
    return PlasticLayer(pre, post, shared=kind == "plastic-homogeneous", rule=rule)


def build_core(kind: Kind, inputs: int, outputs: int, neurons: int, rule: Rule) -> RecurrentCore | LSTMCore:
    """A core that has, with its read-out, as many parameters as the plastic one of ``neurons`` neurons.

    The homogeneous one has as many neurons instead.
    """
    parameters = 2 * neurons**2 + neurons * (inputs + 1) + (neurons + 1) * outputs
    if kind == "lstm":
        return LSTMCore(inputs, matched_neurons(kind, parameters, inputs, outputs))
    size = matched_neurons(kind, parameters, inputs, outputs) if kind == "rnn" else neurons
    return RecurrentCore(inputs, connections(kind, size, size, rule))


def build_network(kind: Kind, labels: bool, interface: Interface, config: Any, seed: int) -> Network:
    """The network for a task of lifetimes; the global generator of torch is left as it was.

    Args:
        kind: Plastic with a coefficient per connection, with one for all, not plastic, or an LSTM.
        labels: Whether outputs are probabilities of labels (else values of a pattern).
        interface: Spaces and context.
        config: The learner's configuration.
        seed: Seed of the parameters.
    """
    inputs = int(np.prod(interface.observation_space.shape or ()))
    outputs = int(np.prod(interface.action_space.shape or ()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if labels:
            return _label_network(kind, inputs, outputs, int(interface.context["image_side"]), config)
        return _pattern_network(kind, outputs, config)


def _label_network(kind: Kind, inputs: int, labels: int, side: int, config: Any) -> Network:
    encoder = ImageEncoder(side, config.channels)
    if kind in ("plastic", "plastic-homogeneous"):
        return MatchingNetwork(encoder, connections(kind, encoder.size, labels, config.rule or "oja"))
    features = encoder.size + inputs - side**2
    return ReadoutNetwork(encoder, build_core(kind, features, labels, config.neurons, "oja"), labels)


def _pattern_network(kind: Kind, width: int, config: Any) -> Network:
    """Non-plastic ones have the parameters of the plastic one, 2 (width + 1)^2."""
    neurons = width + BIAS
    if kind == "lstm":
        core = LSTMCore(width, config.pattern_neurons or matched_neurons(kind, 2 * neurons**2, width, width))
        return ReadoutNetwork(None, core, width)
    if kind == "rnn":
        neurons = config.pattern_neurons or round(2**0.5 * neurons)
    return ClampedNetwork(width, connections(kind, neurons, neurons, config.rule or "hebb"))
