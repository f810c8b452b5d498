"""Real weights of a segmenter over every engine, and over REST: the same masks."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerazoo
from kerazoo import registry
from kerazoo.errors import InputError, UsageError
from kerazoo.export import prepare
from kerazoo.loading import load
from kerazoo.ops.pictures import open_image
from kerazoo.serve import server
from kerazoo.serve.models.catalogue import Watch
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.server import Options, one_model

DATA = Path(os.environ.get("KERAZOO_TEST_DATA", "/nowhere"))
ENGINES = ("litert", "onnx", "savedmodel", "keras")
NAME = "deeplab_v3_mobilenetv2_dm05:voc"
PHOTOGRAPHS = ("cat_720p", "grace_hopper", "owl")

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="KERAZOO_TEST_DATA names no folder of data"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAZOO_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("KERAZOO_MIRROR", str(DATA / "weights"))
        yield


def mask_of(result):
    return np.asarray(open_image(result.picture))


def test_the_same_masks_over_every_engine():
    masks = {
        engine: {name: mask_of(predictor(DATA / "photos" / f"{name}.jpg")) for name in PHOTOGRAPHS}
        for engine in ENGINES
        for predictor in [load(NAME, engine)]
    }
    for engine in ENGINES:
        for name, mask in masks[engine].items():
            assert np.mean(mask == masks["keras"][name]) >= 0.995, (engine, name)


def test_the_field_follows_outlines_and_needs_numpy():
    predictor = load(NAME, "litert")
    plain, refined = (each(DATA / "photos" / "cat_720p.jpg") for each in (predictor, predictor.refined()))
    same = np.mean(mask_of(plain) == mask_of(refined))
    assert 0.95 < same < 0.9999
    with pytest.raises(UsageError, match="keras, onnx or litert"):
        load(NAME, "savedmodel").refined()


def test_a_large_picture_and_one_of_one_pixel():
    predictor = load(NAME, "litert")
    with Image.open(DATA / "photos" / "cat_720p.jpg") as picture:
        large = picture.resize((6_000, 4_000))
    out = io.BytesIO()
    large.save(out, "JPEG")
    result = predictor(out.getvalue())
    assert mask_of(result).shape == (4_000, 6_000)
    assert max(zip(result.shares[1:], result.labels[1:], strict=True))[1] == "cat"
    assert Image.open(io.BytesIO(result.files()["overlay.png"])).size == (1024, 683)
    assert mask_of(predictor(np.zeros((1, 1, 3), np.uint8))).shape == (1, 1)


def test_what_is_too_large_to_decode_is_refused_with_its_size():
    out = io.BytesIO()
    Image.new("L", (12_000, 8_000)).save(out, "PNG")
    with pytest.raises(InputError, match="96000000 pixels"):
        load(NAME, "litert")(out.getvalue())


def test_the_same_masks_over_rest():
    base = prepare.bundle(registry.find(NAME), lambda line: None)
    variant = NAME.partition(":")[0]
    options = Options(models=[one_model(variant, base)], grpc=0, rest=0, watch=Watch(0, Retries(0)))
    running = server.start(options)
    try:
        remote, here = kerazoo.Client(f"http://127.0.0.1:{running.rest.port}", variant), load(NAME, "keras")
        for name in PHOTOGRAPHS:
            path = DATA / "photos" / f"{name}.jpg"
            assert np.mean(mask_of(remote(path)) == mask_of(here(path))) >= 0.995
    finally:
        running.close(1)
