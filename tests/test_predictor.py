"""The Python face: kinds of items, order, isolation of bad ones, flat memory."""

from __future__ import annotations

import io
import itertools
import os
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


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr",
                                  "LAB", "HSV", "I", "F", "I;16", "I;16L", "I;16B"])  # fmt: skip
def test_pillow_images_of_any_mode(predictor: Predictor, mode: str) -> None:
    deep = mode in ("I", "F") or mode.startswith("I;16")
    if deep:
        image = Image.fromarray(np.full((10, 20), 65535 if "16" in mode else 255, np.int32)).convert("I")
        image = Image.frombytes(mode, (20, 10), b"\xff" * 400) if "16" in mode else image.convert(mode)
    elif mode in ("La", "RGBa"):
        image = picture("green").convert(mode[:-1] + "A").convert(mode)
    elif mode == "LAB":
        image = Image.new("LAB", (20, 10), (128, 10, 200))
    else:
        image = picture("green").convert("L" if mode in ("LA", "PA") else "RGB").convert(mode)
    result = predictor(image)
    if mode in ("P", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"):
        assert result.labels[0] == "green"
    else:
        # Grey: no colour is more than another.
        assert max(result.scores) == pytest.approx(1 / 3)


def test_files_of_any_kind_and_the_home_folder(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("blue").save(tmp_path / "x.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert predictor("~/x.png").labels[0] == predictor(Path("~/x.png")).labels[0] == "blue"
    with (tmp_path / "x.png").open("rb") as file:
        assert predictor(file).labels[0] == "blue"
    assert predictor(io.BytesIO((tmp_path / "x.png").read_bytes())).labels[0] == "blue"
    with Image.open(tmp_path / "x.png") as lazy:
        assert predictor(lazy).labels[0] == "blue"
    with (tmp_path / "x.png").open(encoding="latin-1") as text, pytest.raises(InputError, match='"rb"'):
        predictor(text)


def test_arrays_of_a_stated_range(predictor: Predictor) -> None:
    green = np.asarray(picture("green"))
    for low, high in ((0, 1), (-1, 1), (0, 65535)):
        array = green / 255 * (high - low) + low
        for dtype in (np.float32, np.float64, np.float16 if high < 9 else np.int32):
            result = predictor(array.astype(dtype), value_range=(low, high))
            assert result == predictor(green)
    results = list(predictor([green / 255, picture("red"), green / 100, green * np.nan], value_range=(0, 1)))
    assert [isinstance(result, Failure) for result in results] == [False, False, True, True]
    assert "0 to 2.55" in str(results[2].error)
    with pytest.raises(InputError, match="value_range"):
        predictor(green / 255)
    with pytest.raises(UsageError, match="value_range"):
        predictor(green, value_range=(1, 1))


def test_a_batch_is_its_items(predictor: Predictor) -> None:
    array = np.stack([np.asarray(picture(name)) for name in COLOURS])
    assert [result.labels[0] for result in predictor(array)] == list(COLOURS)
    assert [result.labels[0] for result in predictor(array / 255, batch=2, value_range=(0, 1))] == list(COLOURS)
    assert [result.labels[0] for result in predictor([array, picture("red")])] == [*COLOURS, "red"]
    (hollow,) = predictor(array[:0])
    assert isinstance(hollow, Failure)
    (wrong,) = predictor([np.zeros((2, 2, 2, 2, 3), np.uint8)])
    assert "[2, 2, 2, 2, 3]" in str(wrong.error)


def test_folders_and_patterns_are_opened_in_order(predictor: Predictor, tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "c.jpg", "deeper/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture("red").save(tmp_path / name)
    picture("blue").save(tmp_path / "b.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "deeper" / "round").symlink_to(tmp_path)

    def said(items: Any) -> list[str]:
        return [result.labels[0] for result in predictor(items)]

    assert said(tmp_path) == said(f"{tmp_path}/") == ["red", "blue", "red"]
    assert said(f"{tmp_path}/*.png") == ["blue"]
    assert said(tmp_path / "*.[pP]*") == ["red", "blue"]
    assert said([picture("green"), tmp_path, f"{tmp_path}/b.png"]) == ["green", "red", "blue", "red", "blue"]
    assert len(said(f"{tmp_path}/**/*.png")) == 2
    assert [p.item for p in predictor.stream([tmp_path])] == [tmp_path / name for name in ("a.PNG", "b.png", "c.jpg")]
    picture("green").save(tmp_path / "[x].png")
    assert predictor(tmp_path / "[x].png").labels[0] == "green"
    (tmp_path / "hollow").mkdir()
    (hollow,) = predictor(tmp_path / "hollow")
    assert ".png" in str(hollow.error)
    with pytest.raises(InputError, match="No file matches"):
        predictor(tmp_path / "*.webp")


class Lazy:
    """An item that only shows itself when it is read, and then badly."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def read(self, count: int = -1) -> bytes:
        raise self.error


@pytest.mark.parametrize("error", [OSError(5, "unplugged"), MemoryError(), RuntimeError("lost"), KeyError("x"),
                                   RecursionError("deep")], ids=repr)  # fmt: skip
@pytest.mark.parametrize("batch", [1, 4])
def test_no_exception_of_an_item_ends_the_batch(predictor: Predictor, error: Exception, batch: int) -> None:
    def fail() -> Any:
        raise error

    results = list(predictor([picture("red"), Lazy(error), fail, picture("blue")], batch=batch))
    assert [isinstance(result, Failure) for result in results] == [False, True, True, False]
    assert type(error).__name__ in str(results[2].error)
    assert results[2].error.__cause__ is error
    with pytest.raises(InputError):
        predictor(fail)


def test_a_lazily_opened_picture_whose_file_is_gone(predictor: Predictor, tmp_path: Path) -> None:
    picture("red").save(tmp_path / "x.png")
    closed = Image.open(tmp_path / "x.png")
    closed.fp.close()  # type: ignore[union-attr]
    broken, sound = predictor([closed, picture("blue")])
    assert isinstance(broken, Failure)
    assert sound.labels[0] == "blue"


def test_an_engine_that_fails_for_one_row_answers_the_others() -> None:
    def answer(request: Tensors) -> Tensors:
        if any(b"large" in data for data in request["image_bytes"]):
            raise MemoryError
        return TASK.answer(Brightness(), request)

    predictor = Predictor("brightness", TASK, "keras", answer)
    out = io.BytesIO()
    picture("red").save(out, "PNG")
    results = list(predictor([picture("red"), out.getvalue() + b"large", picture("blue")], batch=3))
    assert [isinstance(result, Failure) for result in results] == [False, True, False]


def test_what_was_read_before_the_iterator_failed_is_answered(predictor: Predictor) -> None:
    def items() -> Iterator[Any]:
        yield picture("red")
        yield picture("blue")
        raise ZeroDivisionError

    results = predictor(items(), batch=8)
    assert [next(results).labels[0], next(results).labels[0]] == ["red", "blue"]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_pipe_without_a_writer_does_not_hang(predictor: Predictor, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    picture("red").save(tmp_path / "y.png")
    for items in (tmp_path, tmp_path / "*.png", [tmp_path / "x.png", tmp_path / "y.png"]):
        pipe, sound = predictor(items)
        assert "no regular file" in str(pipe.error)
        assert sound.labels[0] == "red"


def test_a_short_name_for_people(predictor: Predictor) -> None:
    assert repr(predictor) == "Predictor('brightness', task='classify', engine='keras')"


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
