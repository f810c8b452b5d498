"""Pictures with boxes around what is in them: PASCAL VOC's XML files, and COCO's JSON."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from kerazoo.codecs import image
from kerazoo.errors import InputError, UsageError, near
from kerazoo.printable import printable
from kerazoo.sources import files
from kerazoo.sources.files import HELD_OUT, Files, Sample, Say, silent

TRAIN = "train"
LISTED = "imagesets/main/"
"""Where VOC's lists of the pictures of each part lie: `train.txt`, `val.txt`, ..."""

ANNOTATIONS = "annotations"


@dataclass(frozen=True)
class Marked:
    """The boxes of one picture, as its annotation has them.

    Attributes:
        boxes: float64 [n, 4]: top, left, bottom and right in pixels. VOC's numbers are taken as they stand, though its
            own pictures count pixels from 1.
        names: Of the class of each.
        difficult: bool [n], boxes that need not be found and may be: VOC's word.
        crowd: bool [n], boxes around many: COCO's `iscrowd`.
        size: Height and width of the picture, where the annotation says them.
    """

    boxes: np.ndarray
    names: tuple[str, ...]
    difficult: np.ndarray
    crowd: np.ndarray
    size: tuple[int, int] | None = None

    def take(self, kept: np.ndarray) -> Marked:
        """Those whose bool is set."""
        names = tuple(name for name, keep in zip(self.names, kept, strict=True) if keep)
        return replace(
            self, boxes=self.boxes[kept], names=names, difficult=self.difficult[kept], crowd=self.crowd[kept]
        )

    def within(self, height: int, width: int) -> Marked:
        """Limited to the picture; boxes without an area in it are left out.

        Raises:
            InputError: The annotation is of a picture of another size.
        """
        if self.size is not None and self.size != (height, width):
            tall, wide = self.size
            raise InputError(f"its boxes are for a picture of {wide} x {tall} pixels; it has {width} x {height}.")
        limited = np.clip(self.boxes, 0, np.array([height, width, height, width], np.float64))
        return replace(self, boxes=limited, size=(height, width)).take(has_area(limited))


def has_area(boxes: np.ndarray) -> np.ndarray:
    """bool [n], of boxes [n, 4]."""
    return np.all(boxes[:, 2:] > boxes[:, :2], axis=-1)


def remarks(before: Sequence[Marked], after: Sequence[Marked]) -> list[str]:
    """What people should know of the boxes of pictures, as they were annotated and `within` them: a line each."""
    flat = beyond = reach = 0
    for one, other in zip(before, after, strict=True):
        limit = np.array((other.size or (0, 0)) * 2, np.float64)
        whole, limited = has_area(one.boxes), np.clip(one.boxes, 0, limit)
        inside = has_area(limited)
        flat += int(np.sum(~whole))
        beyond += int(np.sum(whole & ~inside))
        reach += int(np.sum(inside & (limited != one.boxes).any(-1)))
    empty = sum(not each.names for each in after)
    lines = {
        "{} boxes have no area and are left out.": flat,
        "{} boxes lie outside of their picture and are left out.": beyond,
        "{} boxes reach over the border of their picture and are cut there.": reach,
        f"{{}} of {len(after)} pictures have no boxes: there is nothing to be found in them.": empty,
    }
    return [line.format(count) for line, count in lines.items() if count]


