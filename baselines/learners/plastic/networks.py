"""Networks for supervised lifetimes: completing patterns, and telling characters apart after one look.

Which network a lifetime needs is read off its spaces. Outputs in [-1, 1] of the inputs' own shape: complete the
pattern. Outputs in [0, 1]: probabilities of labels; the input is a square grey image followed by the label (one-hot,
all 0 where it is asked for), and the interface's context has ``image_side``.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import nn

from tlbench.baselines.learners.plastic.cores import LSTMCore, RecurrentCore, forget, forget_traces
from tlbench.baselines.learners.plastic.layer import Connections
from tlbench.baselines.learners.plastic.traces import Traces
from tlbench.protocol.interface import Interface

PATTERN_GAIN = 20.0
"""Factor on a pattern's values where they enter its neurons: they set the neurons, whatever the connections say."""
LABEL_GAIN = 1000.0
"""Input of a label's neuron where the label is given: it decides the softmax."""


def kind_of(interface: Interface) -> tuple[str, str | None]:
    """``"patterns"`` or ``"labels"``, and why these networks can't learn the lifetimes (``None`` if they can)."""
    obs, out = interface.observation_space, interface.action_space
    if not (isinstance(obs, spaces.Box) and isinstance(out, spaces.Box) and len(obs.shape) == len(out.shape) == 1):
        return "", f"needs 1-D Boxes of inputs and outputs, not {obs} and {out}"
    if (out.low == 0).all() and (out.high == 1).all():
        side = interface.context.get("image_side", 0)
        if side < 1 or int(side) ** 2 + out.shape[0] != obs.shape[0]:
            return "", "needs the context image_side, and inputs of that square and one per label"
        return "labels", None
    if (out.low == -1).all() and (out.high == 1).all() and obs.shape == out.shape:
        return "patterns", None
    return "", f"needs outputs in [0, 1] (labels), or in [-1, 1] of the inputs' shape (patterns), not {out}"


