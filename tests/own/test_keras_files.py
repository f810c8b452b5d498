"""`.keras` files: odd ones are errors of ours, and a closing softmax or sigmoid is never applied twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerazoo import loading
from kerazoo.errors import KerazooError, UsageError
from kerazoo.own.saving import save
from tests.own import files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "net.keras"
    files.keras_model().save(path)
    return path


def _edited(whole: Path, path: Path, **members: bytes | None) -> None:
    """A copy in which members are others, or missing."""
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as copy:
        for each in source.namelist():
            data = members.get(each.partition(".")[0], source.read(each))
            if data is not None:
                copy.writestr(each, data)


def _config(whole: Path, **changed: Any) -> bytes:
    with zipfile.ZipFile(whole) as archive:
        return json.dumps(json.loads(archive.read("config.json")) | changed).encode()


def _unknown_layer(whole: Path) -> bytes:
    with zipfile.ZipFile(whole) as archive:
        return archive.read("config.json").replace(b'"Conv2D"', b'"Conv2DOfMine"')


def _encrypted(whole: Path, path: Path) -> None:
    data = bytearray(whole.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    path.write_bytes(data)


def _flipped(whole: Path, path: Path, where: float) -> None:
    data = bytearray(whole.read_bytes())
    for index in range(40):
        data[int(len(data) * where) + index] ^= 0x5A
    path.write_bytes(data)


def _h5(whole: Path, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["layer"] = np.zeros(3)


def _zip_of(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")


ODD: dict[str, Callable[[Path, Path], Any]] = {
    "half": lambda whole, path: path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2]),
    "all but the end": lambda whole, path: path.write_bytes(whole.read_bytes()[:-30]),
    "ten bytes": lambda whole, path: path.write_bytes(whole.read_bytes()[:10]),
    "empty": lambda whole, path: path.write_bytes(b""),
    "noise": lambda whole, path: path.write_bytes(np.random.default_rng(2).bytes(3000)),
    "a folder": lambda whole, path: path.mkdir(),
    "no members": lambda whole, path: _zip_of(path),
    "other members": lambda whole, path: _zip_of(path, "letter.txt"),
    "empty members": lambda whole, path: _zip_of(path, "config.json", "metadata.json", "model.weights.h5"),
    "HDF5": _h5,
    "encrypted": _encrypted,
    "no config": lambda whole, path: _edited(whole, path, config=None),
    "no weights": lambda whole, path: _edited(whole, path, model=None),
    "config that is no JSON": lambda whole, path: _edited(whole, path, config=b"{layers"),
    "config that is a list": lambda whole, path: _edited(whole, path, config=b"[1, 2]"),
    "config that is not UTF-8": lambda whole, path: _edited(whole, path, config=b"\xff\xfe\xfa"),
    "config nested deeply": lambda whole, path: _edited(whole, path, config=b"[" * 100_000 + b"]" * 100_000),
    "weights that are no HDF5": lambda whole, path: _edited(whole, path, model=b"weights" * 99),
    "an unknown class": lambda whole, path: _edited(whole, path, config=_config(whole, class_name="Mine", module="m")),
    "an unknown layer": lambda whole, path: _edited(whole, path, config=_unknown_layer(whole)),
    "another class": lambda whole, path: _edited(
        whole, path, config=_config(whole, class_name="Adam", module="keras.optimizers")
    ),
    "a huge config": lambda whole, path: _edited(whole, path, config=b" " * (80 << 20)),
    "huge weights": lambda whole, path: _edited(whole, path, model=b"\0" * (80 << 20)),
    "flipped bytes in front": lambda whole, path: _flipped(whole, path, 0.1),
    "flipped bytes in the middle": lambda whole, path: _flipped(whole, path, 0.5),
    "flipped bytes at the end": lambda whole, path: _flipped(whole, path, 0.95),
}


@pytest.mark.filterwarnings("ignore")  # Keras and zipfile say of their own what they think of such files.
@pytest.mark.parametrize("odd", ODD)
def test_odd_files_are_errors_of_ours(odd: str, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.keras"
    ODD[odd](whole, path)
    with pytest.raises(KerazooError) as raised:
        loading.load(path, "keras")
    assert str(path) in str(raised.value)
    assert len(str(raised.value).splitlines()) <= 3


def test_what_keras_does_not_read_need_not_be_right(whole: Path, tmp_path: Path) -> None:
    _edited(whole, tmp_path / "net.keras", metadata=b"none")
    assert loading.load(tmp_path / "net.keras", "keras")(files.picture("red")).top(1)[0][0] == "class_0"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.8, 0.9, 0.97, 0.995, 1.0])
def test_a_damaged_file_with_a_card_is_an_error_of_ours(part: float, whole: Path, tmp_path: Path) -> None:
    path = save(files.keras_model(), tmp_path / "net.keras", labels=files.LABELS)
    data = bytearray(path.read_bytes())
    data[min(int(len(data) * part), len(data) - 1)] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(KerazooError):
        loading.load(path, "keras")


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Lambda(lambda pixels: pixels * 2)(inputs)
    keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x))).save(tmp_path / "net.keras")
    with pytest.raises(UsageError, match="Python code .a Lambda layer., which is never run from a file"):
        loading.load(tmp_path / "net.keras", "keras")


# --- models of all sorts ----------------------------------------------------------------------------------------


def _sequential() -> Any:
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((24, 24, 3)), layers.Rescaling(1 / 255), layers.Conv2D(3, 1, use_bias=False, name="mix"),
         layers.GlobalAveragePooling2D(), layers.Softmax()]
    )  # fmt: skip
    model.get_layer("mix").set_weights([np.eye(3, dtype=np.float32)[None, None] * files.SHARPNESS])
    return model


def _nested(closing: str = "softmax") -> Any:
    import keras

    inputs = keras.Input((24, 24, 3))
    return keras.Model(inputs, files.keras_model(softmax=closing == "softmax")(inputs), name="outer")


def _operation() -> Any:
    import keras

    inner = files.keras_model()
    return keras.Model(inner.input, keras.ops.softmax(inner.output))


def _reshaped() -> Any:
    import keras

    inner = files.keras_model(softmax=True)
    return keras.Model(inner.input, keras.layers.Reshape((3,))(keras.layers.Dropout(0.5)(inner.output)))


def _by_hand() -> Any:
    """A softmax that no layer's name tells."""
    import keras

    inner = files.keras_model()
    risen = keras.ops.exp(inner.output - keras.ops.max(inner.output, axis=-1, keepdims=True))
    return keras.Model(inner.input, risen / keras.ops.sum(risen, axis=-1, keepdims=True))


