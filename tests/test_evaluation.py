"""Accuracy from .npz, folder and .tar, on a network whose answers are known."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo.assets import labels
from kerazoo.contract import Tensors
from kerazoo.errors import InputError, UsageError
from kerazoo.evaluation import evaluate
from kerazoo.predictor import Predictor
from kerazoo.sources.labelled import called
from tests.test_predictor import COLOURS, TASK, Brightness, picture

PREDICTOR = Predictor("brightness", TASK, "keras", lambda request: TASK.answer(Brightness(), request))


def test_arrays(tmp_path: Path) -> None:
    pictures = np.stack([np.asarray(picture(name)) for name in ("red", "green", "blue", "blue")])
    np.savez(tmp_path / "x.npz", x_test=pictures, y_test=np.array([[0], [1], [2], [0]]))
    report = evaluate(PREDICTOR, tmp_path / "x.npz")
    assert (report.figures["top-1"], report.figures["top-5"], report.count, report.failed) == (75.0, 100.0, 4, ())


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
        report = evaluate(PREDICTOR, data)
        assert (report.figures["top-1"], report.count) == (100.0, 3)
        assert [line.split(":")[0].rpartition("/")[2] for line in report.failed] == ["0001_broken.jpg"]


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


def test_folders_called_as_the_classes(tmp_path: Path) -> None:
    for folder, colours in {"Red": ["red", "red"], "green": ["blue"], "blue": ["blue"]}.items():
        (tmp_path / folder).mkdir()
        for index, name in enumerate(colours):
            # Names that look like indices count for nothing here.
            picture(name).save(tmp_path / folder / f"0002_{index}.png")
    (tmp_path / "readme.txt").write_text("no picture")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for folder in ("Red", "green", "blue"):
            archive.add(tmp_path / folder, f"data/{folder}")
    for data in (tmp_path, tmp_path / "x.tar"):
        report = evaluate(PREDICTOR, data)
        assert (report.figures["top-1"], report.count) == (75.0, 4)
    (tmp_path / "gren").mkdir()
    picture("green").save(tmp_path / "gren" / "x.png")
    with pytest.raises(UsageError, match="'gren'.*Did you mean green"):
        evaluate(PREDICTOR, tmp_path)


def test_wordnet_ids_name_imagenet_classes() -> None:
    known = called(labels("imagenet1k"))
    assert (known["n01440764"], known["tench"], known["great white shark"]) == (0, 0, 2)
    assert known["crane"] is None
    assert called(("red", "green")) == {"red": 0, "green": 1}


def never(request: Tensors) -> Tensors:
    raise AssertionError("was run")


@pytest.mark.parametrize("truths", [[0, 1, 9], [0, -1, 2], [[0, 1], [1, 0], [0, 1]], [0.5, 1, 2], ["a", "b", "c"]])
def test_labels_of_other_classes_are_refused_before_the_model_runs(tmp_path: Path, truths: Any) -> None:
    pictures = np.stack([np.asarray(picture(name)) for name in COLOURS])
    np.savez(tmp_path / "x.npz", x_test=pictures, y_test=np.array(truths))
    with pytest.raises(UsageError, match="y_test"):
        evaluate(Predictor("brightness", TASK, "keras", never), tmp_path / "x.npz")


def test_names_of_other_classes_are_refused_before_the_model_runs(tmp_path: Path) -> None:
    for index in (0, 9):
        picture("red").save(tmp_path / f"{index:04}_x.png")
    with pytest.raises(UsageError, match="0009_x.png holds the class 9; the model has 3, 0 to 2: red, green, blue"):
        evaluate(Predictor("brightness", TASK, "keras", never), tmp_path)


def test_data_that_is_damaged(tmp_path: Path) -> None:
    for name in ("x.npz", "x.tar"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
        with pytest.raises(UsageError, match=name):
            evaluate(PREDICTOR, tmp_path / name)
    np.savez(tmp_path / "x.npz", x_test=np.zeros((0, 8, 8), np.uint8), y_test=np.zeros(0, int))
    with pytest.raises(UsageError, match="no pictures"):
        evaluate(PREDICTOR, tmp_path / "x.npz")