class ClampedNetwork(nn.Module):
    """Neurons that a pattern sets directly and whose activity is the output; a bias neuron, and others that are free.

    Args:
        width: Values of a pattern.
        recurrent: Connections of all neurons (the pattern's, the bias, the free ones) with each other.
    """

    def __init__(self, width: int, recurrent: Connections) -> None:
        super().__init__()
        self.width = width
        self.recurrent: Any = recurrent
        others = torch.zeros(recurrent.post - width)
        others[0] = PATTERN_GAIN
        self.register_buffer("others", others)

    def start(self, batch: int) -> Any:
        """The state at the start of ``batch`` lifetimes."""
        return self.recurrent.weight.new_zeros(batch, self.recurrent.post), self.recurrent.start(batch)

    def step(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Outputs ``[B, width]`` and the next state for inputs ``[B, width]``."""
        h, traces = state
        set_by = torch.cat([PATTERN_GAIN * x, self.others.expand(len(x), -1)], dim=1)  # type: ignore[operator]
        y = torch.tanh(set_by + self.recurrent.drive(h, traces))
        return y[:, : self.width], (y, self.recurrent.update(h, y, traces))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs ``[T, B, width]`` of whole lifetimes."""
        state, outputs = self.start(inputs.shape[1]), []
        for x in inputs:
            y, state = self.step(x, state)
            outputs.append(y)
        return torch.stack(outputs)

    def roles(self) -> dict[str, nn.Parameter]:
        """Parameters by role."""
        return {f"body.0.{name}": p for name, p in self.recurrent.named_parameters()}


class ImageEncoder(nn.Module):
    """Convolutions of 3 x 3 with stride 2 and tanh, down to 2 x 2 pixels or fewer.

    Args:
        side: Pixels of a side.
        channels: Channels of every layer.
    """

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        self.side = side
        layers, before = [], 1
        while side > 2:
            layers.append(nn.Conv2d(before, channels, 3, stride=2, padding=1))
            before, side = channels, (side + 1) // 2
        self.layers = nn.ModuleList(layers)
        self.size = before * side**2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features ``[N, size]`` of flat images ``[N, side * side]``."""
        x = images.reshape(-1, 1, self.side, self.side)
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x.flatten(1)

    def roles(self) -> dict[str, nn.Parameter]:
        """Parameters by role, by depth."""
        return {f"{i}.{name}": p for i, layer in enumerate(self.layers) for name, p in layer.named_parameters()}


class MatchingNetwork(nn.Module):
    """Plastic connections from an image's features to the labels' neurons, whose softmax is the output.

    Args:
        encoder: The features.
        head: Plastic connections from features to labels.
    """

    def __init__(self, encoder: ImageEncoder, head: Connections) -> None:
        super().__init__()
        self.encoder = encoder
        self.head: Any = head

    def start(self, batch: int) -> Any:
        """The traces at the start of ``batch`` lifetimes."""
        return self.head.start(batch)

    def step(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Probabilities ``[B, labels]`` and the next traces for images with labels ``[B, side * side + labels]``."""
        pixels = self.encoder.side**2
        return self._step(self.encoder(x[:, :pixels]), x[:, pixels:], state)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Probabilities ``[T, B, labels]`` of whole lifetimes; all images are encoded in one call."""
        pixels, (steps, batch, _) = self.encoder.side**2, inputs.shape
        features = self.encoder(inputs[..., :pixels].flatten(0, 1)).reshape(steps, batch, -1)
        state, outputs = self.start(batch), []
        for feature, label in zip(features, inputs[..., pixels:], strict=True):
            y, state = self._step(feature, label, state)
            outputs.append(y)
        return torch.stack(outputs)

    def roles(self) -> dict[str, nn.Parameter]:
        """Parameters by role, by depth."""
        body = {f"body.{name}": p for name, p in self.encoder.roles().items()}
        return {**body, **{f"head.{name}": p for name, p in self.head.named_parameters()}}

    def _step(self, feature: torch.Tensor, label: torch.Tensor, traces: Any) -> tuple[torch.Tensor, Any]:
        y = torch.softmax(self.head.drive(feature, traces) + LABEL_GAIN * label, dim=1)
        return y, self.head.update(feature, y, traces)


class ReadoutNetwork(nn.Module):
    """An ordinary recurrent network: an encoder of images if there are any, a core, a linear read-out.

    Args:
        encoder: Features of the image; ``None`` for inputs that are none.
        core: The memory; its inputs are the features with what follows the image, or the inputs as they are.
        outputs: Outputs: probabilities where there is an encoder, else values in [-1, 1].
    """

    def __init__(self, encoder: ImageEncoder | None, core: RecurrentCore | LSTMCore, outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.core: Any = core
        self.head = nn.Linear(core.size, outputs)

    def start(self, batch: int) -> Any:
        """The state at the start of ``batch`` lifetimes."""
        return self.core.start(batch)

    def step(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Outputs ``[B, outputs]`` and the next state for inputs ``[B, inputs]``."""
        features, state = self.core.step(self._encoded(x), state)
        return self._read(features), state

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs ``[T, B, outputs]`` of whole lifetimes."""
        encoded = self._encoded(inputs.flatten(0, 1)).reshape(*inputs.shape[:2], -1)
        return self._read(self.core(encoded, self.start(inputs.shape[1]))[0])

    def roles(self) -> dict[str, nn.Parameter]:
        """Parameters by role, by depth."""
        encoder = self.encoder.roles() if self.encoder else {}
        depth = len(self.encoder.layers) if self.encoder else 0
        core = {f"body.{depth + int(name[0])}{name[1:]}": p for name, p in self.core.roles().items()}
        body = {f"body.{name}": p for name, p in encoder.items()}
        return {**body, **core, "head.weight": self.head.weight, "head.bias": self.head.bias}

    def _encoded(self, x: torch.Tensor) -> torch.Tensor:
        if self.encoder is None:
            return x
        pixels = self.encoder.side**2
        return torch.cat([self.encoder(x[:, :pixels]), x[:, pixels:]], dim=1)

    def _read(self, features: torch.Tensor) -> torch.Tensor:
        out = self.head(features)
        return torch.tanh(out) if self.encoder is None else torch.softmax(out, dim=-1)


Network = ClampedNetwork | MatchingNetwork | ReadoutNetwork


def begun(network: Network, state: Any, first: torch.Tensor) -> Any:
    """A network's state with the lanes started anew where ``first`` ``[B]`` is true.

    Args:
        network: The network.
        state: Its state; ``None`` before the first step.
        first: ``[B]``.
    """
    if state is None:
        return network.start(len(first))
    if not bool(first.any()):
        return state
    keep = (~first).to(torch.float32).unsqueeze(1)
    if isinstance(state, Traces):
        return forget_traces(state, keep)
    if isinstance(network, ReadoutNetwork):
        return network.core.forget(state, first)
    return forget(state, keep)
