"""Data sets that a user has: where they are looked for, and what is said when they aren't there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tlbench.protocol.errors import TlbenchError

VARIABLE = "TLBENCH_DATA"
"""Environment variable with the folder of data sets; a suite names the data set, never a path."""

CIFAR, CIFAR_ROWS, CIFAR_ROW = "cifar-10-batches-bin", 10_000, 3073
CIFAR_FILES = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
OMNIGLOT = "omniglot"
OMNIGLOT_FOLDERS = {"background": "images_background", "evaluation": "images_evaluation"}
OMNIGLOT_SIDE = 105


def cifar_10(part: str) -> NDArray[np.float32]:
    """The grey images of CIFAR-10 (binary version), ``[n, 32, 32]``: the sum of the three colours.

    Args:
        part: ``"train"`` or ``"test"``.

    Raises:
        TlbenchError: If files are missing, incomplete or of another format.
    """
    folder = _folder(CIFAR, "the binary version of CIFAR-10", "photographs")
    images = []
    for name in CIFAR_FILES[part]:
        path = folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _refused(path, f"can't be read ({error.strerror})", "photographs") from None
        if len(content) != CIFAR_ROWS * CIFAR_ROW:
            what = f"has {len(content):,} bytes instead of the {CIFAR_ROWS * CIFAR_ROW:,} of the binary version"
            raise _refused(path, what, "photographs")
        rows = np.frombuffer(content, np.uint8).reshape(CIFAR_ROWS, CIFAR_ROW)
        if rows[:, 0].max() > 9:
            raise _refused(path, "is of another format: a row begins with a label above 9", "photographs")
        images.append(rows[:, 1:].reshape(-1, 3, 32, 32).sum(axis=1, dtype=np.float32))
    return np.concatenate(images)


def omniglot(part: str) -> list[NDArray[np.uint8]]:
    """Omniglot's characters, one array ``[drawers, 105, 105]`` of 0 and 1 (ink) each.

    Args:
        part: ``"background"`` or ``"evaluation"``.

    Raises:
        TlbenchError: If files are missing, incomplete or of another format.
    """
    folder = _folder(OMNIGLOT, "Omniglot", "fonts") / OMNIGLOT_FOLDERS[part]
    characters = sorted(path for path in folder.glob("*/character*") if path.is_dir())
    if not characters:
        raise _refused(folder, "has no ALPHABET/characterNN folders of PNG files", "fonts")
    return [_character(path) for path in characters]


def _character(folder: Path) -> NDArray[np.uint8]:
    images = []
    for path in sorted(folder.glob("*.png")):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("L"))
        except (OSError, UnidentifiedImageError):
            raise _refused(path, "is no readable image", "fonts") from None
        if pixels.shape != (OMNIGLOT_SIDE, OMNIGLOT_SIDE):
            raise _refused(path, f"has {pixels.shape[1]} x {pixels.shape[0]} pixels instead of 105 x 105", "fonts")
        images.append((pixels < 128).astype(np.uint8))
    if len(images) < 2:
        raise _refused(folder, "has fewer than two drawings", "fonts")
    return np.stack(images)


def _folder(name: str, what: str, built_in: str) -> Path:
    root = os.environ.get(VARIABLE)
    if not root:
        raise TlbenchError(
            f"{what} is expected as {name}/ in the folder that {VARIABLE} names, which is not set; "
            f'without it use the built-in data: data = "{built_in}"'
        )
    folder = Path(root) / name
    if not folder.is_dir():
        raise TlbenchError(
            f'{what} is expected in {folder}, which is no folder; without it use the built-in data: data = "{built_in}"'
        )
    return folder


def _refused(path: Path, what: str, built_in: str) -> TlbenchError:
    return TlbenchError(f'{path} {what}; without it use the built-in data: data = "{built_in}"')
