"""The photographs that ship with scikit-learn and matplotlib, as grey images, and what patches are cut from them."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlbench.protocol.errors import TlbenchError

REDUCED = 2
"""Photographs are halved first: patches show more, and the noise of the compression goes."""


@cache
def photograph(name: str) -> NDArray[np.float32]:
    """A grey photograph, ``[height, width]``, in [0, 1].

    Args:
        name: ``"temple"`` or ``"flower"`` (scikit-learn's), ``"portrait"`` (matplotlib's).

    Raises:
        TlbenchError: If there is no such photograph, or its package lacks it.
    """
    paths = {
        "temple": _sklearn() / "china.jpg",
        "flower": _sklearn() / "flower.jpg",
        "portrait": Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg",
    }
    if name not in paths:
        raise TlbenchError(f"images: there is no photograph {name!r}; there are: {', '.join(paths)}")
    try:
        with Image.open(paths[name]) as image:
            grey = image.convert("L").reduce(REDUCED)
    except OSError as error:
        raise TlbenchError(f"images: the photograph {name!r} can't be read: {error}; reinstall its package") from None
    return np.asarray(grey, np.float32) / np.float32(255)


def patches(names: tuple[str, ...], n: int, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Square patches from anywhere in the photographs, all of which are equally likely, ``[n, side, side]``."""
    images = [photograph(name) for name in names]
    choice = rng.integers(len(images), size=n)
    found = np.empty((n, side, side), np.float32)
    for number, image in enumerate(images):
        rows = np.flatnonzero(choice == number)
        views = np.lib.stride_tricks.sliding_window_view(image, (side, side))
        found[rows] = views[rng.integers(views.shape[0], size=len(rows)), rng.integers(views.shape[1], size=len(rows))]
    return found


def _sklearn() -> Path:
    """The folder of scikit-learn's images, found without importing it (which takes a second)."""
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise TlbenchError("images: the photographs need scikit-learn: pip install scikit-learn")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "images"
