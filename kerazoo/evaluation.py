"""Accuracy on labelled pictures, through the very path that `kerazoo predict` takes."""

from __future__ import annotations

import re
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerazoo.assets import identifiers
from kerazoo.codecs import image
from kerazoo.errors import InputError, UsageError, near
from kerazoo.predictor import Failure, Predictor
from kerazoo.printable import printable

INDEX = re.compile(r"(?:^|/)(\d+)_[^/]*\.(?:jpe?g|png)$", re.IGNORECASE)
"""A picture whose name begins with its class index and an underscore: `0088_n01818515_macaw.JPEG`."""


@dataclass(frozen=True)
class Accuracy:
    """Shares in percent of `count` pictures; `failed` of them could not be read and count as wrong."""

    top1: float
    top5: float
    count: int
    failed: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "top-1": round(self.top1, 3),
            "top-5": round(self.top5, 3),
            "count": self.count,
            "failed": self.failed,
            "seconds": round(self.seconds, 1),
        }


def labelled(data: Path, labels: Sequence[str]) -> tuple[int, Iterator[tuple[Any, int]]]:
    """Pictures with their class indices, all of which are held against the model's classes before the first is read.

    Args:
        data: An .npz with `x_test` (uint8 [n, h, w] or [n, h, w, 3]) and `y_test`; or a .tar or folder of pictures
            whose names begin with the class index (`INDEX`), or which lie in folders called as their class is.
        labels: The model's, in the order of its classes.

    Returns:
        How many, and an iterator of them that reads as it goes.

    Raises:
        UsageError: There is nothing of the kind at `data`, or a class that the model does not have.
    """
    if data.suffix == ".npz" and data.is_file():
        return _arrays(data, labels)
    if data.suffix == ".tar" and data.is_file():
        try:
            with tarfile.open(data) as archive:
                names = [member.name for member in archive.getmembers() if member.isfile()]
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UsageError(f"{data} cannot be read as a tar: {error}") from None
        truths = _classes(names, labels, data)
        return len(truths), _from_tar(data, truths)
    if not data.is_dir():
        raise UsageError(f"{data} is no .npz, .tar or folder of labelled pictures.")
    names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if not path.is_dir())
    truths = _classes(names, labels, data)
    return len(truths), ((data / name, truth) for name, truth in truths.items())


def _arrays(data: Path, labels: Sequence[str]) -> tuple[int, Iterator[tuple[Any, int]]]:
    try:
        with data.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            pictures, truths = archive["x_test"], np.asarray(archive["y_test"]).reshape(-1)
    except Exception as error:  # zipfile, zlib and NumPy each raise their own.
        raise UsageError(f"{data} must hold the arrays x_test and y_test: {error}") from None
    if pictures.ndim < 3 or not len(pictures):
        raise UsageError(f"{data} holds no pictures: x_test must be [n, h, w] or [n, h, w, 3], not {pictures.shape}.")
    if len(truths) != len(pictures):
        raise UsageError(f"{data}: y_test must hold one class index a picture; {len(truths)} for {len(pictures)}.")
    if truths.dtype.kind not in "iuf" or not np.array_equal(truths, np.rint(truths)):
        raise UsageError(f"{data}: y_test must hold class indices, whole numbers; it is {truths.dtype}.")
    for truth in (truths.min(), truths.max()):
        _within(int(truth), labels, f"{data}: y_test")
    return len(truths), zip(pictures, truths.astype(int).tolist(), strict=True)


def _within(truth: int, labels: Sequence[str], where: str) -> int:
    if not 0 <= truth < len(labels):
        raise UsageError(
            f"{where} holds the class {truth}; the model has {len(labels)}, 0 to {len(labels) - 1}: "
            f"{', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}."
        )
    return truth


def _classes(names: Iterable[str], labels: Sequence[str], data: Path) -> dict[str, int]:
    """Name -> class: of the folder that a picture lies in, where one of them is called as a class is, else its own."""
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in image.SUFFIXES]
    called = _called(labels)
    folders = {name: _plain(PurePosixPath(name).parent.name) for name in pictures}
    unknown = sorted({folder for folder in folders.values() if folder not in called})
    indexed = {name: int(found.group(1)) for name in pictures if (found := INDEX.search(name))}
    if not pictures or (not indexed and unknown == [""]):
        raise UsageError(
            f"{data} holds no pictures named by their class index, as 0088_macaw.jpg is, nor folders called as the "
            f"model's classes: {', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}."
        )
    if indexed and len(unknown) == len(set(folders.values())):
        return {name: _within(truth, labels, f"{data}: {printable(name)}") for name, truth in indexed.items()}
    for folder in unknown:
        where = f"the folder {printable(folder)!r} is" if folder else "pictures outside of the classes' folders are of"
        raise UsageError(f"{data}: {where} no class of the model.{near(folder, called)}")
    for name, folder in folders.items():
        if called[folder] is None:
            raise UsageError(f"{data}: two classes are called {folder!r}; name the picture {printable(name)} by index.")
    return {name: called[folder] for name, folder in folders.items()}  # type: ignore[misc]


def _called(labels: Sequence[str]) -> dict[str, int | None]:
    """What folders of the classes can be called -> class; `None` where two classes are called so."""
    called: dict[str, int | None] = {}
    for names in (labels, identifiers(tuple(labels))):
        for index, name in enumerate(names):
            called[_plain(name)] = None if _plain(name) in called else index
    return called


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ")


def _from_tar(data: Path, truths: Mapping[str, int]) -> Iterator[tuple[Any, int]]:
    with tarfile.open(data) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() and member.name in truths else None
            if file is not None:
                yield file.read(), truths[member.name]


def evaluate(
    predictor: Predictor,
    data: str | Path,
    *,
    batch: int = 1,
    progress: Callable[[int, int], Any] = lambda done, of: None,
) -> Accuracy:
    """Top-1 and top-5 accuracy of a classifier.

    Args:
        predictor: What `kerazoo.load` gave.
        data: See `labelled`.
        batch: Pictures a run of the network.
        progress: Is told how many are done, and of how many.

    Raises:
        UsageError: The model is no classifier, or one of other classes, or there are no labelled pictures.
    """
    if predictor.task.kind != "classify":
        raise UsageError(f"{predictor.name} does {predictor.task.kind}; accuracy is of classifiers.")
    count, rows = labelled(Path(data), predictor.task.labels)  # type: ignore[attr-defined]
    truths: list[int] = []

    def pictures() -> Iterator[Any]:
        for picture, label in rows:
            truths.append(label)
            yield picture

    start, first, among, failed = time.perf_counter(), 0, 0, 0
    for done, prediction in enumerate(predictor.stream(pictures(), batch=batch)):
        result: Any = prediction.result
        if isinstance(result, Failure):
            failed += 1
        else:
            first += result.indices[0] == truths[done]
            among += truths[done] in result.indices[:5]
        progress(done + 1, count)
    if failed == count:
        raise InputError(f"None of the {count} pictures of {data} could be read.")
    seconds = time.perf_counter() - start
    return Accuracy(100 * first / count, 100 * among / count, count, failed, seconds)
