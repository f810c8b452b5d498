"""A media that no code of the server knows by name: sounds over both wires, and on the page."""

import json
import urllib.request

import keras
import numpy as np
import pytest

import kerazoo
from kerazoo.codecs import audio
from kerazoo.own.bundles import bundle
from kerazoo.predictor import Predictor
from kerazoo.serve import client, server
from kerazoo.serve.models.catalogue import Watch
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.server import Options, one_model
from kerazoo.tasks.separate import Separate

pytestmark = pytest.mark.slow

RATE = 8000
TASK = Separate(("low", "high"), rate=RATE, channels=1, frame=256, hop=64, frames=16)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    inputs = keras.Input((TASK.frames, TASK.seen, TASK.channels), name="magnitude")
    layer = keras.layers.Conv2D(2, 1, activation="sigmoid", name="masks")
    model = keras.Model(inputs, layer(inputs), name="tiny")
    # The louder, the more the first stem has of it.
    layer.set_weights([np.array([[[[40.0, -40.0]]]]), np.array([-1.0, 1.0])])
    path = kerazoo.save(model, folder / "tiny.keras", task=TASK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAZOO_HOME", str(folder / "home"))
        options = Options(models=[one_model("tiny", bundle(path))], grpc=0, rest=0, watch=Watch(0, Retries(0)))
        made = server.start(options)
        yield path, made
        made.close(1)


@pytest.fixture
def item():
    time = np.arange(RATE // 2)[:, None] / RATE
    return RATE, (0.4 * np.sin(2 * np.pi * 400 * time) + 0.1 * np.sin(2 * np.pi * 2500 * time)).astype(np.float32)


def test_both_wires_answer_with_the_stems_of_this_machine(served, item):
    path, made = served
    expected = kerazoo.load(path, engine="keras")(item)
    over_rest = kerazoo.Client(f"http://127.0.0.1:{made.rest.port}", "tiny")
    answer = client._over_grpc(f"127.0.0.1:{made.rpc.ports[0]}", "tiny", TASK, None, 60.0)
    over_grpc = Predictor("tiny", TASK, "remote", answer, plain=True)
    for predictor in (over_rest, over_grpc):
        got = predictor(item)
        assert got.names == ("low", "high")
        assert audio.distance(list(expected.sounds), list(got.sounds)) < 2e-2


def test_the_page_is_told_what_to_take_and_what_comes_back(served):
    _, made = served
    with urllib.request.urlopen(f"http://127.0.0.1:{made.rest.port}/kerazoo/models", timeout=10) as response:
        (row,) = json.load(response)["models"]
    told = json.dumps(row["signatures"])
    assert '"media": "audio"' in told and audio.MIME in told
