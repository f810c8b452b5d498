"""Dreams: nothing of the picture is lost, the gradient is the objective's, and what is to be active becomes so."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerazoo
from kerazoo.codecs.image import Normalise
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.registry import Built
from kerazoo.tasks import dream
from kerazoo.tasks.dream import Dream
from tests.tasks.stubs import Stub, again, both, pixels, png, scene, text

CAFFE = Normalise("bgr", mean=(100.0, 110.0, 120.0), std=(50.0, 60.0, 70.0))


def network(side: int = 24) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = x = keras.Input((side, side, 3), name="image")
    for index, maps in enumerate((4, 6), start=1):
        x = keras.layers.Conv2D(maps, 3, 2, padding="same", activation="elu", name=f"conv{index}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="predictions")(x), name="small")


def ascent(task: Dream, model: keras.Model | None = None):
    return keras_engine.network(Built("small", model or network(), {"dream": task})).part("ascent")


def nothing(ops, pixels):
    return {"gradient": pixels * 0.0, "activation": ops.full((1,), 0.0, "float32")}


@pytest.mark.parametrize("size", [(32, 35), (70, 40), (100, 150)])
def test_who_dreams_of_nothing_sees_what_was_there(size):
    """Through every octave and back, whatever the picture was moved by."""
    picture = scene(*size)
    task = Dream(("conv1",), octaves=3, steps=2)
    host, graph = both(task, {"image_bytes": text(png(picture))}, ascent=nothing)
    for answer in (host, graph):
        np.testing.assert_array_equal(pixels(answer["image_bytes"][0]), picture)
    assert again(task) == task and again(Dream(("a",), CAFFE, (2.0,))) == Dream(("a",), CAFFE, (2.0,))


def test_the_gradient_is_that_of_finite_differences():
    task = Dream(("conv1", "conv2"), CAFFE, weights=(0.5, 2.0))
    climb = ascent(task)
    # Of another size than the network's own.
    picture = np.random.default_rng(0).uniform(60, 200, (1, 14, 18, 3)).astype("f")
    gradient = climb({"pixels": picture})["gradient"]
    assert gradient.shape == picture.shape
    for place in ((0, 3, 4, 0), (0, 7, 9, 1), (0, 0, 0, 2), (0, 13, 17, 0)):
        values = []
        for step in (-2.0, 2.0):
            moved = picture.copy()
            moved[place] += step
            values.append(float(climb({"pixels": moved})["activation"][0]))
        assert gradient[place] == pytest.approx((values[1] - values[0]) / 4, rel=0.02, abs=1e-5)


def test_what_is_to_be_active_becomes_so_step_by_step():
    task = Dream(("conv2",), CAFFE, rate=1.0, jitter=0)
    climb = ascent(task)
    picture = scene(40, 50).astype("f")
    before = climb({"pixels": picture[None]})["activation"][0]
    rising = [before]
    for steps in (1, 2, 4, 8):
        moved = task._climbed(climb, picture, np.zeros((steps, 2), np.int32))
        rising.append(climb({"pixels": moved[None]})["activation"][0])
        assert moved.min() >= 0 and moved.max() <= 255
    assert np.all(np.diff(rising) > 0), rising


def test_layers_that_cannot_be_dreamt_of():
    for name, said in (("conv3", "is not there. Did you mean conv"), ("pool", "has no rows and columns")):
        with pytest.raises(UsageError, match=said):
            ascent(Dream((name,)))
    for wrong in ({"layers": ()}, {"layers": ("a",), "weights": (1.0, 2.0)}, {"layers": ("a",), "octaves": 0},
                  {"layers": ("a",), "ratio": 1.0}):  # fmt: skip
        with pytest.raises(UsageError):
            Dream(**wrong)


def test_too_large_a_picture_is_refused(monkeypatch):
    monkeypatch.setattr(dream, "MAX_PIXELS", 1_000)
    with pytest.raises(InputError, match="million pixels are dreamt of"):
        Dream(("a",)).answer(Stub(ops, {"ascent": nothing}), {"image_bytes": text(png(scene(40, 32)))})


@pytest.mark.parametrize("size", [(31, 80), (80, 1)])
def test_a_picture_that_a_network_halves_away_is_refused(size):
    with pytest.raises(InputError, match="32 x 32 pixels or more"):
        Dream(("a",)).answer(Stub(ops, {"ascent": nothing}), {"image_bytes": text(png(scene(*size)))})


def test_a_dream_is_a_file_that_answers(tmp_path):
    """As everything does that has a card, and pictures of any size."""
    from kerazoo.loading import load

    task = Dream(("conv2",), CAFFE, octaves=2, steps=2)
    path = kerazoo.save(network(), tmp_path / "dream.keras", task={"dream": task})
    picture = scene(33, 47)
    drawn = pixels(load(path, "keras")(picture).picture)
    assert drawn.shape == picture.shape and np.abs(drawn.astype(int) - picture).mean() > 0.5


@pytest.mark.slow
def test_a_dream_is_served_as_a_saved_model_and_told_apart_from_what_others_know(tmp_path):
    from kerazoo.errors import KerazooError

    task = Dream(("conv2",), CAFFE, octaves=2, steps=2)
    path = kerazoo.save(network(), tmp_path / "dream.keras", task={"dream": task})
    kerazoo.export(path, to="savedmodel", path=tmp_path / "out")
    picture = scene(33, 47)
    first = pixels(kerazoo.load(path, "keras")(picture).picture)
    (folder,) = (graph.parent for graph in (tmp_path / "out").rglob("saved_model.pb"))
    second = pixels(kerazoo.load(folder)(picture).picture)
    assert np.abs(first.astype(int) - second).mean() < 2
    for other in ("onnx", "litert"):
        with pytest.raises(KerazooError):
            kerazoo.export(path, to=other, path=tmp_path / other)


def test_any_classifier_becomes_a_dreamer_by_a_command(tmp_path, capsys):
    from kerazoo import cli

    model = tmp_path / "mine.keras"
    kerazoo.save(network(), model, labels=["a", "b", "c"], normalise=CAFFE)
    asked = ["card", str(model), "--task=dream", "--octaves=1", "--steps=1"]
    assert cli.run([*asked, "--layers=conf1", "-o", str(tmp_path / "no.keras")]) == 2
    assert "'conf1' of small is not there. Did you mean conv1" in capsys.readouterr().err
    assert not (tmp_path / "no.keras").exists()
    assert cli.run([*asked, "-o", str(tmp_path / "dream.keras")]) == 0
    assert "Dreaming of the layer conv2" in capsys.readouterr().err
    (tmp_path / "in.png").write_bytes(png(scene(32, 40)))
    answer = ["predict", str(tmp_path / "in.png"), "-m", str(tmp_path / "dream.keras"), "--engine=keras"]
    assert cli.run([*answer, "-o", str(tmp_path / "out.png")]) == 0
    drawn = pixels((tmp_path / "out.png").read_bytes())
    # One step of 1.5 grey levels, on average.
    assert drawn.shape == (32, 40, 3) and 0.5 < np.abs(drawn.astype(int) - scene(32, 40)).mean() < 2.5