@dataclass(frozen=True)
class Boxes:
    """What a source holds.

    Attributes:
        source: The folder, archive or file.
        parts: Samples of each part that it names (`train`, `val`, ...), or all under the empty name. The truth of each
            is a function that reads its `Marked`, and raises an `InputError` where it cannot.
        names: Of the classes that occur, in the order of COCO's categories, or of the alphabet.
    """

    source: Path
    parts: Mapping[str, Sequence[Sample]] = field(repr=False)
    names: tuple[str, ...]

    @property
    def held(self) -> str | None:
        """The part that is measured on, where there is another."""
        return next((part for part in HELD_OUT if part in self.parts), None) if len(self.parts) > 1 else None

    def learnt(self) -> Sequence[Sample]:
        """What is learnt from: the part `train`, or all where there are no parts.

        Raises:
            UsageError: There are parts, and it is none of them.
        """
        if TRAIN in self.parts or len(self.parts) == 1:
            return self.parts.get(TRAIN) or next(iter(self.parts.values()))
        raise UsageError(f"{self.source} has no part {TRAIN}; it has {', '.join(self.parts)}.")

    def measured(self, say: Say = silent) -> Sequence[Sample]:
        """What is measured on: the part that is held out, or all where there are no parts. Which one is said."""
        chosen = self.held
        if chosen is None:
            return next(iter(self.parts.values()))
        others = sorted(self.parts.keys() - {chosen})
        say(f"{self.source}: {chosen} is measured on; {', '.join(others)} is left out.")
        return self.parts[chosen]

    def check(self, labels: Sequence[str], whose: str) -> None:
        """Holds the names of the classes against those that are known.

        Raises:
            UsageError: One is not.
        """
        unknown = [name for name in self.names if name not in labels]
        if unknown:
            some = f"{', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}"
            raise UsageError(
                f"{self.source} has boxes of {printable(', '.join(unknown[:5]))}; {whose} has the classes {some}."
                f"{near(unknown[0], labels)}"
            )


def marked(source: Path, only: str | None = None, say: Say = silent) -> Boxes:
    """The boxes that a source holds.

    Args:
        source: A folder or .tar with an XML file for each picture, as PASCAL VOC has them: in `Annotations` beside
            `JPEGImages`, or beside the pictures, by equal names; parts are lists in `ImageSets/Main`, or folders called
            `train`, `val` and so on. Or one with COCO's JSON files, whose names or folders say the part; or such a
            file, whose pictures lie in its folder, or beside that where it is called `annotations`.
        only: A pattern of the names of pictures, see `kerazoo.sources.files.opened`.
        say: Is told of pictures without an annotation.

    Raises:
        UsageError: There is nothing of the kind.
    """
    one = source.suffix.lower() == ".json" and source.is_file()
    root = source.parent if one else source
    if one and root.name.casefold() == ANNOTATIONS:
        root = root.parent
    found = files.opened(root)
    jsons = [source.relative_to(root).as_posix()] if one else found.those([".json"])
    xmls = [] if one else found.those([".xml"])
    pictures = _Pictures(found.those(image.SUFFIXES))
    if xmls:
        parts, names = _of_voc(found, xmls, pictures, say)
    elif tables := {name: table for name in jsons if (table := _coco(found, name, strict=one)) is not None}:
        parts, names = _of_coco(found, tables, pictures)
    else:
        raise UsageError(
            f"{source} holds no boxes: neither XML files as PASCAL VOC has them, nor a JSON file with COCO's images, "
            "annotations and categories."
        )
    if only is not None:
        kept = set(files.matching([sample.name for part in parts.values() for sample in part], only, source))
        parts = {name: [sample for sample in part if sample.name in kept] for name, part in parts.items()}
        parts = {name: part for name, part in parts.items() if part}
    if not any(parts.values()):
        raise UsageError(f"{source} tells of no pictures.")
    return Boxes(source, parts, names)


