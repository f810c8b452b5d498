"""A bundle that holds several precisions: floats unless something else is asked for, and metrics that name it."""

import json
import shutil

import numpy as np
import pytest

from kerazoo import engines as runtimes
from kerazoo import formats, seal
from kerazoo.codecs import image as image_
from kerazoo.export import Artefact, lower
from kerazoo.export import golden as golden_
from kerazoo.serve.models import engines
from kerazoo.serve.wire.status import Status

SMALL = formats.find("litert", "int8")


@pytest.fixture
def both(exported, tmp_path):
    """The bundle of LeNet with an int8 file in it, which is said to be the quickest."""
    version = shutil.copytree(exported, tmp_path / "1")
    place = version / engines.EXTRA
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(place / formats.LITERT.file, work)
    network, card = runtimes.open_network(formats.LITERT.engine, place / formats.LITERT.file)
    goldens = {name: golden_.answer(task, network) for name, task in card.tasks.items()}
    golden_.save(goldens, work / "golden.npz")
    artefact = Artefact(formats.LITERT.name, work / formats.LITERT.file)
    made = lower.lowered(artefact, SMALL, work, lower.How("random", 0.5), lambda line: None)
    shutil.copy(made.path, place / SMALL.file)
    times = json.loads((place / engines.TIMES).read_text())
    (place / engines.TIMES).write_text(json.dumps({**times, SMALL.name: 0.0}))
    seal.seal_folder(version, engines.FOLDER)
    return version


def _asked(servable):
    value = np.empty(1, object)
    value[:] = [image_.scene(32, 32)]
    return servable.run("serving_default", {"image_bytes": value}, ["label"])["label"]


def test_floats_unless_asked(both):
    servable = engines.load(both)
    assert servable.engine in [form.engine for form in formats.FORMATS.values()]
    servable.close()
    servable = engines.load(both, precision="int8")
    assert servable.engine == "litert-int8", "what metrics and pages call it"
    assert _asked(servable).shape == (1, 10)
    servable.close()
    servable = engines.load(both, "litert", precision="int8")
    assert servable.engine == "litert-int8"
    servable.close()


@pytest.mark.parametrize(("engine", "precision", "told"), [
    ("auto", "int16x8", "has no int16x8; it has onnx, litert, litert-int8, savedmodel"),
    ("onnx", "int8", "has no onnx in int8"),
    ("auto", "int9", "Unknown precision 'int9'"),
])  # fmt: skip
def test_what_is_not_there(both, engine, precision, told):
    with pytest.raises(Status, match=told):
        engines.load(both, engine, precision=precision)


def test_damage_to_it_is_noticed_where_it_answers(both):
    place = both / engines.EXTRA / SMALL.file
    place.write_bytes(place.read_bytes()[:-3])
    with pytest.raises(Status, match="damaged"):
        engines.load(both, precision="int8")
    engines.load(both).close()
