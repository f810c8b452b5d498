"""The field on the lattice against the plain sum over all pairs of pixels."""

from __future__ import annotations

import numpy as np
import pytest

from kerazoo.codecs.image import Image
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as host
from kerazoo.ops import tensorflow as graph
from kerazoo.tasks._crf import CRF, Lattice
from kerazoo.tasks.segment import Whole
from tests.tasks.stubs import Stub, again, pixels, png, text

SIDE = 24


def disc(noise=1.0):
    """Logits that half know a disc, its picture, and the disc."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:SIDE, :SIDE]
    truth = (y - 12) ** 2 + (x - 10) ** 2 < 60
    picture = np.where(truth[..., None], [200, 60, 50], [60, 120, 190]) + rng.normal(0, 6, (SIDE, SIDE, 3))
    logits = rng.normal(0, noise, (SIDE, SIDE, 3))
    logits[..., 1] += np.where(truth, 1.5, -0.5)
    logits[..., 0] += np.where(truth, -0.5, 1.5)
    logits[..., 2] -= 2.0
    return logits.astype(np.float32), np.clip(picture, 0, 255).astype(np.uint8), truth


def kernel(features):
    """All pairs of points, normalised on both sides."""
    pairs = np.exp(-((features[:, None] - features[None]) ** 2).sum(-1) / 2)
    scale = 1 / np.sqrt(pairs.sum(1))
    return pairs * scale[:, None] * scale[None]


def log_softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def plain(field, logits, picture):
    """Algorithm 1 of the paper, sum by sum, in double precision."""
    places = np.stack(np.mgrid[:SIDE, :SIDE], -1).reshape(-1, 2).astype(np.float64)
    colours = picture.reshape(-1, 3) / field.alike
    kernels = field.appearance * kernel(np.concatenate([places / field.near, colours], 1))
    kernels += field.smoothness * kernel(places / field.beside)
    unary = said = log_softmax(logits.reshape(-1, logits.shape[-1]).astype(np.float64))
    for _ in range(field.iterations):
        said = log_softmax(unary + kernels @ np.exp(said))
    return said.reshape(logits.shape)


@pytest.mark.parametrize(
    "field",
    [CRF(near=8.0, alike=20.0), CRF(), CRF(appearance=0.0), CRF(near=67.0, alike=30.0, beside=1.0, iterations=3)],
)
def test_as_the_plain_sum_over_all_pairs(field):
    logits, picture, _ = disc()
    expected, found = plain(field, logits, picture), field.refine(logits, picture)
    assert np.abs(np.exp(found) - np.exp(expected)).max() < 0.2
    assert np.abs(np.exp(found) - np.exp(expected)).mean() < 0.01
    assert np.mean(found.argmax(-1) == expected.argmax(-1)) > 0.99
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, rtol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_lattice_sums_as_all_pairs_do(size):
    """It blurs in steps, so that sums are near the Gaussian's and not equal to them."""
    rng = np.random.default_rng(size)
    # Dense points, as pixels are.
    features = rng.uniform(0, 2.5, (500, size)).astype(np.float32)
    values = rng.random((500, 2)).astype(np.float32)
    lattice = Lattice(features)
    np.testing.assert_allclose(lattice.shares.sum(1), 1, rtol=1e-5)
    assert lattice.shares.min() >= -1e-5
    expected, found = kernel(features) @ values, lattice(values)
    assert np.abs(found - expected).max() < 0.12 * np.abs(expected).max()
    assert np.abs(found - expected).mean() < 0.03 * np.abs(expected).mean()


def test_outlines_follow_the_picture():
    logits, picture, truth = disc()
    before = np.mean((logits.argmax(-1) == 1) == truth)
    after = np.mean((CRF(near=8.0, alike=20.0).refine(logits, picture).argmax(-1) == 1) == truth)
    assert before < 0.95 and after > 0.99


def test_a_class_that_nothing_speaks_for_costs_nothing_and_stays_finite():
    logits, picture, _ = disc()
    more = np.concatenate([logits, np.full_like(logits[..., :1], -50)], -1)
    found = CRF().refine(more, picture)
    assert np.isfinite(found).all() and found[..., 3].max() < -50
    np.testing.assert_allclose(found[..., :3], CRF().refine(logits, picture), atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (SIDE, SIDE), (90, 40)])
def test_as_a_step_of_the_task(size):
    logits, picture, truth = disc()
    ground = np.asarray(png_of(picture, size))
    task = Whole(Image(SIDE, SIDE), ("ground", "disc", "other")).refined()
    assert task.crf == CRF() and task.refined() is task and again(task) == task
    response = task.answer(
        Stub(host, {"network": lambda ops, image: {"logits": logits[None]}}), {"image_bytes": text(png(ground))}
    )
    mask = pixels(response["mask_bytes"][0])
    assert mask.shape == size
    if size == (SIDE, SIDE):
        np.testing.assert_array_equal(mask, task.crf.refine(logits, picture).argmax(-1))


def png_of(picture, size):
    from PIL import Image as Pillow

    return Pillow.fromarray(picture).resize(size[::-1])


def test_a_large_picture_s_field_is_computed_small(monkeypatch):
    seen = []
    monkeypatch.setattr(CRF, "refine", lambda self, logits, picture: seen.append(logits.shape) or logits)
    task = Whole(Image(8, 8), ("a", "b"), CRF(side=50))
    network = Stub(host, {"network": lambda ops, image: {"logits": image[..., :2]}})
    response = task.answer(network, {"image_bytes": text(png(np.zeros((100, 300, 3), np.uint8)))})
    assert seen == [(17, 50, 2)]
    assert pixels(response["mask_bytes"][0]).shape == (100, 300)


def test_no_graph_holds_it():
    task = Whole(Image(8, 8), ("a", "b"), CRF())
    with pytest.raises(UsageError, match="NumPy"):
        task.answer(
            Stub(graph, {"network": lambda ops, image: {"logits": image[..., :2]}}),
            {"image_bytes": text(png(np.zeros((9, 9, 3), np.uint8)))},
        )
