"""Data that a user has: read where it is complete, told in one line where it isn't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlbench.protocol.errors import TlbenchError
from tlbench.tasks.lifetimes.characters import Characters
from tlbench.tasks.lifetimes.folders import CIFAR_ROW, CIFAR_ROWS, VARIABLE, cifar_10, omniglot
from tlbench.tasks.lifetimes.natural_images import NaturalImages


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def write_cifar(folder: Path, rows: int = CIFAR_ROWS, label: int = 3) -> None:
    path = folder / "cifar-10-batches-bin"
    path.mkdir(exist_ok=True)
    content = np.random.default_rng(0).integers(256, size=(rows, CIFAR_ROW), dtype=np.uint8)
    content[:, 0] = label
    (path / "test_batch.bin").write_bytes(content.tobytes())


def write_omniglot(folder: Path, drawers: int = 3, side: int = 105) -> None:
    rng = np.random.default_rng(0)
    for alphabet in ("Greek", "Futurama"):
        for character in ("character01", "character02"):
            path = folder / "omniglot" / "images_background" / alphabet / character
            path.mkdir(parents=True, exist_ok=True)
            for drawer in range(drawers):
                pixels = np.where(rng.random((side, side)) < 0.1, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).convert("1").save(path / f"{drawer:02}.png")


def told(call: object, *words: str) -> None:
    with pytest.raises(TlbenchError) as error:
        call()  # type: ignore[operator]
    text = str(error.value)
    assert "\n" not in text
    assert all(word in text for word in (*words, "built-in data")), text


def test_cifar_is_read(folder: Path) -> None:
    write_cifar(folder)
    images = cifar_10("test")
    assert images.shape == (10_000, 32, 32)
    raw = np.frombuffer((folder / "cifar-10-batches-bin" / "test_batch.bin").read_bytes(), np.uint8)
    assert images[0, 0, 1] == float(raw[2]) + raw[2 + 1024] + raw[2 + 2048]
    batch = NaturalImages(data="cifar-10", part="test", side=32).draw(4, np.random.default_rng(0))
    assert batch["inputs"].shape[1:] == (4, 1024)


def test_missing_incomplete_and_other_cifar_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(lambda: NaturalImages(data="cifar-10", part="test", side=32), "cifar-10-batches-bin", "photographs")
    write_cifar(folder, rows=10)
    told(lambda: cifar_10("test"), "test_batch.bin", "30,730 bytes", "30,730,000")
    told(lambda: cifar_10("train"), "data_batch_1.bin", "can't be read")
    write_cifar(folder, label=200)
    told(lambda: cifar_10("test"), "another format")
    monkeypatch.delenv(VARIABLE)
    told(lambda: cifar_10("test"), VARIABLE)


def test_omniglot_is_read_and_the_question_is_another_drawing(folder: Path) -> None:
    write_omniglot(folder)
    found = omniglot("background")
    assert [c.shape for c in found] == [(3, 105, 105)] * 4
    assert set(np.unique(found[0])) == {0, 1}
    lifetimes = Characters(data="omniglot", part="background", ways=4, warp=0.0)
    batch = lifetimes.draw(30, np.random.default_rng(0))
    images = batch["inputs"][..., :400]
    assert not (images[:-1] == images[-1]).all(axis=2).any()


def test_missing_incomplete_and_other_omniglot_is_told(folder: Path) -> None:
    told(lambda: Characters(data="omniglot", part="background"), "omniglot", "fonts")
    write_omniglot(folder, drawers=1)
    told(lambda: omniglot("background"), "fewer than two")
    told(lambda: omniglot("evaluation"), "images_evaluation", "ALPHABET")
    write_omniglot(folder, side=28)
    told(lambda: omniglot("background"), "28 x 28")
    min((folder / "omniglot").rglob("*.png")).write_bytes(b"no image")
    told(lambda: omniglot("background"), "no readable image")
