"""The statistics of a hierarchy's decoder are readjusted for the temperature that it draws at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kerazoo.applications import nvae, vae
from kerazoo.drawing import noise
from kerazoo.errors import UsageError
from kerazoo.layers import hierarchy
from kerazoo.train.readjust import readjust

TINY = nvae.VARIANTS["nvae_mnist_small"].small


def test_statistics_are_those_of_what_is_drawn_at_the_temperature() -> None:
    model = nvae.build(TINY)
    norm = model.get_layer("group0").get_layer("group0_up_bn1")
    encoder = model.get_layer("encoder").get_layer("before1_cell1_bn1").moving_mean.numpy()
    readjust(model, 0.5, batches=2, batch=3)
    combined = model.get_layer("group0").get_layer("group0_combine")
    seen = []
    for seed in range(6):
        first = 0.5 * 1.01 * noise(TINY.noise, seed)[: 3 * 3 * 3].reshape(1, 3, 3, 3)
        start = np.broadcast_to(model.get_layer("start").maps.numpy(), (1, 3, 3, 16))
        seen.append(np.asarray(combined(np.concatenate([start, first], -1))))
    halves = [np.concatenate(part) for part in (seen[:3], seen[3:])]
    np.testing.assert_allclose(norm.moving_mean, np.mean([each.mean((0, 1, 2)) for each in halves], 0), atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, np.mean([each.var((0, 1, 2)) for each in halves], 0), rtol=1e-3)
    assert norm.momentum == 0.95
    np.testing.assert_array_equal(model.get_layer("encoder").get_layer("before1_cell1_bn1").moving_mean, encoder)


def test_what_cannot_be_readjusted() -> None:
    with pytest.raises(UsageError, match="no hierarchy"):
        readjust(vae.build(vae.VARIANTS["vae"].config), 0.5)
    model = nvae.build(replace(TINY, groups=(1,)))
    assert hierarchy.is_hierarchy(model)
    for wrong in ({"temperature": 0.0}, {"temperature": 0.5, "batch": 1}, {"temperature": 0.5, "batches": 0}):
        with pytest.raises(UsageError, match="temperature="):
            readjust(model, **wrong)
