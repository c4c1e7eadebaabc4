"""One-shot classification: see a few new characters with their labels once, then name one of them drawn otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Array
from tlbench.tasks.lifetimes.folders import OMNIGLOT_FOLDERS, omniglot
from tlbench.tasks.lifetimes.glyphs import drawings
from tlbench.tasks.lifetimes.warping import warped


class Characters:
    """Lifetimes of characters that are new in every one.

    Miconi, Clune & Stanley (2018), section 4.3, reviewed in plasticity-and-model-based-review.txt, section 4.1. Each
    of ``ways`` characters is shown for one step with its label, in random order; then one of them is shown again, in
    another drawing and without a label, and has to be named. Labels are assigned anew in every lifetime. A character
    in another quarter turn is another character.

    An input is a square image (ink 1 on 0), row by row, followed by the label (one-hot; all 0 at the question). An
    output is one number in [0, 1] per label.

    Score: 1 if the largest output of the last step is the right label's, else 0; chance is 1 / ``ways``.

    Args:
        data: ``"fonts"`` (built in) or ``"omniglot"`` (the user's; see ``folders.py``).
        part: Which scripts, joined by ``+``; of Omniglot ``background`` or ``evaluation``.
        ways: Characters of a lifetime.
        side: Pixels of an image's side.
        warp: How much drawings are rotated, stretched, shifted and bent (see ``warping.py``).

    Raises:
        TlbenchError: If there is no such data, or too little of it.
    """

    def __init__(
        self,
        data: Literal["fonts", "omniglot"] = "fonts",
        part: str = "latin",
        ways: int = 5,
        side: int = 20,
        warp: float = 1.0,
    ) -> None:
        if data not in ("fonts", "omniglot"):
            raise TlbenchError(f"characters: data must be fonts or omniglot, not {data!r}")
        if side < 4 or warp < 0:
            raise TlbenchError(f"characters: side must be at least 4 and warp at least 0, not {side} and {warp}")
        if data == "fonts":
            self._drawn = [image[None] for image in drawings(tuple(part.split("+")))]
        elif part in OMNIGLOT_FOLDERS:
            turned = [np.rot90(c, turns, axes=(1, 2)) for c in omniglot(part) for turns in range(4)]
            self._drawn = [np.ascontiguousarray(c, np.float32) for c in turned]
        else:
            raise TlbenchError(f"characters: part of omniglot must be background or evaluation, not {part!r}")
        if not 2 <= ways <= len(self._drawn):
            raise TlbenchError(f"characters: ways must be from 2 to the {len(self._drawn)} characters of {part}")
        self._ways, self._side, self._warp = ways, side, warp
        self.observation_space: spaces.Space[Any] = spaces.Box(0, 1, (side**2 + ways,))
        self.action_space: spaces.Space[Any] = spaces.Box(0, 1, (ways,))

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Array]:
        """Draw n lifetimes; see :class:`~tlbench.protocol.sources.Lifetimes`."""
        ways, pixels = self._ways, self._side**2
        chosen = np.stack([rng.choice(len(self._drawn), ways, replace=False) for _ in range(n)])
        labels = rng.permuted(np.tile(np.arange(ways), (n, 1)), axis=1)
        asked = rng.integers(ways, size=n)
        rows = np.arange(n)
        characters = np.concatenate([chosen, chosen[rows, asked][:, None]], axis=1)  # [n, ways + 1]
        labels = np.concatenate([labels, labels[rows, asked][:, None]], axis=1)
        images = warped(self._pick(characters, asked, rng), self._side, self._warp, rng)
        targets = np.eye(ways, dtype=np.float32)[labels].transpose(1, 0, 2)
        inputs = np.zeros((ways + 1, n, pixels + ways), np.float32)
        inputs[..., :pixels] = np.clip(images, 0, 1).reshape(n, ways + 1, pixels).transpose(1, 0, 2)
        inputs[:-1, :, pixels:] = targets[:-1]
        mask = np.zeros((ways + 1, n), np.bool_)
        mask[-1] = True
        return {"inputs": inputs, "targets": targets.copy(), "mask": mask}

    def score(self, outputs: Array, lifetimes: Mapping[str, Array]) -> NDArray[np.float64]:
        """Whether the right label has the largest output at the last step, ``[n]``."""
        right: NDArray[np.float64] = (outputs[-1].argmax(axis=1) == lifetimes["targets"][-1].argmax(axis=1)).astype(
            float
        )
        return right

    def _pick(
        self, characters: NDArray[np.intp], asked: NDArray[np.intp], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """A drawing of each character, ``[n * (ways + 1), d, d]``; another one at the question, if there are more."""
        numbers = np.array([len(drawn) for drawn in self._drawn])[characters]
        which = (rng.random(characters.shape) * numbers).astype(np.intp)
        rows = np.arange(len(asked))
        others = np.maximum(numbers[:, -1] - 1, 1)
        which[:, -1] = (which[rows, asked] + 1 + rng.integers(others)) % numbers[:, -1]
        pairs = zip(characters.ravel().tolist(), which.ravel().tolist(), strict=True)
        return np.stack([self._drawn[character][drawing] for character, drawing in pairs])
