"""Accuracy from .npz, folder and .tar, on a network whose answers are known."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from kerazoo.errors import InputError, UsageError
from kerazoo.evaluation import evaluate
from kerazoo.predictor import Predictor
from tests.test_predictor import COLOURS, TASK, Brightness, picture

PREDICTOR = Predictor("brightness", TASK, "keras", lambda request: TASK.answer(Brightness(), request))


def test_arrays(tmp_path: Path) -> None:
    pictures = np.stack([np.asarray(picture(name)) for name in ("red", "green", "blue", "blue")])
    np.savez(tmp_path / "x.npz", x_test=pictures, y_test=np.array([[0], [1], [2], [0]]))
    accuracy = evaluate(PREDICTOR, tmp_path / "x.npz")
    assert (accuracy.top1, accuracy.top5, accuracy.count, accuracy.failed) == (75.0, 100.0, 4, 0)


def test_folders_and_tars_name_the_class_in_the_file_name(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, name in enumerate(COLOURS):
        picture(name).save(folder / f"{index:04}_{name}.png")
    (folder / "0001_broken.jpg").write_bytes(b"broken")
    (folder / "readme.txt").write_text("no picture")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(folder, "pictures")
        link = tarfile.TarInfo("pictures/0000_link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link, io.BytesIO())
    for data in (folder, tmp_path / "x.tar"):
        accuracy = evaluate(PREDICTOR, data)
        assert (accuracy.top1, accuracy.count, accuracy.failed) == (75.0, 4, 1)


def test_nothing_to_measure(tmp_path: Path) -> None:
    (tmp_path / "0001_broken.png").write_bytes(b"")
    with pytest.raises(InputError, match="None of the 1"):
        evaluate(PREDICTOR, tmp_path)
    with pytest.raises(UsageError):
        evaluate(PREDICTOR, tmp_path / "gone")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(UsageError, match="class index"):
        evaluate(PREDICTOR, tmp_path / "hollow")
    np.savez(tmp_path / "x.npz", other=np.zeros(3))
    with pytest.raises(UsageError, match="x_test"):
        evaluate(PREDICTOR, tmp_path / "x.npz")