class _Pictures:
    """The pictures of a source, found by the end of their path."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_stem: dict[str, list[str]] = {}
        for name in names:
            for key in {PurePosixPath(name).stem, PurePosixPath(name).name}:
                self._by_stem.setdefault(key, []).append(name)
        self.count = len({name for names in self._by_stem.values() for name in names})

    def near(self, path: str, beside: str) -> str | None:
        """The picture whose path ends so, with or without a suffix; of several that nearest to another file."""
        wanted = PurePosixPath(path).parts
        here = PurePosixPath(beside).parts
        fits = [
            name
            for name in (self._by_stem.get(wanted[-1], ()) if wanted else ())
            if len(wanted) == 1 or PurePosixPath(name).parts[-len(wanted) : -1] == wanted[:-1]
        ]

        def shared(name: str) -> int:
            pairs = zip(PurePosixPath(name).parts, here, strict=False)
            return next((at for at, (one, other) in enumerate(pairs) if one != other), 0)

        return max(fits, key=shared, default=None)


def _item(found: Files, picture: str | None, name: str) -> Callable[[], bytes]:
    if picture is not None:
        return functools.partial(found.read, picture)

    def missing() -> bytes:
        raise InputError(f"{printable(name)}: there is no such picture in {found.source}.")

    return missing


def _names(parts: Mapping[str, Sequence[Sample]]) -> set[str]:
    """Those that occur; what cannot be read is named when its turn comes."""
    occurring: set[str] = set()
    for part in parts.values():
        for sample in part:
            try:
                occurring |= set(sample.truth().names)
            except InputError:
                continue
    return occurring


# --- PASCAL VOC ---------------------------------------------------------------------------------------------------


def _of_voc(
    found: Files, xmls: Sequence[str], pictures: _Pictures, say: Say
) -> tuple[dict[str, list[Sample]], tuple[str, ...]]:
    samples = {}
    for name in xmls:
        stem = PurePosixPath(name).stem
        picture = pictures.near(stem, name)
        samples[name] = Sample(picture or name, _item(found, picture, stem), functools.partial(_voc, found, name))
    lists = {
        PurePosixPath(name).stem: name
        for name in found.those([".txt"])
        if f"/{name}".lower().endswith(tuple(f"/{LISTED}{part}.txt" for part in (TRAIN, *HELD_OUT)))
    }
    if lists:
        by_stem = {PurePosixPath(name).stem: sample for name, sample in samples.items()}
        parts = {
            part: [
                by_stem.get(stem) or Sample(stem, _item(found, pictures.near(stem, name), stem), _absent)
                for line in found.text(name).splitlines() if (stem := line.strip())
            ]
            for part, name in lists.items()
        }  # fmt: skip
    else:
        parts = _by_part(samples, lambda name: PurePosixPath(name).parts[:-1])
        alone = pictures.count - len({sample.name for sample in samples.values()} - set(xmls))
        if alone > 0:
            say(f"{alone} pictures of {found.source} have no XML file and are left out.")
    return parts, tuple(sorted(_names(parts)))


def _absent() -> Marked:
    raise InputError("there is no XML file of its boxes.")


def _voc(found: Files, name: str) -> Marked:
    data = found.read(name)
    # No entities: a small file could mean a large one.
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise InputError(f"{printable(name)} has a document type, which boxes need not.")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{printable(name)} is no XML: {error}") from None
    boxes, names, difficult = [], [], []
    for each in root.iter("object"):
        kind = (each.findtext("name") or "").strip()
        sides = [each.findtext(f"bndbox/{side}") for side in ("ymin", "xmin", "ymax", "xmax")]
        boxes.append(_box(sides, f"{printable(name)}: a box of {printable(kind) or 'no class'}"))
        if not kind:
            raise InputError(f"{printable(name)}: an object has no name.")
        names.append(kind)
        difficult.append((each.findtext("difficult") or "0").strip() == "1")
    size = [root.findtext(f"size/{side}") for side in ("height", "width")]
    return _made(boxes, names, difficult, None, size)


def _box(sides: Sequence[Any], what: str) -> list[float]:
    try:
        box = [float(side) for side in sides]
    except (TypeError, ValueError):
        box = [math.nan]
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise InputError(f"{what} has the sides {printable(str(list(sides)))[:80]}; they must be four numbers.")
    return box


def _made(
    boxes: Sequence[Sequence[float]],
    names: Sequence[str],
    difficult: Sequence[bool] | None,
    crowd: Sequence[bool] | None,
    size: Sequence[Any],
) -> Marked:
    none = [False] * len(names)
    try:
        height, width = (int(float(side)) for side in size)
    except (TypeError, ValueError, OverflowError):
        height = width = 0
    return Marked(
        np.array(boxes, np.float64).reshape(-1, 4),
        tuple(names),
        np.array(none if difficult is None else difficult, bool),
        np.array(none if crowd is None else crowd, bool),
        (height, width) if height > 0 and width > 0 else None,
    )


def _by_part(samples: Mapping[str, Sample], words: Callable[[str], Sequence[str]]) -> dict[str, list[Sample]]:
    """Samples by the part that their file's name says; all together where one says none."""
    parts: dict[str, list[Sample]] = {}
    for name, sample in samples.items():
        own = [word.lower() for word in words(name)]
        part = next((part for part in (TRAIN, *HELD_OUT) if part in own), "")
        parts.setdefault(part, []).append(sample)
    return parts if "" not in parts else {"": list(samples.values())}


