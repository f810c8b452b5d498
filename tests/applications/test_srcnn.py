from __future__ import annotations

import functools
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from kerazoo.applications import SRCNN, srcnn
from kerazoo.assets import Assets
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import UsageError
from kerazoo.evaluation import evaluate
from kerazoo.predictor import Predictor
from kerazoo.registry import Built
from tests.applications.common import DATA_ENV, needs_data


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("middle", [1, 3, 5])
def test_count_by_arithmetic(middle, channels):
    weights = 81 * channels * 64 + middle**2 * 64 * 32 + 25 * 32 * channels
    model = SRCNN((9, middle, 5), input_shape=(None, None, channels))
    assert model.count_params() == weights + 64 + 32 + channels


def test_the_authors_numbers_are_for_grey_levels():
    """For luma 16..235 in and out; here 0..1. Zeros beyond the border are other luma, so only the inside is equal."""
    random = np.random.default_rng(0)
    shapes = {"conv1_kernel": (9, 9, 1, 64), "conv1_bias": (64,), "conv2_kernel": (1, 1, 64, 32),
              "conv2_bias": (32,), "conv3_kernel": (5, 5, 32, 1), "conv3_bias": (1,)}  # fmt: skip
    theirs = {name: random.normal(0, 0.05, shape).astype("f") for name, shape in shapes.items()}
    theirs["conv1_bias"] *= 100
    plain, ours = SRCNN(), SRCNN()
    for weight in plain.weights:
        weight.assign(theirs[weight.path.replace("/", "_")])
    found = srcnn.from_numbers(None, theirs)
    for weight in ours.weights:
        weight.assign(found[weight.path])
    luma = random.integers(0, 256, (1, 20, 20, 1)).astype("f")
    found, expected = (np.asarray(each)[:, 6:-6, 6:-6] for each in (ours((luma - 16) / 219), plain(luma)))
    np.testing.assert_allclose(16 + found * 219, expected, rtol=1e-3, atol=1e-2)


def test_a_file_of_numbers_and_one_of_our_own(tmp_path):
    model = SRCNN()
    mine = {weight.path: weight.numpy() for weight in model.weights}
    np.savez(tmp_path / "mine.npz", **mine)
    again = SRCNN(weights=tmp_path / "mine.npz")
    np.testing.assert_array_equal(again.weights[0], mine["conv1/kernel"])
    np.savez(tmp_path / "theirs.npz", **{path.replace("/", "_"): value for path, value in mine.items()})
    theirs = SRCNN(weights=tmp_path / "theirs.npz")
    np.testing.assert_allclose(theirs.weights[0], mine["conv1/kernel"] * 219, rtol=1e-6)


def test_the_scale_is_the_weights():
    config = srcnn.VARIANTS["srcnn_915"].config
    assert srcnn.tasks(config, Assets())["redraw"].scale == 3
    assert srcnn.tasks(config, Assets(task={"scale": 2}))["redraw"].scale == 2


@pytest.mark.slow
def test_learns_to_sharpen():
    keras.utils.set_random_seed(0)
    y, x = np.mgrid[0:24, 0:24]
    sharp = np.stack([((x // (3 + k) + y // 4) % 2) for k in range(6)]).astype("f")[..., None]
    soft = (sharp + np.roll(sharp, 1, 1) + np.roll(sharp, 1, 2) + np.roll(sharp, -1, 1)) / 4
    model = SRCNN()
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    history = model.fit(soft, sharp, epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0] * 0.4


@needs_data
def test_the_authors_weights_reach_the_papers_figure(tmp_path):
    """36.34 dB in the paper at scale 2; 36.29 from grey levels of 8 bits with Matlab's resizing."""
    data = Path(os.environ[DATA_ENV])
    model = SRCNN(weights=data / "weights" / "srcnn_9-1-5_x2_dong2014.npz")
    several = srcnn.tasks(srcnn.VARIANTS["srcnn_915"].config, Assets(task={"scale": 2}))
    built = Built("srcnn_915:dong2014", model, several, srcnn.NORMALISE)
    task, network = several["redraw"], keras_engine.network(built)
    predictor = Predictor(built.name, task, "keras", functools.partial(task.answer, network))
    found = evaluate(predictor, data / "sr_t91_set5.tar", only="Set5/*").figures
    assert found["PSNR"] == pytest.approx(36.3, abs=0.1)
    assert found["bicubic PSNR"] == pytest.approx(33.67, abs=0.02)


def test_wrong_arguments():
    for arguments in ({"kernels": (9, 2, 5)}, {"input_shape": (3, 3)}, {"weights": "imagenet"},
                      {"input_shape": (None, None, 2)}):  # fmt: skip
        with pytest.raises(UsageError):
            SRCNN(**arguments)
