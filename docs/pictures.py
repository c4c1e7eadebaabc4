"""Draws the mazes of maze.md; run it as it is. The other pictures are figures of `tlbench report --out`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import matplotlib

import tlbench.tasks.environments  # noqa: F401

matplotlib.use("Agg")

from matplotlib import pyplot

FOLDER = Path(__file__).parent / "pictures"
MAZES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "tlbench/SimpleMaze-v1": [
        ("tile_size=1", {"tile_size": 1}),
        ("inverse", {"tile_size": 1, "inverse": True}),
        ("tile_size=6", {"tile_size": 6}),
    ],
    "tlbench/MetaLabyrinth-v1": [
        ("tile_size=6", {}),
        ("inverse", {"inverse": True}),
        ("palette='recoloured'", {"palette": "recoloured"}),
        ("colour", {"colour": True}),
        ("colour, tile_size=1", {"colour": True, "tile_size": 1}),
    ],
}


def draw_mazes(path: Path) -> None:
    """A row per environment: its picture for people, then what an agent sees under some options."""
    columns = 1 + max(len(shown) for shown in MAZES.values())
    figure, rows = pyplot.subplots(len(MAZES), columns, figsize=(2 * columns, 2.3 * len(MAZES)), facecolor="#c9d6e3")
    for axes, (name, shown) in zip(rows, MAZES.items(), strict=True):
        for axis in axes:
            axis.set_axis_off()
        env = gymnasium.make(name, render_mode="rgb_array")
        env.reset(seed=0)
        axes[0].imshow(env.render())
        axes[0].set_title(name, fontsize=8)
        for axis, (title, options) in zip(axes[1:], shown, strict=False):
            observation, _ = gymnasium.make(name, **options).reset(seed=0)
            axis.imshow(((observation + 1) / 2).transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1)
            axis.set_title(title, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    draw_mazes(FOLDER / "mazes.png")
