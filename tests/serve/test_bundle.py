"""Bundles on every engine: the same answers, checked goldens, and cores that are handed out as the load asks."""

import json
import shutil
import threading

import numpy as np
import pytest

import kerazoo
from kerazoo.codecs import image as image_
from kerazoo.serve.models import cores, engines, warmup
from kerazoo.serve.models.engines import Cores
from kerazoo.serve.wire.status import Status

ENGINES = ["onnx", "litert", "savedmodel"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    kerazoo.export("lenet5:mnist", to=["savedmodel", "onnx", "litert"], path=folder)
    return folder / "lenet5" / "1"


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


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_golden_is_refused(exported, tmp_path, engine):
    copy = shutil.copytree(exported, tmp_path / "1")
    card = json.loads((copy / engines.EXTRA / "card.json").read_text())
    scores = card["goldens"]["classify"]["response"]["score"]["values"]
    card["goldens"]["classify"]["response"]["score"]["values"] = scores[::-1]
    (copy / engines.EXTRA / "card.json").write_text(json.dumps(card))
    with pytest.raises(Status, match="FAILED_PRECONDITION.*differs from Keras"):
        engines.load(copy, engine)


@pytest.mark.parametrize("file", ["model.onnx", "card.json"])
def test_a_damaged_bundle_is_refused(exported, tmp_path, file):
    copy = shutil.copytree(exported, tmp_path / "1")
    (copy / engines.EXTRA / file).write_bytes(b"damaged")
    with pytest.raises(Status):
        engines.load(copy, "onnx")


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
