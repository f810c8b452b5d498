"""A file of anybody's becomes a model by a stated card; what is stated wrongly says what was found."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerazoo import loading, seal
from kerazoo.engines import card as card_
from kerazoo.engines import open_network
from kerazoo.errors import GateError, KerazooError, UsageError, WeightsDamaged
from kerazoo.evaluation import evaluate
from kerazoo.export import golden as golden_
from kerazoo.formats import FORMATS
from kerazoo.own.cards import card, stated
from tests.own import files

UNIT = ["--scale", "1/255"]
STATED: dict[str, list[str]] = {
    "colours.keras": ["--preprocess", "none"],
    "colours.onnx": UNIT,
    "colours.tflite": ["--preprocess", "tf"],
    "colours": [*UNIT, "--size", "24"],
}


def _in_python(options: list[str]) -> dict[str, Any]:
    from kerazoo.codecs.image import Normalise

    made: dict[str, Any] = {"labels": files.LABELS}
    if "--scale" in options:
        made["normalise"] = Normalise(scale=1 / 255)
    else:
        made["normalise"] = options[1]
    return made | ({"size": 24} if "--size" in options else {})


def _tells_colours_apart(path: Path) -> None:
    predictor = loading.load(path)
    results = list(predictor([files.picture(colour) for colour in files.LABELS], batch=3))
    assert [result.top(1)[0][0] for result in results] == list(files.LABELS)
    assert all(result.top(1)[0][1] > 0.97 for result in results)


@pytest.mark.parametrize("name", STATED)
def test_every_kind_of_file_becomes_a_model(name: str, colours: Path, labels: Path, kerazoo: Any) -> None:
    status, out, err = kerazoo("card", colours / name, "--labels", labels, *STATED[name], "-o", f"mine/{name}")
    assert status == 0, err
    assert out.strip() == f"mine/{name}"
    assert "input " in err and "output " in err and "pictures stretched to 24x24" in err
    assert os.listdir("mine") == [name]
    _tells_colours_apart(Path("mine") / name)
    Path("data").mkdir()
    for index, colour in enumerate(files.LABELS):
        Image.fromarray(files.picture(colour)).save(f"data/{index}_{colour}.png")
    status, out, err = kerazoo("evaluate", f"mine/{name}", "data", "--json")
    assert status == 0 and json.loads(out)["top-1"] == 100, err
    status, out, _ = kerazoo("predict", "data", "-m", f"mine/{name}", "--json")
    assert [json.loads(line)["top"][0]["label"] for line in out.splitlines()] == list(files.LABELS)


@pytest.mark.parametrize("name", [name for name in STATED if not name.endswith(".keras")])
def test_the_golden_is_answered_by_the_file_itself(name: str, colours: Path, tmp_path: Path) -> None:
    made = card(colours / name, tmp_path / name, **_in_python(STATED[name]))
    engine = next((form.engine for form in FORMATS.values() if form.suffix == made.suffix), "savedmodel")
    network, found = open_network(engine, made)
    assert found.golden is not None
    golden = golden_.from_card(found.golden)
    answered = found.task.answer(network, golden.request)
    np.testing.assert_allclose(answered["score"], golden.response["score"], rtol=1e-5)


@pytest.mark.parametrize("name", STATED)
def test_a_damaged_copy_is_refused(name: str, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    made = card(colours / name, tmp_path / name, **_in_python(STATED[name]))
    damaged = made / "variables" / "variables.data-00000-of-00001" if made.is_dir() else made
    data = bytearray(damaged.read_bytes())
    data[len(data) // 3] ^= 1
    damaged.write_bytes(data)
    with pytest.raises((WeightsDamaged, UsageError)):
        loading.load(made)


def test_keras_opens_the_copy_of_a_keras_file_as_ever(colours: Path, tmp_path: Path) -> None:
    import keras

    made = card(colours / "colours.keras", tmp_path / "copy.keras", labels=files.LABELS, normalise="none")
    model = keras.models.load_model(made)
    pixels = np.stack([files.picture(colour, 24) for colour in files.LABELS]).astype(np.float32)
    np.testing.assert_allclose(model(pixels), np.eye(3) * files.SHARPNESS, atol=1e-4)


def test_a_card_is_stated_anew(colours: Path, tmp_path: Path) -> None:
    for name in ("colours.keras", "colours.tflite", "colours.onnx", "colours"):
        first = card(colours / name, tmp_path / f"first-{name}", **_in_python(STATED[name]))
        said = _in_python(STATED[name]) | {"labels": ("x", "y", "z")}
        if name == "colours.keras":
            assert card(first, tmp_path / "second.keras", **said).stat().st_size < 1.1 * first.stat().st_size
            continue
        second = card(first, tmp_path / f"second-{name}", **said)
        assert loading.load(second)(files.picture("green")).top(1)[0][0] == "y"


# --- shapes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"batch": 1},
        {"size": "side"},
        {"batch": "n", "softmax": True},
        {"tail": (3, 1, 1)},
        {"tail": (1, 1, 3)},
        {"batch": 1, "tail": (1, 3)},
    ],
    ids=str,
)
def test_onnx_files_of_every_shape(shapes: Mapping[str, Any], tmp_path: Path) -> None:
    file = files.onnx_model(tmp_path / "net.onnx", **shapes)
    said: list[str] = []
    made = card(file, tmp_path / "mine.onnx", say=said.append, size=24, **_in_python(UNIT))
    _tells_colours_apart(made)
    assert any(("probabilities" if "softmax" in shapes else "logits") in line for line in said)


def test_a_file_that_takes_one_row_whatever_it_says(tmp_path: Path) -> None:
    import onnx

    path = files.onnx_model(tmp_path / "net.onnx", tail=(1, 3))
    proto = onnx.load(path)
    tail = next(each for each in proto.graph.initializer if each.name == "tail")
    tail.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 3], np.int64), "tail"))
    path.write_bytes(proto.SerializeToString())
    made = card(path, tmp_path / "mine.onnx", **_in_python(UNIT))
    assert open_network("onnx", made)[1].adapter.row_by_row  # type: ignore[union-attr]
    _tells_colours_apart(made)


def test_a_picture_without_any_axis_of_channels_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="four axes are expected"):
        from onnx import TensorProto, helper

        value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("input", "output")]
        graph = helper.make_graph([helper.make_node("Identity", ["input"], ["output"])], "g", value[:1], value[1:])
        path = tmp_path / "net.onnx"
        path.write_bytes(helper.make_model(graph, ir_version=8).SerializeToString())
        card(path, tmp_path / "mine.onnx", size=24)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [None, 1])
def test_a_saved_model_becomes_every_format(batch: int | None, tmp_path: Path, kerazoo: Any) -> None:
    folder = files.hub(tmp_path / "net", batch=batch)
    made = card(folder, tmp_path / "mine", size=24, **_in_python(UNIT))
    status, out, err = kerazoo("export", made, "--to", "savedmodel", "--to", "onnx", "--to", "litert", "-o", "out")
    assert status == 0, err
    for line in out.splitlines():
        _tells_colours_apart(Path(line.split("\t")[1]))


def test_a_background_class_is_left_out(tmp_path: Path) -> None:
    file = files.onnx_model(tmp_path / "net.onnx")
    made = card(file, tmp_path / "m.onnx", **_in_python(UNIT) | {"labels": ("g", "b"), "background": "first"})
    result = loading.load(made)(files.picture("green"))
    assert result.top(2)[0][0] == "g" and len(result.labels) == 2


def test_channels_in_the_other_order(tmp_path: Path) -> None:
    file = files.onnx_model(tmp_path / "net.onnx")
    made = card(file, tmp_path / "m.onnx", **_in_python(UNIT), channels="bgr")
    assert loading.load(made)(files.picture("red")).top(1)[0][0] == "blue"


def test_quantisation_is_read_from_the_file(colours: Path, tmp_path: Path) -> None:
    made = card(colours / "colours.tflite", tmp_path / "m.tflite", labels=files.LABELS, normalise="tf")
    adapter = open_network("litert", made)[1].adapter
    assert adapter is not None
    assert adapter.inputs[0].dtype == adapter.outputs[0].dtype == "uint8"
    assert adapter.inputs[0].scale == pytest.approx(2 / 255, rel=0.01)
    result = loading.load(made)(np.full((30, 30, 3), 90, np.uint8))
    assert result.scores == pytest.approx([1 / 3] * 3, abs=0.02)


# --- statements that are wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "options", "words"),
    [
        ("colours.onnx", ["--labels", "two.txt"], "3 units and there are 2 labels; if one unit"),
        ("colours.onnx", ["--labels", "four.txt"], "3 units and there are 4 labels; 3 are expected"),
        ("colours.onnx", ["--labels", "empty.txt"], "empty.txt is empty"),
        ("colours.onnx", ["--labels", "gap.txt"], "Line 2 of gap.txt is empty"),
        ("colours.onnx", ["--labels", "latin.txt"], "latin.txt cannot be read"),
        ("colours.onnx", ["--labels", "none.txt"], "No such file of labels"),
        ("colours.onnx", ["--labels", "imagenet2k"], "Did you mean imagenet1k"),
        ("colours.onnx", ["--size", "32"], "takes pictures 24 pixels high; size 32x32"),
        ("colours.onnx", ["--size", "big"], "is no size"),
        ("colours.onnx", ["--size", "0"], "is no size in pixels"),
        ("colours.onnx", ["--ends", "probabilities"], "No probabilities were found: the output holds numbers from"),
        ("soft.onnx", ["--ends", "logits"], "a softmax is in the graph already"),
        ("colours.onnx", ["--ends", "softmax"], "allowed are logits, probabilities, independent"),
        ("colours.onnx", ["--output", "outputs"], "no output 'outputs'; it has output. Did you mean output?"),
        ("colours.onnx", ["--input", "image"], "no input 'image'; it has input"),
        ("colours.onnx", ["--signature", "x"], "no signatures to choose from"),
        ("colours.onnx", ["--channels", "gray"], "has 3 channels; gray were stated"),
        ("colours.onnx", ["--channels", "grb"], "allowed are rgb, bgr, gray"),
        ("colours.onnx", ["--layout", "nhwc"], "is not nhwc"),
        ("colours.onnx", ["--preprocess", "pytorch"], "allowed are a Normalise, tf, torch, caffe, none"),
        ("colours.onnx", ["--preprocess", "tf", "--mean", "1"], "says --mean already"),
        ("colours.onnx", ["--mean", "1,2"], "one for all channels, or three"),
        ("colours.onnx", ["--std", "0"], "cannot be 0"),
        ("colours.onnx", ["--background", "middle"], "allowed are first, last"),
        ("colours.onnx", ["--interpolation", "nearest"], "allowed are bilinear, bicubic"),
        ("colours.onnx", ["--task", "segment"], "cannot be stated in options, only classify, dream can"),
        ("colours.onnx", ["--task", "clasify"], "Did you mean classify"),
        ("colours.tflite", ["--preprocess", "none"], "pixels as stated are 0 to 255. State what"),
        ("colours", [], "pictures of any size: state the one it was trained at"),
        ("colours", ["--size", "24", "--signature", "serving"], "no signature 'serving'; it has serving_default. Did"),
        ("two", ["--size", "24"], "A classifier of pictures takes one input; this takes 2"),
        ("noise.onnx", [], "cannot be opened as an ONNX model"),
        ("noise.tflite", [], "cannot be opened as a LiteRT model"),
        ("noise.keras", [], "is no .keras file"),
        ("noise", [], "cannot be opened as a SavedModel"),
        ("labels.txt", [], "is no file of a model"),
        ("nothing.onnx", [], "No such file"),
    ],
)
def test_wrong_statements(
    file: str, options: list[str], words: str, colours: Path, labels: Path, kerazoo: Any, foreign: Path
) -> None:
    for name, text in {"two": "a\nb\n", "four": "a\nb\nc\nd", "empty": "\n \n", "gap": "a\n\nc\n"}.items():
        Path(f"{name}.txt").write_text(text, encoding="utf-8")
    Path("latin.txt").write_bytes("rouge\nvert\nbleuté\n".encode("latin-1"))
    path = next((folder / file for folder in (colours, foreign, labels.parent) if (folder / file).exists()), Path(file))
    kind = path.suffix if path.is_file() else ""
    default = [] if "--labels" in options else ["--labels", labels]
    status, out, err = kerazoo("card", path, *default, *options, "-o", f"out{kind}")
    assert status == 2, err
    assert words in " ".join(err.split()) or words in err, err
    assert len([line for line in err.splitlines() if not line.startswith(("input ", "output "))]) <= 4, err
    assert not out and not Path(f"out{kind}").exists()
    assert not list(Path().glob(".kerazoo-*"))


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    for suffix in (".onnx", ".tflite", ".keras"):
        (folder / f"noise{suffix}").write_bytes(np.random.default_rng(1).bytes(5000))
    (folder / "noise").mkdir()
    (folder / "noise" / "saved_model.pb").write_bytes(b"\xff" * 99)
    files.onnx_model(folder / "soft.onnx", softmax=True)
    files.hub(folder / "two", inputs=2)
    return folder


def test_what_exists_is_not_overwritten(colours: Path, labels: Path, kerazoo: Any) -> None:
    Path("out.onnx").write_text("mine")
    for target, words in (("out.onnx", "exists already"), ("out.tflite", "must end in .onnx")):
        status, _, err = kerazoo("card", colours / "colours.onnx", "--labels", labels, "-o", target)
        assert status == 2 and words in err
    assert Path("out.onnx").read_text() == "mine"
    status, _, err = kerazoo("card", colours / "colours", "--size", 24, "-o", colours / "colours" / "inside")
    assert status == 2 and "lies within" in err


def test_labels_of_all_scripts_and_twice_the_same(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufeffKranich\r\nKranich\r\nn01\t鹤\r\n\r\n".encode())
    file = files.onnx_model(tmp_path / "net.onnx")
    made = card(file, tmp_path / "m.onnx", **_in_python(UNIT) | {"labels": tmp_path / "labels.txt"})
    assert loading.load(made)(files.picture("blue")).labels == ("鹤", "Kranich", "Kranich")


def test_a_network_that_answers_always_the_same_is_refused(tmp_path: Path) -> None:
    import onnx

    path = files.onnx_model(tmp_path / "net.onnx")
    proto = onnx.load(path)
    for each in proto.graph.initializer:
        if each.name == "fc.weight":
            each.CopyFrom(onnx.numpy_helper.from_array(np.zeros((3, 3), np.float32), "fc.weight"))
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(GateError, match="flat"):
        card(path, tmp_path / "m.onnx", labels=files.LABELS, ends="logits")
    assert os.listdir(tmp_path) == ["net.onnx"]


def test_an_output_that_can_be_either_must_be_stated(tmp_path: Path) -> None:
    model = files.onnx_model(tmp_path / "net.onnx")
    import onnx

    proto = onnx.load(model)
    proto.graph.node[-1].op_type = "Sigmoid"
    model.write_bytes(proto.SerializeToString())
    with pytest.raises(UsageError, match="can be probabilities or logits"):
        card(model, tmp_path / "m.onnx", **_in_python(UNIT))
    made = card(model, tmp_path / "m.onnx", **_in_python(UNIT), ends="probabilities")
    scores = loading.load(made)(files.picture("red")).scores
    assert scores == pytest.approx([1, 0.5, 0.5], abs=1e-4)


def test_an_export_of_ours_has_its_card(tmp_path: Path, kerazoo: Any) -> None:
    from kerazoo.own.saving import save

    save(files.keras_model(), tmp_path / "net.keras", labels=files.LABELS)
    assert kerazoo("export", tmp_path / "net.keras", "--to", "onnx", "-o", tmp_path)[0] == 0
    with pytest.raises(UsageError, match="is an export of Kerazoo and has its card already"):
        card(tmp_path / "net.onnx", tmp_path / "again.onnx", labels=files.LABELS)


def test_onnx_and_litert_files_become_no_other_format(colours: Path, tmp_path: Path, kerazoo: Any) -> None:
    made = card(colours / "colours.onnx", tmp_path / "m.onnx", **_in_python(UNIT))
    for word in ("onnx", "litert"):
        status, _, err = kerazoo("export", made, "--to", word)
        assert status == 2 and "becomes no other format" in err


def test_tensors_in_other_files_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx

    (tmp_path / "there").mkdir()
    proto = onnx.load(files.onnx_model(tmp_path / "net.onnx"))
    onnx.save(proto, tmp_path / "there/net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    made = card(tmp_path / "there/net.onnx", tmp_path / "m.onnx", **_in_python(UNIT))
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    first = stated(tmp_path / "there/net.onnx", **_in_python(UNIT))
    data = bytearray((tmp_path / "there/w.bin").read_bytes())
    data[-1] ^= 1
    (tmp_path / "there/w.bin").write_bytes(data)
    assert stated(tmp_path / "there/net.onnx", **_in_python(UNIT)) != first
    shutil.rmtree(tmp_path / "there")
    _tells_colours_apart(made)


# --- real weights -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif("KERAZOO_TEST_DATA" not in os.environ, reason="KERAZOO_TEST_DATA names no folder of real data")
def test_mobilenet_as_its_makers_published_it(tmp_path: Path) -> None:
    data = Path(os.environ["KERAZOO_TEST_DATA"])
    said: list[str] = []
    made = card(
        data / "weights" / "mobilenet_v1_0.25_224_1_default_1.tflite", tmp_path / "mobilenet.tflite",
        labels="imagenet1k", size=224, resize=256, normalise="tf", background="first", say=said.append,
    )  # fmt: skip
    assert "the output holds probabilities" in said[-1]
    report = evaluate(loading.load(made), data / "imagenet_dev200.tar")
    assert report.count == 200 and not report.failed
    assert report.figures["top-1"] == 58.5


# --- in one call, and for servers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATED)
def test_stated_once_is_kept(name: str, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    said = _in_python(STATED[name])
    first = stated(colours / name, **said)
    before = first.stat().st_mtime_ns
    assert stated(colours / name, **said) == first and first.stat().st_mtime_ns == before
    assert stated(colours / name, **said | {"interpolation": "bicubic"}) != first
    _tells_colours_apart(first)


def test_the_same_options_for_every_command(colours: Path, labels: Path, tmp_path: Path, kerazoo: Any) -> None:
    """As a command that has --scale, --input and --output of its own takes them."""
    import click

    from kerazoo.cli._statement import statement, trust

    taken: list[Any] = []

    @click.command()
    @click.option("-o", "--output")
    @click.option("--scale")
    @statement()
    @trust
    def ask(output: str, scale: str, stated: dict[str, Any], trust: bool) -> None:
        taken.append((output, scale, stated, trust))

    ask(["-o", "here", "--scale", "ray"], standalone_mode=False)
    assert taken.pop() == ("here", "ray", {}, False)
    words = ["--labels", str(labels), "--size", "24x32", "--pixel-scale", "1/255", "--mean", ".5", "--trust"]
    ask([*words, "--output-name", "scores", "--resize", "256"], standalone_mode=False)
    output, scale, said, trusted = taken.pop()
    assert (output, scale, trusted) == (None, None, True)
    normalise = said.pop("normalise")
    assert (normalise.scale, normalise.mean, normalise.std) == (1 / 255, (0.5,), (1.0,))
    assert said == {"labels": str(labels), "size": (24, 32), "resize": 256, "output": "scores"}


@pytest.mark.slow
def test_a_keras_file_becomes_a_whole_bundle(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kerazoo.own.bundles import bundle

    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    made = card(colours / "colours.keras", tmp_path / "net.keras", **_in_python(STATED["colours.keras"]))
    version = bundle(made) / "1"
    extra = {"card.json", "engines.json", "manifest.json", "model.onnx", "model.tflite"}
    assert (version / "saved_model.pb").is_file() and set(os.listdir(version / "assets.extra" / "kerazoo")) == extra
    _tells_colours_apart(version)


@pytest.mark.parametrize("name", ["colours.onnx", "colours.tflite"])
def test_a_folder_for_the_server(name: str, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kerazoo.engines.card import FOLDER, of_folder
    from kerazoo.own.bundles import bundle

    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    made = card(colours / name, tmp_path / name, **_in_python(STATED[name]))
    version = bundle(made) / "1"
    file = f"model{made.suffix}"
    assert sorted(os.listdir(version / FOLDER)) == sorted(["card.json", "engines.json", "manifest.json", file])
    assert of_folder(version).task.labels == files.LABELS  # type: ignore[attr-defined]
    seal.check_folder(version, FOLDER)
    _tells_colours_apart(version / FOLDER / file)
    times = json.loads((version / FOLDER / "engines.json").read_text())
    assert list(times.values())[0] > 0
    made.write_bytes(b"changed in place")
    _tells_colours_apart(version / FOLDER / file)
    with pytest.raises(KerazooError):
        bundle(tmp_path / name)


def test_what_is_stated_is_exported_and_served(
    colours: Path, labels: Path, tmp_path: Path, kerazoo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(files.picture("green")).save(tmp_path / "green.png")
    said = ("--labels", labels, "--preprocess", "none")
    status, _, err = kerazoo("export", colours / "colours.keras", "--to", "onnx", "-o", tmp_path / "out", *said)
    assert status == 0, err
    status, out, _ = kerazoo("predict", "-m", tmp_path / "out" / "colours.onnx", "--json", tmp_path / "green.png")
    assert status == 0 and json.loads(out)["top"][0]["label"] == "green"

    from kerazoo.serve import server

    words = ("--labels", labels, "--pixel-scale", "1/255")
    opened: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda options: opened.append(options) or 0)
    for word, name in ((colours / "colours.onnx", "colours"), (f"mine={colours / 'colours.onnx'}", "mine")):
        status, _, err = kerazoo("serve", word, *words)
        assert status == 0, err
        (model,) = opened.pop().models
        assert model.name == name
        card = card_.of_folder(Path(model.base_path) / "1")
        assert card.task.labels == files.LABELS  # type: ignore[attr-defined]
    status, _, err = kerazoo("serve", colours / "colours.onnx", "lenet5:mnist", *words)
    assert status == 2 and "about one MODEL; there are 2" in err
