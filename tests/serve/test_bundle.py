"""Bundles on every engine: the same answers, checked goldens, and cores that are handed out as the load asks."""

import base64
import json
import random
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kerazoo
from kerazoo import formats, seal
from kerazoo.cli.serve import _model
from kerazoo.codecs import image as image_
from kerazoo.engines.card import into_folder, of_folder
from kerazoo.errors import UsageError
from kerazoo.serve.models import cores, engines, warmup
from kerazoo.serve.models.engines import Cores
from kerazoo.serve.wire.status import Status

ENGINES = [form.engine for form in formats.FORMATS.values()]


def picture(seed=0):
    value = np.empty(2, object)
    value[:] = [image_.scene(40, 30), image_.scene(28, 28 + seed)]
    return value


def refused(servable, signature, inputs):
    with pytest.raises(Status) as caught:
        servable.run(signature, inputs, ["label"])
    return caught.value.message


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_answers_the_same(exported, engine):
    servable = engines.load(exported, engine)
    assert servable.engine == engine
    assert {"serving_default", "network"} <= set(servable.signatures)
    expected = kerazoo.load("lenet5:mnist", engine="keras")
    found = servable.run("serving_default", {"image_bytes": picture()}, ["label", "score"])
    for row, data in enumerate(picture()):
        result = expected(data)
        assert found["label"][row, 0].decode() == result.labels[0]
        assert found["score"][row, 0] == pytest.approx(result.scores[0], rel=0.03)
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 1)).astype(np.float32)
    logits = servable.run("network", {"image": pixels}, ["logits"])["logits"]
    reference = engines.load(exported, "savedmodel").run("network", {"image": pixels}, ["logits"])["logits"]
    np.testing.assert_allclose(logits, reference, rtol=1e-3, atol=1e-3)
    servable.close()


def test_the_fastest_that_is_there(exported, tmp_path):
    times = json.loads((exported / engines.EXTRA / engines.TIMES).read_text())
    assert engines.load(exported).engine == min(times, key=times.get)
    copy = shutil.copytree(exported, tmp_path / "1")
    (copy / engines.EXTRA / "model.onnx").unlink()
    (copy / engines.EXTRA / "model.tflite").unlink()
    assert engines.load(copy).engine == "savedmodel"
    with pytest.raises(Status, match="has no onnx; it has savedmodel"):
        engines.load(copy, "onnx")


@pytest.mark.parametrize("exact", [False, True])
def test_large_pictures_are_decoded_as_far_as_needed_or_whole(exported, exact, monkeypatch):
    from kerazoo.ops import pictures

    steps = []

    def noted(*arguments):
        steps.append((picture := pictures.open_picture(*arguments)).step)
        return picture

    monkeypatch.setattr("kerazoo.ops.numpy.pictures.open_picture", noted)
    servable = engines.load(exported, "onnx", exact_pixels=exact)
    steps.clear()
    large = np.array([image_.scene(900, 1200)], object)
    servable.run("serving_default", {"image_bytes": large}, ["label", "score"])
    servable.close()
    assert [step > 1 for step in steps] == [not exact]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_golden_is_refused(exported, tmp_path, engine):
    copy = shutil.copytree(exported, tmp_path / "1")
    card = json.loads((copy / engines.EXTRA / "card.json").read_text())
    scores = card["goldens"]["classify"]["response"]["score"]["values"]
    card["goldens"]["classify"]["response"]["score"]["values"] = scores[::-1]
    (copy / engines.EXTRA / "card.json").write_text(json.dumps(card))
    seal.seal_folder(copy, engines.EXTRA)
    with pytest.raises(Status, match="FAILED_PRECONDITION.*differs from Keras"):
        engines.load(copy, engine)


@pytest.mark.parametrize(
    ("file", "engine"),
    [("model.onnx", "onnx"), ("model.tflite", "litert"), ("card.json", "onnx"), ("card.json", "litert")],
)
def test_a_damaged_bundle_is_refused(exported, tmp_path, file, engine):
    """Whatever the damage, down to a bit: a golden alone would not notice most of it."""
    copy = shutil.copytree(exported, tmp_path / "1")
    place, rng = copy / engines.EXTRA / file, random.Random(file)
    whole = place.read_bytes()
    for _ in range(40):
        damaged = bytearray(whole)
        at = rng.randrange(len(damaged))
        kind = rng.randrange(4)
        if kind == 0:
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del damaged[at:]
        elif kind == 2:
            damaged[at : at + 100] = bytes(len(damaged[at : at + 100]))
            damaged[0] ^= 1  # It may have been zeros before.
        else:
            damaged[at:at] = b"x"
        place.write_bytes(damaged)
        with pytest.raises(Status) as caught:
            engines.load(copy, engine)
        assert caught.value.code == "DATA_LOSS"


def test_what_is_not_used_may_be_damaged(exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "1")
    (copy / engines.EXTRA / "model.tflite").write_bytes(b"damaged")
    (copy / "variables" / "variables.index").write_bytes(b"damaged")
    engines.load(copy, "onnx").close()
    for engine in ("litert", "savedmodel"):
        with pytest.raises(Status, match="DATA_LOSS"):
            engines.load(copy, engine)


@pytest.mark.parametrize(
    "times",
    [
        "no json",
        "[]",
        "null",
        '{"onnx": NaN, "litert": "x"}',
        '{"onnx": []}',
        "[" * 9999,
        " " * 100_000,
        '{"onnx": -1}',
    ],
)
def test_odd_times_do_no_harm(exported, tmp_path, times):
    copy = shutil.copytree(exported, tmp_path / "1")
    (copy / engines.EXTRA / engines.TIMES).write_text(times)
    engines.load(copy).close()


