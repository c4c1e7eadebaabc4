"""Rotating, scaling and bending small drawings, many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def warped(drawings: Floats, side: int, amount: float, rng: np.random.Generator) -> Floats:
    """Each drawing seen through a random linear map and a random wave, at another resolution.

    Args:
        drawings: ``[n, d, d]``.
        side: Pixels of the result's side.
        amount: How much: at 1 rotations by a standard deviation of 12 degrees, stretches and shears by 0.12, shifts by
            4 % of the side, waves of 3 %; 0 leaves drawings as they are.
        rng: The generator.

    Returns:
        ``[n, side, side]``; what lies outside a drawing is 0.
    """
    n, size = len(drawings), drawings.shape[1]
    noise = (amount * rng.standard_normal((n, 9))).astype(np.float32)
    angle = np.deg2rad(12) * noise[:, 0]
    cos, sin = np.cos(angle), np.sin(angle)
    stretch_x, stretch_y, shear = (1 + 0.12 * noise[:, 1]), (1 + 0.12 * noise[:, 2]), 0.12 * noise[:, 3]
    linear = np.stack([cos * stretch_x, shear - sin, sin + shear, cos * stretch_y], axis=1).reshape(n, 2, 2)
    phase = rng.uniform(0, 2 * np.pi, (n, 2, 1)).astype(np.float32)
    grid = ((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5) * 2  # [-1, 1]
    where = np.stack(np.meshgrid(grid, grid, indexing="ij")).reshape(2, -1)
    seen = linear @ where + (0.08 * noise[:, 4:6])[:, :, None]
    seen += (0.06 * noise[:, 6:8])[:, :, None] * np.sin(np.pi * where[::-1] + phase)
    return bilinear(drawings, (seen + 1) * (size / 2) - 0.5).reshape(n, side, side)


def bilinear(images: Floats, where: Floats) -> Floats:
    """Values of images ``[n, d, d]`` at points ``where`` ``[n, 2, p]`` (row, column), ``[n, p]``; 0 outside."""
    n, size = len(images), images.shape[1]
    padded = np.zeros((n, size + 3, size + 3), np.float32)
    padded[:, 1:-2, 1:-2] = images
    where = np.clip(where + 1, 0, size + 1)
    corner = where.astype(np.intp)
    row, column = np.moveaxis(where - corner, 1, 0).astype(np.float32)
    first = (np.arange(n)[:, None] * (size + 3) + corner[:, 0]) * (size + 3) + corner[:, 1]
    flat = padded.reshape(-1)
    upper = flat[first] * (1 - column) + flat[first + 1] * column
    lower = flat[first + size + 3] * (1 - column) + flat[first + size + 4] * column
    values: Floats = upper * (1 - row) + lower * row
    return values
