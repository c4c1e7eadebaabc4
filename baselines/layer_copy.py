"""Weighted-layer copying: the first or last n layers of the expert's network, into a fresh network.

Document: Shachaf, Ziv & Zahavy, "Transfer Learning in DQN using weighted layers copying", section Method, after
Yosinski et al. (2014).

In words: train an expert on the source; take its best network; copy its first n, or its last n, layers with weights
(convolutional or linear; a layer is its weights and biases) into a network that is otherwise initialised afresh; train
that on the target. The copied layers are trained like the others, or frozen: they get no update at all, which is more
than a gradient of zero (an optimiser with momentum would go on moving them).

The document leaves open, and this module chooses:

* Best network: the expert's best checkpoint, as for every method here.
* Layers that don't fit, because source and target observe or act differently: the layer starts fresh, and is trained,
  frozen method or not. A layer is copied whole or not at all. So where no layer fits, the run equals its control; the
  record says which layers were copied (``layers_copied``) and which share of the parameters (``carried_share``).
* Target network, replay and exploration start as from scratch; the target network equals the start.

There is a method for every n up to the deepest network that DQN has by default (Nature's, five layers). An n above the
number of layers of the source's or target's network is an error, and so is copying between a network for images and
one for vectors, or between networks for images of different shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from tlbench.baselines.learners.dqn_settings import MOST_LAYERS, preset
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Config, Context, Interface, JSONValue, Knowledge, Params
from tlbench.protocol.starting_point import StartingPointMethod

NAMES: dict[str, dict[str, JSONValue]] = {
    f"layer-copy-{end}{n}{suffix}": {"end": end, "layers": n, "frozen": bool(suffix)}
    for end in ("first", "last")
    for n in range(1, MOST_LAYERS + 1)
    for suffix in ("", "-frozen")
}


class LayerCopyConfig(Config):
    """Settings of layer copying."""

    end: Literal["first", "last"] = Field("first", description="From which end layers are counted.")
    layers: int = Field(1, ge=1, description="Weighted layers that are copied.")
    frozen: bool = Field(False, description="Keep the copied layers as they are.")


class LayerCopy(StartingPointMethod):
    """Starts from the expert's first or last layers, fine-tuned or frozen."""

    Config: ClassVar[type[LayerCopyConfig]] = LayerCopyConfig
    id = "layer-copy"
    learners = ("dqn",)
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {f"{name}-{{learner}}": NAMES[name] for name in NAMES}
    aliases: ClassVar[dict[str, str]] = {name: f"{name}-dqn" for name in NAMES}

    def unsupported(self, interface: Interface) -> str | None:
        """Why the learner's default network for such a target has too few layers, or ``None``."""
        settings = preset(interface.observation_space)
        return too_many(self.config.layers, settings.weighted_layers())

    def transform(self, knowledge: Knowledge, fresh: Params, ctx: Context) -> tuple[Params, Sequence[str]]:
        """Copy the layers that fit.

        Raises:
            TlbenchError: If there are fewer layers, on the source or the target, than are to be copied.
        """
        count = self.config.layers
        ours, theirs = layers_of(fresh), layers_of(knowledge.tensors)
        for where, layers in (("source", theirs), ("target", ours)):
            problem = too_many(count, len(layers))
            if problem is not None:
                raise TlbenchError(f"on the {where}, {problem}")
        if {_kind(fresh), _kind(knowledge.tensors)} == {"images", "vectors"}:
            raise TlbenchError("one of source and target observes images, the other vectors: their networks differ")
        if _kind(fresh) == "images" and _inputs(fresh) != _inputs(knowledge.tensors):
            raise TlbenchError("source and target observe images of different shapes: no layer would fit as it is")
        chosen = slice(count) if self.config.end == "first" else slice(-count, None)
        start: Params = {}
        copied: list[JSONValue] = []
        for mine, other in zip(list(ours)[chosen], list(theirs)[chosen], strict=True):
            pairs = dict(zip(ours[mine], theirs[other], strict=True))
            if all(fresh[role].shape == knowledge.tensors[source].shape for role, source in pairs.items()):
                start |= {role: knowledge.tensors[source] for role, source in pairs.items()}
                copied.append(mine)
        ctx.diagnostics["layers_copied"] = copied
        return start, tuple(start) if self.config.frozen else ()


def layers_of(params: Params) -> dict[str, list[str]]:
    """The weighted layers by depth and the roles of each, such as ``body.0``: ``body.0.weight``, ``body.0.bias``."""
    layers: dict[str, list[str]] = {}
    for role in params:
        layers.setdefault(role.rpartition(".")[0], []).append(role)
    return layers


def _kind(params: Params) -> str:
    return "images" if next(iter(params.values())).ndim == 4 else "vectors"


def _inputs(params: Params) -> list[int]:
    """What an image's shape decides: the channels seen, and the features that convolutions leave."""
    weights = [tensor for role, tensor in params.items() if role.endswith("weight")]
    return [weights[0].shape[1], next(w.shape[1] for w in weights if w.ndim == 2)]


def too_many(wanted: int, there: int) -> str | None:
    """Why so many layers can't be copied, or ``None``."""
    return f"the network has {there} weighted layers: {wanted} can't be copied" if wanted > there else None
