from __future__ import annotations

import keras
import numpy as np

from kerazoo.applications import singing_voice
from tests.applications.common import scatter

SMALL = singing_voice.VARIANTS["singing_voice_unet"].small


def test_count_by_arithmetic():
    filters = (16, 32, 64, 128, 256, 512)
    down = sum((25 * a + 1) * b for a, b in zip((1, *filters), filters, strict=False))
    up = sum((25 * a + 1) * b for a, b in ((512, 256), (512, 128), (256, 64), (128, 32), (64, 16), (32, 1)))
    norms = 4 * (sum(filters) + sum(filters[:-1]))
    assert down + up == 9_820_305
    assert down + up + norms == 9_826_321 == singing_voice.VARIANTS["singing_voice_unet"].params


def test_masks_share_out_what_is_heard_however_loud():
    model = scatter(singing_voice.build(SMALL))
    heard = np.random.default_rng(0).uniform(0, 1, (2, 128, 129, 1)).astype(np.float32)
    masks = np.asarray(model(heard))
    assert masks.shape == (2, 128, 129, 2)
    np.testing.assert_allclose(masks.sum(-1), 1, atol=1e-6)
    # The mean of a frame is nobody's voice.
    assert not masks[:, :, 0, 0].any() and masks[:, :, 1:, 0].all()
    np.testing.assert_allclose(np.asarray(model(heard * 300)), masks, atol=1e-4)
    assert np.isfinite(np.asarray(model(heard * 0))).all()


def test_skips_are_those_of_their_own_size():
    model = singing_voice.build(SMALL)
    for level in range(1, 6):
        skip, up = (tensor.shape[1:3] for tensor in model.get_layer(f"up{level}_concat").input)
        assert skip == up
    assert [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [
        "up1_dropout",
        "up2_dropout",
        "up3_dropout",
    ]