# --- COCO ---------------------------------------------------------------------------------------------------------


def _coco(found: Files, name: str, strict: bool) -> Mapping[str, Any] | None:
    """A JSON file's content, where it is COCO's; of others that lie about nothing, but where it was named itself."""
    try:
        table = json.loads(found.text(name))
        fits = isinstance(table, dict) and all(
            isinstance(table.get(key), list) and all(isinstance(row, dict) for row in table[key])
            for key in ("images", "annotations", "categories")
        )
        why = "it must hold the lists images, annotations and categories"
    except (ValueError, RecursionError) as error:
        fits, why = False, str(error)
    if fits:
        return table
    if strict:
        raise UsageError(f"{found.source / name} is no file of boxes as COCO has them: {why}.")
    return None


def _of_coco(
    found: Files, tables: Mapping[str, Mapping[str, Any]], pictures: _Pictures
) -> tuple[dict[str, list[Sample]], tuple[str, ...]]:
    order: dict[str, Any] = {}
    parts: dict[str, list[Sample]] = {}
    for name, table in tables.items():
        try:
            categories = {row["id"]: str(row["name"]) for row in table["categories"]}
            ids = {row["id"]: row for row in table["images"]}
            rows: dict[Any, list[Mapping[str, Any]]] = {number: [] for number in ids}
            for row in table["annotations"]:
                rows[row["image_id"]].append(row)
        except (KeyError, TypeError) as error:
            raise UsageError(f"{found.source}: {printable(name)} lacks {error} in a row, or has no such id.") from None
        order |= {kind: number for number, kind in sorted(categories.items(), key=lambda pair: str(pair[0]).zfill(12))}
        made: dict[str, Sample] = {}
        for number, row in ids.items():
            file = str(row.get("file_name", ""))
            picture = pictures.near(file, name)
            truth = functools.partial(_of_rows, rows[number], categories, row)
            made[f"{name}/{number}"] = Sample(picture or file, _item(found, picture, file), truth)
        words = re.findall("[a-z]+", name.lower())
        part = next((part for part in (TRAIN, *HELD_OUT) if part in words), "")
        parts.setdefault(part, []).extend(made.values())
    if "" in parts and len(parts) > 1:
        parts = {"": [sample for part in parts.values() for sample in part]}
    occurring = _names(parts)
    return parts, tuple(kind for kind in order if kind in occurring)


def _of_rows(rows: Sequence[Mapping[str, Any]], categories: Mapping[Any, str], picture: Mapping[str, Any]) -> Marked:
    boxes, names = [], []
    for row in rows:
        kind = categories.get(row.get("category_id"))
        if kind is None:
            raise InputError(f"a box of it has the category {row.get('category_id')!r}, which the file does not name.")
        sides = row.get("bbox")
        left, top, width, height = _box(sides if isinstance(sides, list) else [], f"a box of {printable(kind)}")
        boxes.append([top, left, top + height, left + width])
        names.append(kind)
    crowd = [bool(row.get("iscrowd")) for row in rows]
    return _made(boxes, names, None, crowd, (picture.get("height"), picture.get("width")))