def _mixed() -> Any:
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    try:
        return files.keras_model(softmax=True)
    finally:
        keras.config.set_dtype_policy("float32")


SORTS: dict[str, Callable[[], Any]] = {
    "sequential": _sequential,
    "softmax": lambda: files.keras_model(softmax=True),
    "logits": files.keras_model,
    "nested": _nested,
    "nested logits": lambda: _nested("linear"),
    "operation": _operation,
    "reshaped": _reshaped,
    "by hand": _by_hand,
    "mixed precision": _mixed,
    "odd name": lambda: files.keras_model(name="my model: 1%"),
}


@pytest.mark.parametrize("sort", SORTS)
def test_the_certain_answer_is_certain(sort: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SORTS[sort]()
    model.get_layer("mix" if sort != "nested" and sort != "nested logits" else "colours")
    for predictor in (
        loading.load(model, labels=files.LABELS),
        loading.load(save(model, tmp_path / "net.keras", labels=files.LABELS), "keras"),
    ):
        for colour in files.LABELS:
            label, score = predictor(files.picture(colour)).top(1)[0]
            assert label == colour
            assert score == pytest.approx(1.0, abs=1e-3)  # A softmax of a softmax says 57.6 %.
    plain = tmp_path / "plain.keras"
    model.save(plain)
    said: list[str] = []
    result = loading.load(plain, "keras", say=said.append)(files.picture("red"))
    assert result.top(1)[0] == ("class_0", pytest.approx(1.0, abs=1e-3))
    assert "has no card; assumed: labels class_0 to class_2" in said[0]


def _ending(units: int, activation: str | None) -> Any:
    import keras

    inner = files.keras_model()
    model = keras.Model(inner.input, keras.layers.Dense(units, activation=activation, name="head")(inner.output))
    kernel = np.zeros((3, units), np.float32)
    kernel[0] = 1 + np.arange(units) / 100  # The red channel alone counts: 12 for red pictures, 0 for others.
    model.get_layer("head").set_weights([kernel, np.full(units, -6, np.float32)])
    return model


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_unit_tells_two_classes_apart(activation: str | None, tmp_path: Path) -> None:
    path = save(_ending(1, activation), tmp_path / "net.keras", labels=("other", "red"))
    predictor = loading.load(path, "keras")
    assert predictor(files.picture("red")).top(2) == [
        ("red", pytest.approx(0.9975, abs=1e-3)), ("other", pytest.approx(0.0025, abs=1e-3))
    ]  # fmt: skip
    assert predictor(files.picture("green")).top(1)[0][0] == "other"


def test_classes_that_do_not_exclude_each_other_keep_their_own_scores(tmp_path: Path) -> None:
    path = save(_ending(3, "sigmoid"), tmp_path / "net.keras", labels=("a", "b", "c"))
    assert loading.load(path, "keras")(files.picture("red")).scores == pytest.approx([0.9975] * 3, abs=1e-3)
    from kerazoo.own.cards import card

    _ending(3, None).save(tmp_path / "logits.keras")
    made = card(tmp_path / "logits.keras", tmp_path / "m.keras", labels=("a", "b", "c"), ends="independent")
    assert loading.load(made, "keras")(files.picture("red")).scores == pytest.approx([0.9975] * 3, abs=1e-3)


def test_what_is_no_classifier_needs_its_task(tmp_path: Path) -> None:
    import keras

    one = keras.Input((24, 24, 3), name="left")
    two = keras.Input((24, 24, 3), name="right")
    both = keras.layers.Concatenate()([one, two])
    pooled = keras.layers.GlobalAveragePooling2D()(both)
    several = {
        "two outputs": keras.Model(one, [keras.layers.Flatten()(one), keras.layers.GlobalAveragePooling2D()(one)]),
        "a mapping of inputs": keras.Model({"left": one, "right": two}, pooled),
    }
    for model in several.values():
        with pytest.raises(UsageError, match="is not seen to classify pictures.*\n.*task="):
            save(model, tmp_path / "net.keras")
    assert not os.listdir(tmp_path)


def test_a_network_without_its_top_is_no_classifier(tmp_path: Path) -> None:
    """Its features are not taken for logits, however many labels there are."""
    from kerazoo.applications import LeNet5, MobileNet

    for model in (
        LeNet5(include_top=False, weights=None),
        MobileNet(include_top=False, weights=None, pooling="avg", input_shape=(32, 32, 3), alpha=0.25),
    ):
        for labels in (None, [f"feature {number}" for number in range(model.output.shape[-1])]):
            with pytest.raises(UsageError, match="without its top: it ends in features"):
                save(model, tmp_path / "headless.keras", labels=labels)
    assert not list(tmp_path.iterdir())


def test_of_pixels_is_only_spoken_where_there_are_any(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from kerazoo.applications import VAE

    save(VAE(hidden=8, latents=2), tmp_path / "noise.keras")
    assert "pixels" not in caplog.text
    save(files.keras_model(), tmp_path / "net.keras")
    assert "pixels 0..255 as they are" in caplog.text


def test_layers_of_ones_own_that_are_registered(tmp_path: Path) -> None:
    import keras

    @keras.saving.register_keras_serializable(package="tests.own")
    class Sharper(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    inner = files.keras_model()
    model = keras.Model(inner.input, Sharper()(inner.output))
    path = save(model, tmp_path / "net.keras", labels=files.LABELS)
    assert loading.load(path, "keras")(files.picture("blue")).top(1)[0] == ("blue", pytest.approx(1.0, abs=1e-3))


# --- the fast engine --------------------------------------------------------------------------------------------

SECOND = """
import json, sys
from kerazoo import cli
status = cli.run(sys.argv[1:])
print(json.dumps([status, [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras")]]))
"""


def test_the_second_answer_needs_no_tensorflow(tmp_path: Path) -> None:
    from PIL import Image

    save(files.keras_model(softmax=True), tmp_path / "net.keras", labels=files.LABELS)
    Image.fromarray(files.picture("green")).save(tmp_path / "green.png")
    env = {**os.environ, "KERAZOO_HOME": str(tmp_path / "home")}

    def ask() -> tuple[dict[str, Any], list[Any], str]:
        command = [sys.executable, "-c", SECOND, "predict", "green.png", "-m", "net.keras", "--json"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
        row, state = done.stdout.splitlines()
        return json.loads(row), json.loads(state), done.stderr

    first, state, said = ask()
    assert state[0] == 0 and "Preparing" in said
    second, state, said = ask()
    assert state == [0, []] and "Preparing" not in said
    assert first["top"][0]["label"] == second["top"][0]["label"] == "green"


@pytest.mark.slow
def test_a_model_of_keras_applications_goes_all_the_way(tmp_path: Path, kerazoo: Any) -> None:
    import keras
    from PIL import Image

    from tests.conformance.models import fill

    model = keras.applications.MobileNetV2(weights=None, classes=7, input_shape=(96, 96, 3))
    fill(model)
    model.save("net.keras")
    Path("labels.txt").write_text("\n".join(f"kind {index}" for index in range(7)))
    options = ["--labels", "labels.txt", "--size", "96", "--resize", "128", "--preprocess", "tf"]
    assert kerazoo("card", "net.keras", *options, "-o", "mine.keras")[0] == 0
    pictures = np.random.default_rng(4).integers(0, 255, (7, 110, 100, 3), np.uint8)
    Path("data").mkdir()
    expected = []
    for index, pixels in enumerate(pictures):
        Image.fromarray(pixels).resize((130, 140)).save(f"data/{index}_picture.png")
    status, out, err = kerazoo("predict", "data", "-m", "mine.keras", "--json")
    assert status == 0, err
    for index, line in enumerate(out.splitlines()):
        image = Image.open(f"data/{index}_picture.png")
        pixels = np.asarray(image.resize((128, 137), Image.Resampling.BILINEAR), np.float32)[20:116, 16:112]
        expected = np.asarray(model(pixels[None] / 127.5 - 1))[0]
        top = json.loads(line)["top"][0]
        assert top["index"] == expected.argmax() and top["score"] == pytest.approx(expected.max(), rel=0.01)
    status, out, err = kerazoo("evaluate", "mine.keras", "data", "--json")
    assert status == 0 and json.loads(out)["count"] == 7, err
    status, out, err = kerazoo(
        "export", "mine.keras", "--to", "savedmodel", "--to", "onnx", "--to", "litert", "-o", "."
    )
    assert status == 0, err
    assert [line.split("\t")[1] for line in out.splitlines()] == ["mine/1", "mine.onnx", "mine.tflite"]
