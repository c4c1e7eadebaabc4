"""Characters of many scripts, drawn from the fonts that ship with matplotlib."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tlbench.protocol.errors import TlbenchError

FONT = "DejaVuSans.ttf"
DRAWN, ROOM = 64, 44
"""Pixels of a drawing's side, and of the longer side of the character in it."""

ALIKE = 0.9

SCRIPTS: dict[str, tuple[tuple[int, int], ...]] = {
    "latin": ((0x41, 0x5A), (0x61, 0x7A)),
    "greek": ((0x391, 0x3A9), (0x3B1, 0x3C9)),
    "cyrillic": ((0x410, 0x44F),),
    "armenian": ((0x531, 0x556), (0x561, 0x586)),
    "hebrew": ((0x5D0, 0x5EA),),
    "arabic": ((0x621, 0x64A),),
    "nko": ((0x7CA, 0x7EA),),
    "lao": ((0xE81, 0xEAE),),
    "georgian": ((0x10D0, 0x10F0), (0x10A0, 0x10C5)),
    "canadian": ((0x1401, 0x1676),),
    "tifinagh": ((0x2D30, 0x2D65),),
    "lisu": ((0xA4D0, 0xA4F7),),
    "italic": ((0x10300, 0x10320),),
}
"""Scripts and their blocks of letters in Unicode; what the font lacks is left out."""


def characters_of(script: str) -> list[str]:
    """The letters of a script.

    Raises:
        TlbenchError: If there is no such script.
    """
    if script not in SCRIPTS:
        raise TlbenchError(f"characters: there is no script {script!r}; there are: {', '.join(SCRIPTS)}")
    letters = [chr(code) for first, last in SCRIPTS[script] for code in range(first, last + 1)]
    return [letter for letter in letters if unicodedata.category(letter) in {"Lu", "Ll", "Lo"}]


@cache
def drawings(scripts: tuple[str, ...]) -> NDArray[np.float32]:
    """The letters of these scripts, each in the four quarter turns, ``[classes, DRAWN, DRAWN]``, ink 1 on 0.

    A letter that the font lacks is left out, and so is a class that looks like an earlier one (Cyrillic A and Latin A,
    O in all its turns): the cosine of the angle between them, at a quarter of the resolution, is above ``ALIKE``.

    Raises:
        TlbenchError: If there is no such script.
    """
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FONT), 48)
    missing = _drawn("\U0010fffe", font).tobytes()
    letters = (_drawn(letter, font) for script in scripts for letter in characters_of(script))
    drawn = np.stack([image for image in letters if image.any() and image.tobytes() != missing])
    turned = np.concatenate([np.rot90(drawn, turns, axes=(1, 2)) for turns in range(4)])
    return turned[_different(turned)]


def _different(images: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which images look like none of those kept before them."""
    side = images.shape[1] // 4
    small = images.reshape(len(images), side, 4, side, 4).mean(axis=(2, 4)).reshape(len(images), -1)
    small /= np.linalg.norm(small, axis=1, keepdims=True)
    kept: list[int] = []
    for number, alike in enumerate(small @ small.T > ALIKE):
        if not alike[kept].any():
            kept.append(number)
    return np.array(kept)


def _drawn(letter: str, font: ImageFont.FreeTypeFont) -> NDArray[np.float32]:
    """The letter, as large as fits into ``ROOM`` pixels, in the middle of a drawing."""
    canvas = Image.new("L", (3 * DRAWN, 3 * DRAWN))
    ImageDraw.Draw(canvas).text((DRAWN, DRAWN), letter, font=font, fill=255)
    box = canvas.getbbox()
    drawing = Image.new("L", (DRAWN, DRAWN))
    if box is not None:
        ink = canvas.crop(box)
        factor = ROOM / max(ink.size)
        width, height = (max(1, round(side * factor)) for side in ink.size)
        middle = ((DRAWN - width) // 2, (DRAWN - height) // 2)
        drawing.paste(ink.resize((width, height), Image.Resampling.BILINEAR), middle)
    return np.asarray(drawing, np.float32) / np.float32(255)
