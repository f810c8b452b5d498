"""PSNR and SSIM against TensorFlow's, the border rule, and pictures that do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from kerazoo.codecs.image import Image as Fit
from kerazoo.contract import Port
from kerazoo.errors import InputError, UsageError
from kerazoo.evaluation import evaluate
from kerazoo.metrics import redraw
from kerazoo.predictor import Predictor
from kerazoo.tasks.redraw import Picture, Reconstruct, SuperResolution
from tests.metrics.stubs import folder, png, predictor


def noise(height: int = 40, width: int = 50, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


def test_against_tensorflow() -> None:
    import tensorflow as tf

    a = redraw.luma(noise())
    b = np.clip(a + np.random.default_rng(1).normal(0, 9, a.shape), 0, 255)
    theirs = [float(f(a[..., None], b[..., None], 255.0)) for f in (tf.image.psnr, tf.image.ssim)]
    assert [redraw.psnr(a, b), redraw.ssim(a, b)] == pytest.approx(theirs, rel=1e-5)
    assert redraw.psnr(a, a) == float("inf") and redraw.ssim(a, a) == pytest.approx(1)


def test_luma_is_that_of_studio_range() -> None:
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    np.testing.assert_allclose(redraw.luma(ends), [[16, 235]], atol=1e-3)


def test_the_border_counts_for_nothing() -> None:
    a = noise()
    b = a.copy()
    b[:3], b[-3:], b[:, :3], b[:, -3:] = 0, 0, 0, 0
    pictures = Image.fromarray(a), Image.fromarray(b)
    assert redraw.alike(*pictures, border=3)[0] == float("inf")
    assert redraw.alike(*pictures, border=2)[0] < 30


def enlarging(scale: int = 2) -> Any:
    """Super-resolution that repeats pixels."""

    def network(inputs: Any) -> Any:
        return {"luma": inputs["image"].repeat(scale, 1).repeat(scale, 2) / 255}

    return predictor(SuperResolution(scale, context=1), network=network)


def test_pictures_alone_are_made_smaller_first(tmp_path: Path) -> None:
    # Sides that the scale does not divide.
    files = {f"{name}.png": png(noise(41, 53, seed)) for seed, name in enumerate("ab")}
    report = evaluate(enlarging(), folder(tmp_path, files))
    expected = []
    for data in files:
        with Image.open(tmp_path / data) as picture:
            right = picture.crop((0, 0, 52, 40))
        small = right.resize((26, 20), Image.Resampling.BICUBIC)
        again = Image.fromarray(np.asarray(small).repeat(2, 0).repeat(2, 1))
        expected.append(redraw.psnr(*(redraw.luma(each)[2:-2, 2:-2] for each in (right, again))))
    # The chroma is resized bicubically, the luma rounded once more: hardly a difference to the luma.
    assert report.figures["PSNR"] == pytest.approx(np.mean(expected), abs=0.1)
    assert report.figures["bicubic PSNR"] > report.figures["PSNR"]
    assert list(report.details["each"]) == ["a.png", "b.png"]


@dataclass(frozen=True)
class Same:
    """Draws what it sees."""

    kind: ClassVar[str] = "redraw"
    batched: ClassVar[bool] = False
    request = response = (Port("image_bytes", "string", (1,), "image"),)

    def read(self, response: Any, row: int) -> Picture:
        return Picture(response["image_bytes"][row])


SAME = Predictor("same", Same(), "keras", lambda request: request)  # type: ignore[arg-type]


def test_pairs(tmp_path: Path) -> None:
    noisy = np.clip(noise().astype(int) + 10, 0, 255).astype(np.uint8)
    files = {"input/a.png": png(noise()), "target/a.png": png(noise()), "input/b.png": png(noise()),
             "target/b.png": png(noisy), "input/c.png": png(noise()), "target/c.png": png(noise(44, 50)),
             "input/d.png": png(noise(8, 8)), "target/d.png": png(noise(8, 8))}  # fmt: skip
    said: list[str] = []
    report = evaluate(SAME, folder(tmp_path, files), only="[bcd].png", say=said.append)
    assert report.count == 1 and set(report.figures) == {"PSNR", "SSIM"}
    assert report.figures["PSNR"] == pytest.approx(redraw.psnr(redraw.luma(noise()), redraw.luma(noisy)))
    assert "input/c.png: it was drawn as 50 x 40 pixels; 50 x 44 are right" in said[0]
    assert "shorter than the window" in said[1]
    with pytest.raises(InputError, match="None of the 1 pictures"):
        evaluate(SAME, tmp_path, only="c.png")


def test_what_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no pictures"):
        evaluate(enlarging(), tmp_path)
    folder(tmp_path, {"a.png": png(noise()), "tiny.png": png(noise(1, 1)), "bad.png": b"no"})
    with pytest.raises(UsageError, match="pairs of pictures"):
        evaluate(SAME, tmp_path)
    said: list[str] = []
    assert evaluate(enlarging(), tmp_path, say=said.append).count == 1
    assert "bad.png: Not a picture" in said[0] and "tiny.png: a picture needs sides of at least 2" in said[1]


def squeezing(noise: float = 0.0) -> Any:
    """An autoencoder whose code is the picture, and which draws it half as bright."""
    return predictor(
        Reconstruct(Fit(4, 5, 1), 20, noise),
        encoder=lambda inputs: {"embedding": inputs["image"].reshape(-1, 20) / 255},
        decoder=lambda inputs: {"picture": inputs["embedding"].reshape(-1, 4, 5, 1) / 2},
    )


def test_the_squared_error_of_what_reconstructs(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 128, (3, 4, 5), np.uint8) * 2
    np.savez(tmp_path / "x.npz", x_test=pictures)
    report = evaluate(squeezing(), tmp_path / "x.npz", batch=2)
    assert report.figures == {"squared error": pytest.approx(np.square(pictures / 510).sum() / 3)}
    assert report.count == 3 and "noise" not in report.to_json()


def test_noise_is_added_before_it_is_to_be_taken_away_and_the_same_every_time(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x_test=np.full((60, 4, 5), 128, np.uint8))
    clean = evaluate(squeezing(), tmp_path / "x.npz").figures["squared error"]
    noisy, again = (evaluate(squeezing(0.1), tmp_path / "x.npz", batch=size).figures for size in (1, 7))
    # Of half the noise, of deviation 0.1, at each of 20 pixels.
    assert noisy["squared error"] == pytest.approx(clean + 20 * 0.05**2, abs=0.04) and noisy == again
    assert noisy["squared error"] != clean
