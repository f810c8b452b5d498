"""Accuracy on labelled pictures, through the very path that `kerazoo predict` takes."""

from __future__ import annotations

import re
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.errors import InputError, UsageError
from kerazoo.predictor import Failure, Predictor

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


def labelled(data: Path) -> tuple[int, Iterator[tuple[Any, int]]]:
    """Pictures with their class indices.

    Args:
        data: An .npz with `x_test` (uint8 [n, h, w] or [n, h, w, 3]) and `y_test`; or a .tar or folder of pictures
            whose names begin with the class index (`INDEX`).

    Returns:
        How many, and an iterator of them that reads as it goes.

    Raises:
        UsageError: There is nothing of the kind at `data`.
    """
    if data.suffix == ".npz" and data.is_file():
        try:
            with np.load(data, allow_pickle=False) as archive:
                pictures, labels = archive["x_test"], archive["y_test"]
        except (KeyError, ValueError, OSError) as error:
            raise UsageError(f"{data} must hold the arrays x_test and y_test: {error}") from None
        return len(labels), zip(pictures, labels.reshape(-1).astype(int).tolist(), strict=True)
    if data.suffix == ".tar" and data.is_file():
        with tarfile.open(data) as archive:
            names = [m.name for m in archive.getmembers() if m.isfile() and INDEX.search(m.name)]
        rows = _from_tar(data, set(names))
    elif data.is_dir():
        names = sorted(str(path) for path in data.rglob("*") if INDEX.search(path.as_posix()))
        rows = ((name, _index(name)) for name in names)
    else:
        raise UsageError(f"{data} is no .npz, .tar or folder of labelled pictures.")
    if not names:
        raise UsageError(f"{data} holds no pictures named by their class index, as 0088_macaw.jpg is.")
    return len(names), rows


def _index(name: str) -> int:
    found = INDEX.search(Path(name).as_posix())
    return int(found.group(1)) if found else -1


def _from_tar(data: Path, names: set[str]) -> Iterator[tuple[Any, int]]:
    with tarfile.open(data) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name in names else None
            if file is not None:
                yield file.read(), _index(member.name)


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
        UsageError: The model is no classifier, or there are no labelled pictures.
    """
    if predictor.task.kind != "classify":
        raise UsageError(f"{predictor.name} does {predictor.task.kind}; accuracy is of classifiers.")
    count, rows = labelled(Path(data))
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
