"""The Python face: kinds of items, order, isolation of bad ones, flat memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kerazoo.codecs.image import Image as Fit
from kerazoo.contract import Port, Tensors
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.predictor import Failure, Predictor
from kerazoo.tasks.classify import Classify


@dataclass(frozen=True)
class Brightness:
    """A network whose three logits are the mean of each channel."""

    ops: Any = ops

    def __call__(self, inputs: Tensors) -> Tensors:
        return {"logits": inputs["image"].mean(axis=(1, 2)) / 16}

    def part(self, name: str) -> Brightness:
        return self


TASK = Classify(Fit(8, 8), ("red", "green", "blue"))
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture
def predictor() -> Predictor:
    return Predictor("brightness", TASK, "keras", lambda request: TASK.answer(Brightness(), request))


def picture(colour: str, size: tuple[int, int] = (20, 10)) -> Image.Image:
    return Image.new("RGB", size, COLOURS[colour])


def test_every_kind_of_item(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    picture("green").save(path)
    items = [path, str(path), path.read_bytes(), picture("green"), np.asarray(picture("green")), lambda: path]
    for item in [*items, {"image_bytes": path}]:
        assert predictor(item).labels[0] == "green"


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_results_come_in_order_and_a_bad_item_costs_only_itself(predictor: Predictor, batch: int) -> None:
    names = ["red", "green", "blue", "green", "red"]
    items: list[Any] = [picture(name) for name in names]
    items[1] = b"nonsense"
    items[3] = "no/such/file.png"
    results = list(predictor(items, batch=batch))
    assert [isinstance(result, Failure) for result in results] == [False, True, False, True, False]
    assert [result.labels[0] for result in results if not isinstance(result, Failure)] == ["red", "blue", "red"]
    assert "No such file" in results[3].to_json()["error"]


def test_a_single_bad_item_raises(predictor: Predictor) -> None:
    with pytest.raises(InputError, match="Not a picture"):
        predictor(b"nonsense")


@pytest.mark.parametrize(
    "item", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros(3, np.uint8), 3.5, None, {"image": b""}]
)
def test_wrong_types_say_what_is_taken(predictor: Predictor, item: Any) -> None:
    with pytest.raises(InputError):
        predictor(item)


def test_a_batch_is_at_least_one(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match="batch=0"):
        list(predictor([picture("red")], batch=0))


@given(st.lists(st.sampled_from([*COLOURS, "bad"]), max_size=12), st.integers(1, 5))
def test_one_result_an_item_whatever_the_items(names: list[str], batch: int) -> None:
    predictor = Predictor("brightness", TASK, "keras", lambda request: TASK.answer(Brightness(), request))
    results = list(predictor([picture(name, (3, 2)) if name != "bad" else b"" for name in names], batch=batch))
    said = [result.labels[0] if not isinstance(result, Failure) else "bad" for result in results]
    assert said == names


def test_items_are_read_as_they_are_needed(predictor: Predictor) -> None:
    read = 0

    def endless() -> Iterator[Any]:
        nonlocal read
        for _ in itertools.count():
            read += 1
            yield picture("blue")

    results = predictor(endless(), batch=4)
    for _ in range(6):
        next(results)
    assert read == 8


@dataclass(frozen=True)
class Adder:
    """A task with two number ports, to hold mappings and files against."""

    kind: ClassVar[str] = "adder"
    batched: ClassVar[bool] = False
    request: tuple[Port, ...] = (Port("a", "float32", (None,)), Port("b", "int64", (None,)))

    def read(self, response: Tensors, row: int) -> Any:
        return response["sum"].tolist()


@pytest.fixture
def adder() -> Predictor:
    return Predictor("adder", Adder(), "keras", lambda request: {"sum": request["a"] + request["b"]})  # type: ignore[arg-type]


def test_ports_are_filled_from_mappings_and_files(adder: Predictor, tmp_path: Path) -> None:
    assert adder({"a": [1, 2.5], "b": [3, 4]}) == [4.0, 6.5]
    np.savez(tmp_path / "x.npz", a=np.array([1.0]), b=np.array([2]))
    assert adder(tmp_path / "x.npz") == [3.0]
    (tmp_path / "x.json").write_text('{"a": [1], "b": [5], "note": "ignored"}')
    assert adder(tmp_path / "x.json") == [6.0]


def test_files_of_ports_that_cannot_be_read(adder: Predictor, tmp_path: Path) -> None:
    np.savez(tmp_path / "pickled.npz", a=np.array([object()]), b=np.array([2]))
    (tmp_path / "half.json").write_text('{"a": [1')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "short.json").write_text('{"a": [1]}')
    (tmp_path / "float.json").write_text('{"a": [1], "b": [0.5]}')
    for name, words in (
        ("pickled.npz", "pickled.npz"),
        ("half.json", "half.json"),
        ("list.json", "keys a, b"),
        ("short.json", "No value for b"),
        ("float.json", "whole numbers"),
    ):
        with pytest.raises(InputError, match=words):
            adder(tmp_path / name)
