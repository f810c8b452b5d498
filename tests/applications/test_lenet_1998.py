import itertools
from pathlib import Path

import numpy as np
import pytest

import kerazoo
from kerazoo import manifest
from kerazoo.applications import LeNet5_1998, lenet_1998
from kerazoo.codecs.image import from_preprocessing
from kerazoo.errors import UsageError
from tests.applications.common import close, pictures, scatter

SEVEN = Path(__file__).parents[2] / "examples" / "seven.png"
LOGITS = {"weights": None, "classifier_activation": None}


def test_count_layer_by_layer():
    model = LeNet5_1998(weights=None)
    counts = {layer.name: layer.count_params() for layer in model.layers if layer.weights}
    assert counts == {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert model.count_params() == sum(counts.values()) == 60_000
    assert sum(np.prod(weight.shape) for weight in model.trainable_weights) == 60_000


def test_the_table_connects_as_the_paper_says():
    table = lenet_1998.TABLE
    runs = [{tuple(sorted((start + step) % 6 for step in range(length))) for start in range(6)} for length in (3, 4)]
    assert set(table[:6]) == runs[0] and set(table[6:12]) == runs[1]
    assert all(len(row) == 4 and row not in runs[1] for row in table[12:15])
    assert table[15] == tuple(range(6))
    assert len(set(table)) == 16 and sum(map(len, table)) == 60
    # Every map of S2 feeds as many maps of C3 as any other.
    assert {sum(seen in row for row in table) for seen in range(6)} == {10}


def test_the_glyphs_are_ten_bitmaps_that_differ():
    glyphs = np.array(lenet_1998.GLYPHS)
    assert glyphs.shape == (10, 12 * 7)
    assert set(glyphs.ravel()) == {-1.0, 1.0}
    assert min((a != b).sum() for a, b in itertools.combinations(glyphs, 2)) >= 15


def _papers(x, w):
    """The network written down a second time, with loops and NumPy."""

    def squash(a):
        return 1.7159 * np.tanh(2 / 3 * a)

    def seen(maps, kernel):
        rows, columns = maps.shape[0] - 4, maps.shape[1] - 4
        return sum(maps[i : i + rows, j : j + columns] * kernel[i, j] for i in range(5) for j in range(5))

    def sampled(maps, name):
        sums = maps[0::2, 0::2] + maps[0::2, 1::2] + maps[1::2, 0::2] + maps[1::2, 1::2]
        return squash(sums * w[f"{name}/coefficient"] + w[f"{name}/bias"])

    c1 = [seen(x[..., 0], w["c1/kernel"][:, :, 0, m]) + w["c1/bias"][m] for m in range(6)]
    s2 = sampled(squash(np.stack(c1, -1)), "s2")
    kernels = iter(np.moveaxis(w["c3/kernel"], -1, 0))
    c3 = [sum(seen(s2[..., s], next(kernels)) for s in row) + w["c3/bias"][m] for m, row in enumerate(lenet_1998.TABLE)]
    s4 = sampled(squash(np.stack(c3, -1)), "s4")
    c5 = squash(s4.reshape(-1) @ w["c5/kernel"].reshape(-1, 120) + w["c5/bias"])
    f6 = squash(c5 @ w["f6/kernel"] + w["f6/bias"])
    return [-((f6 - glyph) ** 2).sum() for glyph in np.array(lenet_1998.GLYPHS)]


def test_answers_are_the_papers():
    model = scatter(LeNet5_1998(**LOGITS))
    x = pictures(3, 32, 32, 1)
    weights = {weight.path: weight.numpy().astype(np.float64) for weight in model.weights}
    close(model(x), [_papers(one.astype(np.float64), weights) for one in x])


def test_initial_weights():
    model = LeNet5_1998(weights=None)
    for name, inputs in {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}.items():
        for weight in model.get_layer(name).get_weights():
            assert 0 < np.abs(weight).max() <= 2.4 / inputs
            assert weight.size < 100 or np.abs(weight).max() > 0.9 * 2.4 / inputs


def test_loss_is_equation_9():
    random = np.random.default_rng(0)
    distances, labels = random.uniform(0, 30, (6, 10)), random.integers(0, 10, 6)
    right = distances[np.arange(6), labels]
    expected = np.mean(right + np.log(np.exp(-7.0) + np.exp(-distances).sum(1)))
    assert float(lenet_1998.loss(7.0)(labels, -distances)) == pytest.approx(expected, rel=1e-5)
    # What is farther than the rubbish class no longer competes.
    near, far = (np.array([[1.0, *others]]) for others in ([100.0] * 9, [500.0] * 9))
    penalties = [float(lenet_1998.loss()(np.array([0]), -one)) for one in (near, far)]
    assert penalties[0] == pytest.approx(penalties[1], abs=1e-5)


def test_paper_and_ink():
    _, normalise = from_preprocessing(manifest.find("lenet5_1998:mnist").preprocessing)
    close(normalise(np.float32([[0], [255]])), [[-0.1], [1.175]], 1e-6)


@pytest.mark.parametrize("name", ["lenet5_1998:mnist"])
def test_reads_a_digit(name):
    top = kerazoo.load(name, "keras")(SEVEN).top(2)
    assert top[0][0] == "7" and top[0][1] > 0.9


@pytest.mark.parametrize(("pooling", "shape"), [(None, (1, 1, 1, 120)), ("avg", (1, 120)), ("max", (1, 120))])
def test_features(pooling, shape):
    assert LeNet5_1998(weights="mnist", include_top=False, pooling=pooling)(pictures(1, 32, 32, 1)).shape == shape


def test_other_sizes():
    assert LeNet5_1998(weights=None, input_shape=(37, 40, 3), classes=4)(pictures(2, 37, 40, 3)).shape == (2, 4)
    free = LeNet5_1998(weights=None, include_top=False, input_shape=(None, None, 1))
    assert free(pictures(1, 36, 44, 1)).shape == (1, 2, 4, 120)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"weights": None, "classes": 11}, "those of the 10 digits"),
        ({"weights": None, "input_shape": (None, None, 1)}, "fixed size"),
        ({"weights": None, "input_shape": (31, 32, 1)}, "at least 32"),
        ({"classes": 9}, "10 classes; 9 were asked for"),
        ({"input_shape": (32, 32, 3)}, "1 channels; 3 were asked for"),
        ({"weights": "imagenet"}, "it has mnist"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises(UsageError, match=told):
        LeNet5_1998(**arguments)