def test_without_a_golden_it_is_refused(exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "1")
    card = json.loads((copy / engines.CARD).read_text())
    card["goldens"] = {}
    (copy / engines.CARD).write_text(json.dumps(card))
    seal.seal_folder(copy, engines.EXTRA)
    with pytest.raises(Status, match="FAILED_PRECONDITION.*no golden of the task classify"):
        engines.load(copy, "onnx")


@pytest.fixture(params=["model.onnx", "model.tflite"])
def two_tasks(request, exported, tmp_path):
    """A bundle without a SavedModel, whose network has two tasks."""
    extra = tmp_path / "1" / engines.EXTRA
    extra.mkdir(parents=True)
    shutil.copy(exported / engines.EXTRA / request.param, extra)
    card = of_folder(exported)
    second = replace(card.task, labels=tuple(f"digit {label}" for label in card.task.labels))
    goldens = {"classify": card.golden, "tell": json.loads(json.dumps(card.golden))}
    texts = goldens["tell"]["response"]["label"]["b64"]
    texts[:] = [base64.b64encode(b"digit " + base64.b64decode(text)).decode() for text in texts]
    into_folder(tmp_path / "1", replace(card, tasks={"classify": card.task, "tell": second}, goldens=goldens))
    seal.seal_folder(tmp_path / "1", engines.EXTRA)
    return tmp_path / "1"


def test_several_tasks_without_a_saved_model(two_tasks, exported):
    servable = engines.load(two_tasks)
    assert set(servable.signatures) == {"serving_default", "tell", "network"}
    labels = {
        key: servable.run(key, {"image_bytes": picture()}, ["label"])["label"] for key in ("serving_default", "tell")
    }
    assert (labels["tell"] == b"digit " + labels["serving_default"]).all()
    ours, theirs = servable.signatures, engines.load(exported, "onnx").signatures
    for key in ("serving_default", "network"):
        for side in ("inputs", "outputs"):
            described, expected = getattr(ours[key], side), getattr(theirs[key], side)
            assert set(described) == set(expected)
            for name, info in described.items():
                assert (info.dtype, info.tensor_shape) == (expected[name].dtype, expected[name].tensor_shape)
    servable.close()


def test_the_golden_of_every_task_is_checked(two_tasks):
    card = json.loads((two_tasks / engines.CARD).read_text())
    card["goldens"]["tell"]["response"]["label"]["b64"].reverse()
    (two_tasks / engines.CARD).write_text(json.dumps(card))
    seal.seal_folder(two_tasks, engines.EXTRA)
    with pytest.raises(Status, match="FAILED_PRECONDITION"):
        engines.load(two_tasks)


@pytest.mark.parametrize("name", ["lenet5.onnx", "lenet5.tflite", "lenet5/1", "lenet5"])
def test_files_and_folders_are_served_by_their_paths(exported, tmp_path, monkeypatch, name):
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path))
    config = _model(str(exported.parents[1] / name))
    assert config.name == "lenet5"
    engines.load(Path(config.base_path) / "1").close()
    assert _model(f"mine={exported.parents[1] / name}").name == "mine"


def test_paths_that_cannot_be_served(tmp_path):
    for word in (f"m={tmp_path / 'nothing'}", str(tmp_path)):
        with pytest.raises(UsageError):
            _model(word)


def test_what_does_not_fit_is_refused_in_words(exported):
    servable = engines.load(exported, "onnx")
    assert refused(servable, "serving_default", {"image_bytes": np.float32([1])}) == (
        "Expects arg[0] to be string but float is provided"
    )
    assert refused(servable, "serving_default", {"image_bytes": np.array(b"x", object)}) == (
        "image_bytes must be shaped [?], not []"
    )
    assert "shaped [?,32,32,1], not [1,2]" in refused(servable, "network", {"image": np.zeros((1, 2), np.float32)})
    bad = picture()
    bad[1] = b"no picture"
    with pytest.raises(Status, match="INVALID_ARGUMENT"):
        servable.run("serving_default", {"image_bytes": bad}, ["label"])
    assert len(servable.run("serving_default", {"image_bytes": picture()}, ["label"])["label"]) == 2
    servable.close()
    assert refused(servable, "serving_default", {"image_bytes": picture()}) == "The version is being unloaded."


def test_12_1_a_bundle_records_its_golden_as_warm_up(exported):
    servable = engines.load(exported, "onnx")
    assert warmup.replay(servable, exported) == 1


def test_one_bad_picture_in_a_crowd_costs_only_itself(exported):
    servable = engines.load(exported, "onnx")
    good, bad = [], []

    def ask(client):
        value = np.empty(1, object)
        value[0] = b"no picture" if client == 0 else image_.scene(30, 30)
        for _ in range(10):
            try:
                good.append(servable.run("serving_default", {"image_bytes": value}, ["label"])["label"].shape)
            except Status as error:
                bad.append(error.code)

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bad == ["INVALID_ARGUMENT"] * 10
    assert good == [(1, 10)] * 50


def test_cores_are_shared_when_requests_come_together():
    cores, alone = Cores(2), []
    with cores.taken() as first:
        with cores.taken() as second:
            waiting = threading.Thread(target=lambda: alone.append(_taken(cores)))
            waiting.start()
            waiting.join(0.1)
            assert waiting.is_alive()
        waiting.join(5)
    assert (first, second, alone) == (True, False, [False])
    assert _taken(cores)


def _taken(cores):
    with cores.taken() as alone:
        return alone


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("nonsense", 8), (None, 8)]
)
def test_a_containers_share_of_the_cores(text, expected, tmp_path, monkeypatch):
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(cores, "Path", lambda name: tmp_path / "cpu.max")
    assert cores.available() == expected
