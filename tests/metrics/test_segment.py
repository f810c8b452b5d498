"""Masks: one confusion matrix over all pictures, what is void, and masks that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo.codecs.image import Image
from kerazoo.errors import InputError, UsageError
from kerazoo.evaluation import evaluate
from kerazoo.metrics import segment
from kerazoo.tasks.segment import Whole
from tests.metrics.stubs import folder, png, predictor, tar


def model(classes: int = 3) -> Any:
    """A pixel's class is its grey level divided by 100."""

    def network(inputs: Any) -> Any:
        level = np.clip(inputs["image"][..., 0] // 100, 0, classes - 1)
        return {"logits": (level[..., None] == np.arange(classes)).astype(np.float32)}

    names = ("sky", "road", "tree")[:classes]
    return predictor(Whole(Image(8, 8, channels=1), names), network=network)


def halves(left: int, right: int, share: int = 4) -> np.ndarray:
    """8 x 8 numbers, `share` columns of the first."""
    return np.repeat(np.where(np.arange(8) < share, left, right)[None], 8, axis=0).astype(np.uint8)


def test_figures_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1], [2, 2, 255, 255]])
    guess = np.array([[0, 1, 1, 1], [2, 0, 0, 1]])
    matrix = segment.matrix(truth, guess, 4)
    assert matrix.sum() == 6
    np.testing.assert_allclose(segment.overlaps(matrix), [100 / 3, 200 / 3, 50, np.nan])
    found = segment.figures(matrix)
    assert found["mean IoU"] == pytest.approx(50) and found["pixel accuracy"] == pytest.approx(400 / 6)


def test_pixels_of_all_pictures_together(tmp_path: Path) -> None:
    # The mean over pictures would be another number.
    files = {
        "images/a.png": png(100 * halves(0, 1)), "masks/a.png": png(halves(0, 1), "P"),
        "images/b.png": png(100 * halves(0, 1, 7)), "masks/b.png": png(halves(0, 1, 2)),
    }  # fmt: skip
    for data in (folder(tmp_path / "x", files), tar(tmp_path / "x.tar", files)):
        report = evaluate(model(), data)
        # Class 0: 32 + 16 shared of 32 + 56; class 1: 32 + 8 of 32 + 48.
        assert report.figures["mean IoU"] == pytest.approx(100 * (48 / 88 + 40 / 80) / 2)
        assert report.figures["pixel error"] == pytest.approx(100 * 40 / 128)
        assert np.isnan(report.classes["IoU"][2])
    np.savez(tmp_path / "x.npz", x_test=np.stack([100 * halves(0, 1)]), y_test=np.stack([halves(0, 1)]))
    assert evaluate(model(), tmp_path / "x.npz").figures["mean IoU"] == 100


def test_void_is_left_out(tmp_path: Path) -> None:
    mask = halves(0, 1)
    mask[:, 3:5] = 255
    data = folder(tmp_path, {"images/a.png": png(100 * halves(0, 1, 3)), "masks/a.png": png(mask)})
    assert evaluate(model(), data).figures["pixel accuracy"] == 100
    mask[mask == 255] = 9
    (tmp_path / "masks" / "a.png").write_bytes(png(mask))
    assert evaluate(model(), data, void=9).figures["pixel accuracy"] == 100
    with pytest.raises(UsageError, match=r"holds 9; the model has the classes 0 to 2 \(sky, road, tree\)"):
        evaluate(model(), data)


def test_black_and_white_masks_of_two_classes(tmp_path: Path) -> None:
    said: list[str] = []
    files = {"images/a.png": png(100 * halves(0, 1)), "masks/a.png": png(255 * halves(0, 1))}
    data = folder(tmp_path, files)
    assert evaluate(model(2), data, say=said.append).figures["mean IoU"] == 100
    assert said == ["The masks are black and white: 0 is sky, 255 is road (void pixels: --void N)."]
    # Where one mask says 1, 255 is void; and so it is where that was said.
    folder(tmp_path, {"images/b.png": png(100 * halves(0, 1)), "masks/b.png": png(halves(1, 0))})
    assert evaluate(model(2), data).confusion.tolist() == [[32, 32], [32, 0]]  # type: ignore[union-attr]
    assert evaluate(model(2), data, only="a.png", void=255).confusion.tolist() == [[32, 0], [0, 0]]  # type: ignore[union-attr]


def test_a_mask_that_does_not_fit_is_named_and_left_out(tmp_path: Path) -> None:
    good = {"images/a.png": png(100 * halves(0, 1)), "masks/a.png": png(halves(0, 1))}
    bad = {
        "size": (png(halves(0, 1)[:6]), "its mask is 8 x 6 pixels, the picture 8 x 8"),
        "colour": (png(np.zeros((8, 8, 3))), "its mask is RGB; a mask has one whole number a pixel"),
        "broken": (b"\x89PNG", "its mask cannot be read"),
    }
    files = good | {f"images/{name}.png": png(halves(0, 1)) for name in bad}
    files |= {f"masks/{name}.png": data for name, (data, _) in bad.items()}
    said: list[str] = []
    report = evaluate(model(), folder(tmp_path, files), say=said.append)
    assert (report.count, report.figures["mean IoU"]) == (1, 100)
    for name, (_, reason) in bad.items():
        assert any(name in line and reason in line for line in said)
        with pytest.raises(InputError, match=reason):
            evaluate(model(), tmp_path, only=f"{name}.png", strict=True)
        with pytest.raises(InputError, match="None of|No pixel of"):
            evaluate(model(), tmp_path, only=f"{name}.png")


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "holds no pictures with masks"),
        ({"images/a.png": png(halves(0, 1))}, "holds no pictures with masks"),
        ({"images/a.png": png(halves(0, 1)), "masks/b.png": png(halves(0, 1))}, "a.png has no partner in masks"),
    ],
)
def test_nothing_to_measure(tmp_path: Path, files: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        evaluate(model(), folder(tmp_path, files))


def test_arrays_that_are_no_masks(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x_test=np.zeros((2, 8, 8), np.uint8), y_test=np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(UsageError, match="one for each of 2 pictures"):
        evaluate(model(), tmp_path / "x.npz")
    with pytest.raises(UsageError, match="chooses among files"):
        evaluate(model(), tmp_path / "x.npz", only="*")
