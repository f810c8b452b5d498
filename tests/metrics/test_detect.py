"""Boxes of VOC's and COCO's files, figures of a detector whose answers are known, and files that do not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo.codecs.image import Image
from kerazoo.errors import InputError, UsageError
from kerazoo.evaluation import evaluate
from kerazoo.sources import boxes as sources
from kerazoo.tasks.detect import Anchored, Head
from tests.metrics.stubs import folder, png, predictor, tar

NAMES = ("cell", "plate")
TALL, WIDE = 64, 96
BOXES = {"a": [("cell", 4, 8, 20, 30), ("plate", 30, 40, 60, 90)], "b": [("cell", 10, 10, 40, 50)], "c": []}
"""Name, and top, left, bottom, right."""


def xml(boxes: Any, size: tuple[int, int] = (TALL, WIDE), difficult: int = 0) -> str:
    objects = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><ymin>{top}</ymin><xmin>{left}</xmin>"
        f"<ymax>{bottom}</ymax><xmax>{right}</xmax></bndbox></object>"
        for name, top, left, bottom, right in boxes
    )
    return f"<annotation><size><height>{size[0]}</height><width>{size[1]}</width></size>{objects}</annotation>"


def voc(lists: bool = True) -> dict[str, bytes]:
    """`a` and `c` are measured on, `b` is learnt from."""
    files = {f"set/Annotations/{name}.xml": xml(boxes).encode() for name, boxes in BOXES.items()}
    files |= {f"set/JPEGImages/{name}.png": shown(name) for name in BOXES}
    if lists:
        files |= {"set/ImageSets/Main/train.txt": b"b\n", "set/ImageSets/Main/val.txt": b"a\nc\n"}
    return files


def shown(name: str) -> bytes:
    """A picture that tells the network which one it is."""
    return png(np.full((TALL, WIDE, 3), ord(name), np.uint8))


def coco(names: Any, crowd: int = 0) -> str:
    rows = [
        {"id": number, "image_id": name, "category_id": 1 + NAMES.index(kind), "iscrowd": crowd,
         "bbox": [left, top, right - left, bottom - top]}
        for name in names for number, (kind, top, left, bottom, right) in enumerate(BOXES[name])
    ]  # fmt: skip
    images = [{"id": name, "file_name": f"{name}.png", "height": TALL, "width": WIDE} for name in names]
    categories = [{"id": number, "name": name} for number, name in ((2, "plate"), (1, "cell"), (0, "all"))]
    return json.dumps({"images": images, "annotations": rows, "categories": categories})


def model(answers: Any = BOXES, score: float = 0.9) -> Any:
    """Finds the boxes of `answers`: one anchor of 8 pixels at each 8 pixels, at whose places they are written."""

    def network(inputs: Any) -> Any:
        out = np.full((len(inputs["image"]), TALL // 8, WIDE // 8, 7), -20.0, np.float32)
        for row, picture in enumerate(inputs["image"]):
            for kind, top, left, bottom, right in answers.get(chr(round(float(picture.mean()))), ()):
                middle = np.array([(left + right) / 16, (top + bottom) / 16])
                across, down = np.minimum(middle.astype(int), (WIDE // 8 - 1, TALL // 8 - 1))
                within = np.clip(middle - (across, down), 1e-4, 1 - 1e-4)
                place = out[row, down, across]
                place[:2], place[2:4] = np.log(within / (1 - within)), np.log([(right - left) / 8, (bottom - top) / 8])
                place[4], place[5 + NAMES.index(kind)] = np.log(score / (1 - score)), 20
        return {"head0": out}

    return predictor(Anchored(Image(TALL, WIDE), NAMES, (Head(8, ((8.0, 8.0),)),)), network=network)


def test_a_detector_that_finds_all_on_every_kind_of_source(tmp_path: Path) -> None:
    said: list[str] = []
    pictures = {f"{name}.png": shown(name) for name in BOXES}
    kinds = {
        "lists": voc(),
        "folders": {f"{'train' if name == 'b' else 'valid'}/{name}.{end}": data for name, boxes in BOXES.items()
                    for end, data in (("png", shown(name)), ("xml", xml(boxes).encode()))},
        "coco": {f"val2017/{name}": data for name, data in pictures.items()}
        | {"annotations/instances_train2017.json": coco("b").encode(),
           "annotations/instances_val2017.json": coco("ac").encode(), "other.json": b"[1]"},
    }  # fmt: skip
    for kind, files in kinds.items():
        for data in (folder(tmp_path / kind, files), tar(tmp_path / f"{kind}.tar", files)):
            report = evaluate(model(), data, say=said.append)
            assert (report.count, report.figures) == (2, {"mAP@.5": 100, "COCO mAP": pytest.approx(100)}), kind
            assert report.classes["boxes"] == [1, 1] and report.details["boxes"] == 2
    assert any("val is measured on; train is left out" in line for line in said)
    assert any("1 of 2 pictures have no boxes" in line for line in said)
    one = folder(tmp_path / "one", pictures | {"mine.json": coco("abc")}) / "mine.json"
    assert evaluate(model(), one).count == 3
    assert evaluate(model(), tmp_path / "lists", only="a.png").count == 1


def test_what_is_missed_and_what_is_not_there_cost(tmp_path: Path) -> None:
    data = folder(tmp_path / "x", voc())
    found = {"a": BOXES["a"][:1] + [("plate", 0, 0, 9, 9)], "c": [("cell", 40, 40, 60, 60)]}
    report = evaluate(model(found), data)
    # The cell is found, and another as sure where there is none; the plate is not.
    assert report.classes["AP@.5"] == [pytest.approx(50), 0] and report.figures["mAP@.5"] == pytest.approx(25)
    # Boxes count that people are not shown.
    assert evaluate(model(score=0.1), data).figures["mAP@.5"] == 100


def test_difficult_boxes_and_crowds_need_not_be_found(tmp_path: Path) -> None:
    files = voc()
    files["set/Annotations/a.xml"] = xml(BOXES["a"], difficult=1).encode()
    files["set/Annotations/c.xml"] = xml(BOXES["b"]).encode()
    assert evaluate(model({"c": BOXES["b"]}), folder(tmp_path / "v", files)).figures["mAP@.5"] == 100
    rows = json.loads(coco("ab"))
    rows["annotations"][0]["iscrowd"] = 1
    files = {"a.png": shown("a"), "b.png": shown("b"), "x.json": json.dumps(rows).encode()}
    without = {"a": BOXES["a"][1:], "b": BOXES["b"]}
    assert evaluate(model(without), folder(tmp_path / "c", files)).figures["mAP@.5"] == 100


def test_plots(tmp_path: Path) -> None:
    evaluate(model({"a": BOXES["a"][:1]}), folder(tmp_path / "x", voc()), plots=tmp_path / "plots")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["boxes.png", "precision_recall.png"]


def test_an_engine_that_does_all_itself_is_measured_on_what_it_shows(tmp_path: Path) -> None:
    said: list[str] = []
    whole = replace(model(score=0.1), network=None)
    with_ = evaluate(whole, folder(tmp_path, voc()), say=said.append)
    assert with_.figures["mAP@.5"] == 0 and any("above 0.5 alone" in line for line in said)


def test_boxes_that_do_not_fit_their_picture_are_counted(tmp_path: Path) -> None:
    files = voc()
    odd = [("cell", 9, 9, 9, 9), ("cell", 70, 4, 90, 20), ("plate", 30, 40, 60, 900), *BOXES["a"][:1]]
    files["set/Annotations/a.xml"] = xml(odd).encode()
    said: list[str] = []
    report = evaluate(model(), folder(tmp_path, files), say=said.append)
    assert report.details["boxes left out"] == 2 and report.details["boxes"] == 2
    text = "\n".join(said)
    for line in ("1 boxes have no area", "1 boxes lie outside of their picture", "1 boxes reach over the border"):
        assert line in text


def test_classes_that_the_model_does_not_have(tmp_path: Path) -> None:
    files = voc()
    files["set/Annotations/b.xml"] = xml([("cel", 1, 1, 5, 5)]).encode()
    with pytest.raises(UsageError, match="has boxes of cel; stub has the classes cell, plate.*Did you mean cell"):
        evaluate(model(), folder(tmp_path, files))


def test_annotations_that_cannot_be_read_are_named_and_left_out(tmp_path: Path) -> None:
    good = voc(lists=False)
    bad = {
        "size": (xml(BOXES["a"], (10, 10)), "its boxes are for a picture of 10 x 10 pixels; it has 96 x 64"),
        "xml": ("<annotation>", "is no XML"),
        "empty": ("", "is no XML"),
        "entity": ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        "sides": (xml([("cell", 1, 2, 3, "x")]), "they must be four numbers"),
        "nan": (xml([("cell", 1, 2, "nan", 4)]), "they must be four numbers"),
        "nameless": (xml([("", 1, 2, 3, 4)]), "has no name"),
    }
    files: dict[str, Any] = dict(good)
    for name, (text, _) in bad.items():
        files |= {f"set/Annotations/{name}.xml": text, f"set/JPEGImages/{name}.png": shown("c")}
    files |= {"set/JPEGImages/alone.png": shown("c"), "set/Annotations/gone.xml": xml([])}
    said: list[str] = []
    report = evaluate(model(), folder(tmp_path, files), say=said.append)
    assert (report.count, report.figures["mAP@.5"]) == (3, 100)
    assert len(report.failed) == len(bad) + 1 and any("1 pictures of" in line for line in said)
    for name, (_, reason) in (bad | {"gone": ("", "there is no such picture")}).items():
        assert any(name in line and reason in line for line in report.failed), name
    with pytest.raises(InputError, match="Without --strict"):
        evaluate(model(), tmp_path, strict=True)
    listed = voc() | {"set/ImageSets/Main/val.txt": b"a\nc\nnowhere\n", "set/JPEGImages/nowhere.png": shown("c")}
    assert "there is no XML file" in evaluate(model(), folder(tmp_path / "l", listed)).failed[0]


def test_sources_that_hold_no_boxes_say_what_is_wanted(tmp_path: Path) -> None:
    picture = {"a.png": shown("a")}
    table = json.loads(coco("a"))
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "none": (picture, "holds no boxes: neither XML files"),
        "json": (picture | {"x.json": "{}"}, "holds no boxes"),
        "id": (picture | {"x.json": json.dumps(table | {"images": []})}, "lacks 'a' in a row"),
        "void": (picture | {"x.json": json.dumps(table | {"annotations": []})}, "None of the 1 pictures .* has a box"),
    }
    for name, (files, why) in cases.items():
        with pytest.raises((UsageError, InputError), match=why):
            evaluate(model(), folder(tmp_path / name, files))
    with pytest.raises(UsageError, match="is no file of boxes as COCO has them"):
        evaluate(model(), tmp_path / "json" / "x.json")


def test_the_first_of_a_source_is_the_alphabets_or_cocos(tmp_path: Path) -> None:
    table = json.loads(coco("abc"))
    table["categories"] = [{"id": 10, "name": "cell"}, {"id": 9, "name": "plate"}, {"id": 0, "name": "all"}]
    for row in table["annotations"]:
        row["category_id"] = 10 if row["category_id"] == 1 else 9
    files = {f"{name}.png": shown(name) for name in BOXES} | {"x.json": json.dumps(table)}
    assert sources.marked(folder(tmp_path / "c", files)).names == ("plate", "cell")
    assert sources.marked(folder(tmp_path / "v", voc())).names == ("cell", "plate")
