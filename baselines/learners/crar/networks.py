"""CRAR's networks: an encoder to an abstract state, and four models on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from tlbench.protocol.interface import Params

PLANES, SIDE = 3, 8
"""The abstract state of a picture: planes of 8 x 8."""

VECTOR_NEURONS = 8
"""Size of the abstract state of vectors, where nothing else is said."""

PARTS = ("encoder", "transition", "reward", "discount", "q")
ENCODER_ROLES, HEAD_ROLES = "body.", "head."


class Networks(nn.Module):
    """Encoder, residual transition, reward, discount and Q over one abstract state.

    Args:
        shape: Shape of an observation.
        actions: Number of actions.
        neurons: Size of a flat abstract state; ``None`` for 8 x 8 x 3 planes, from a square picture.
    """

    def __init__(self, shape: Sequence[int], actions: int, neurons: int | None) -> None:
        super().__init__()
        self.actions = actions
        self.neurons = neurons
        if neurons is None:
            self.encoder: nn.Sequential = picture_encoder(shape)
            self.transition: nn.Sequential = plane_transition(actions)
            self.reward, self.discount = (plane_head(PLANES + actions, 1) for _ in range(2))
            self.q: nn.Sequential = plane_head(PLANES, actions)
        else:
            self.encoder = flat_encoder(shape, neurons)
            self.transition = dense((neurons + actions, 10, 30, 30, 10, neurons))
            self.reward, self.discount = (dense((neurons + actions, 10, 50, 20, 1)) for _ in range(2))
            self.q = dense((neurons, 20, 50, 20, actions))

    def encode(self, obs: torch.Tensor) -> torch.Tensor:
        """Abstract states ``[batch, ...]`` of observations."""
        x: torch.Tensor = self.encoder(obs)
        return x

    def values(self, x: torch.Tensor) -> torch.Tensor:
        """Q of every action, ``[batch, actions]``."""
        q: torch.Tensor = self.q(x)
        return q

    def with_actions(self, x: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Abstract states beside one-hot actions ``[batch]``: as planes, or as more neurons."""
        hot = nn.functional.one_hot(actions, self.actions).to(x.dtype)
        if self.neurons is None:
            hot = hot[:, :, None, None].expand(-1, -1, SIDE, SIDE)
        return torch.cat((x, hot), dim=1)

    def step(self, x: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One step of the model.

        Args:
            x: Abstract states ``[batch, ...]``.
            actions: ``[batch]``.

        Returns:
            Next abstract states, rewards ``[batch]`` and discounts ``[batch]`` (0 where the episode is to end).
        """
        inputs = self.with_actions(x, actions)
        return x + self.transition(inputs), self.reward(inputs)[:, 0], self.discount(inputs)[:, 0]

    def successors(self, x: torch.Tensor) -> torch.Tensor:
        """The abstract states ``[batch, actions, ...]`` that the model expects after every action."""
        actions = torch.arange(self.actions, device=x.device).repeat(len(x))
        after, _, _ = self.step(x.repeat_interleave(self.actions, dim=0), actions)
        return after.reshape(-1, self.actions, *after.shape[1:])

    def roles(self) -> Params:
        """The live parameters by role: ``body`` (encoder), transition, reward, discount, q, ``head`` (Q's last)."""
        roles: Params = {}
        for part in PARTS:
            layers = weighted(getattr(self, part))
            for i, layer in enumerate(layers):
                name = f"{part}.{i}" if part != "encoder" else f"{ENCODER_ROLES}{i}"
                if part == "q" and i == len(layers) - 1:
                    name = HEAD_ROLES.rstrip(".")
                assert layer.bias is not None
                roles[f"{name}.weight"], roles[f"{name}.bias"] = layer.weight, layer.bias
        return roles


def weighted(module: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """Layers with weights, by depth."""
    return [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def dense(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of these sizes with tanh between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return initialised(nn.Sequential(*layers[:-1]))


def convolutions(channels: Sequence[int], kernels: Sequence[int], pool: int = 1) -> list[nn.Module]:
    """Convolutions that keep height and width, tanh after each; kernels of 2 reach right and down.

    Args:
        channels: Of the input and of each convolution.
        kernels: Of each convolution.
        pool: Size of a max pooling at the end. It comes before the last tanh, which is the same and less to compute.
    """
    layers: list[nn.Module] = []
    for (before, after), kernel in zip(pairwise(channels), kernels, strict=True):
        layers += [nn.ZeroPad2d((0, 1, 0, 1))] * (kernel == 2)
        layers += [nn.Conv2d(before, after, kernel, padding=(kernel - 1) // 2), nn.Tanh()]
    return [*layers[:-1], nn.MaxPool2d(pool), layers[-1]] if pool > 1 else layers


def picture_encoder(shape: Sequence[int]) -> nn.Sequential:
    """From a square picture ``(channels, 8 k, 8 k)`` to planes; its two poolings make 8 k into 8.

    A picture of 8 x 8 has nothing to pool: its pixels are mapped one by one, linearly, as by the document's code. That
    map starts orthogonal, so that all directions of colours are seen alike: `python benchmarks/crar.py --rewards 6000`.
    """
    channels, scale = shape[0], shape[1] // SIDE
    if scale == 1:
        encoder = initialised(nn.Sequential(nn.Conv2d(channels, PLANES, 1)))
        nn.init.orthogonal_(weighted(encoder)[0].weight)
        return encoder
    return initialised(nn.Sequential(*picture_trunk(channels, scale), nn.Conv2d(32, PLANES, 1)))


def flat_encoder(shape: Sequence[int], neurons: int) -> nn.Sequential:
    """To neurons, by linear layers; larger square pictures go through the convolutions of :func:`picture_encoder`."""
    scale = picture_scale(shape) or 1
    trunk = picture_trunk(shape[0], scale) if scale > 1 else []
    inputs = 32 * SIDE**2 if trunk else int(torch.Size(shape).numel())
    layers = dense((inputs, 200, 100, 50, 10, neurons))
    return nn.Sequential(*initialised(nn.Sequential(*trunk)), nn.Flatten(), *layers)


def picture_trunk(channels: int, scale: int) -> list[nn.Module]:
    """From a picture of ``8 scale`` pixels per side, ``scale`` at least 2, to 32 planes of 8 x 8."""
    first = 2 if scale % 2 == 0 else 1
    return [*convolutions((channels, 8, 16), (2, 2), first), *convolutions((16, 32), (3,), scale // first)]


def plane_transition(actions: int) -> nn.Sequential:
    """The change of the planes."""
    layers = convolutions((PLANES + actions, 16, 32, 64, 32, 16), (1, 2, 3, 2, 1))
    return initialised(nn.Sequential(*layers, nn.Conv2d(16, PLANES, 1)))


def plane_head(channels: int, outputs: int) -> nn.Sequential:
    """Numbers from planes."""
    layers = [*convolutions((channels, 16, 32), (2, 3), pool=2), *convolutions((32, 16, 4), (2, 1)), nn.Flatten()]
    return initialised(nn.Sequential(*layers, *dense((4 * (SIDE // 2) ** 2, 200, 50, 20, outputs))))


def initialised(module: nn.Sequential) -> nn.Sequential:
    """Glorot's uniform initialisation with zero biases, in place."""
    for layer in weighted(module):
        nn.init.xavier_uniform_(layer.weight)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    return module


def default_neurons(shape: Sequence[int]) -> int | None:
    """Size of a flat abstract state where none is asked for: 8 for vectors, ``None`` (planes) for pictures.

    Raises:
        ValueError: If observations of that shape are no pictures that planes can be made of.
    """
    if len(shape) == 1:
        return VECTOR_NEURONS
    if picture_scale(shape) is None:
        raise ValueError(
            f"CRAR makes planes of square pictures (channels, 8 k, 8 k), not of observations {tuple(shape)}: "
            "say how many neurons an abstract state has"
        )
    return None


def picture_scale(shape: Sequence[int]) -> int | None:
    """Pixels per cell of a square picture whose sides are multiples of 8, ``None`` for anything else."""
    fits = len(shape) == 3 and shape[1] == shape[2] and shape[1] % SIDE == 0
    return shape[1] // SIDE if fits else None
