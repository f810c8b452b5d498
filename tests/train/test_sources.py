"""What is learnt from lies in a folder, or in an archive of the same folder."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerazoo.codecs.image import Image as Codec
from kerazoo.errors import UsageError
from kerazoo.train.data import files, labelled, masks, pictures

FIT = Codec(8, 8, 3, resize=None)


def _picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), value).save(path)


def _archived(folder: Path) -> Path:
    path = folder.parent / f"{folder.name}.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname=f"data/{folder.name}")
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Two parts of two classes, with what systems leave beside pictures."""
    for part, count in (("train", 3), ("val", 1)):
        for number in range(count):
            _picture(tmp_path / "kinds" / part / "cat" / f"ü {number}.png", 10 * number)
            _picture(tmp_path / "kinds" / part / "dog" / "more" / f"{number}.png", 200)
        (tmp_path / "kinds" / part / "cat" / "._ü 0.png").write_bytes(b"\0\5\x16\7")
        (tmp_path / "kinds" / part / "cat" / "Thumbs.db").write_bytes(b"no picture")
    return tmp_path / "kinds"


def test_classes_are_read_from_an_archive_as_from_its_folder(classes: Path) -> None:
    for part, count in (("train", 6), ("held out", 2)):
        one, other = (labelled.read(source, part) for source in (classes, _archived(classes)))
        assert one.names == other.names == ("cat", "dog")
        seen, same = (labelled.fit(found, FIT, strict=True) for found in (one, other))
        assert len(seen[0]) == count
        np.testing.assert_array_equal(seen[0], same[0])
        np.testing.assert_array_equal(seen[1], same[1])
    assert files.holds_out(classes) and files.holds_out(_archived(classes))


def test_pictures_alone_are(classes: Path) -> None:
    for source in (classes, _archived(classes)):
        found, skipped = pictures.read(source, 1, strict=True)
        assert len(found) == 6 and not skipped


@pytest.mark.parametrize("parts", ["outside", "inside"])
def test_masks_are_wherever_their_parts_are_named(tmp_path: Path, parts: str) -> None:
    """train/images and train/masks, or images/train and labels/train."""
    root = tmp_path / "cells"
    for part, count in (("train", 2), ("val", 1)):
        for number in range(count):
            places = (root / part, "images"), (root / part, "Masks")
            if parts == "inside":
                places = (root / "images", part), (root / "labels", part)
            _picture(places[0][0] / places[0][1] / f"{number}.png", 100)
            _picture(places[1][0] / places[1][1] / f"{number}.png", number % 2)
    (root / "classes.txt").write_text("ground\ncell\n")
    for source in (root, _archived(root)):
        found = masks.read(source, 1, "train", strict=True)
        assert found.names == ("ground", "cell") and [int(mask.max()) for mask in found.masks] == [0, 1]
        assert len(masks.read(source, 1, "held out", strict=True).pictures) == 1
        assert files.holds_out(source)


def test_an_archive_cut_short_is_told(classes: Path) -> None:
    source = _archived(classes)
    source.write_bytes(source.read_bytes()[:700])
    with pytest.raises(UsageError, match="kinds.tar"):
        labelled.read(source)
