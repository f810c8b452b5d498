"""The gate lets through what says the same, and nothing else."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kerazoo import formats
from kerazoo.codecs.image import scene
from kerazoo.contract import Port
from kerazoo.engines import keras as keras_engine
from kerazoo.engines import open_network
from kerazoo.errors import GateError, KerazooError
from kerazoo.export import golden as golden_
from kerazoo.export import run, verify
from kerazoo.export.convert import convert
from kerazoo.ops import numpy as ops
from tests.export.models import LABELS, tiny


@dataclass(frozen=True)
class Changed:
    """The tiny network, its inputs and outputs changed as an unfaithful export would."""

    before: Any = lambda image: image
    after: Any = lambda logits: logits
    ops: Any = ops

    def __call__(self, inputs):
        outputs = keras_engine.network(tiny())({"image": self.before(inputs["image"])})
        return {"logits": self.after(outputs["logits"])}

    def part(self, name):
        return self


def check(network, golden, task=None):
    return verify.check({"classify": task or tiny().task}, {"classify": golden}, network, formats.LITERT, "artefact")


NETWORKS = pytest.mark.parametrize("form", formats.NETWORKS, ids=lambda form: form.name)


@NETWORKS
def test_faithful_artefacts_pass(made, form):
    network, card = open_network(form.engine, made / form.file)
    told = verify.check(card.tasks, golden_.load(made / "golden.npz"), network, form, "artefact")
    assert set(told) == {"logits", "label", "score"}
    assert all(0 <= difference < 1e-3 for difference in told.values())


@pytest.mark.slow
def test_a_faithful_bundle_passes(made):
    run("kerazoo.export.verify", str(made / "savedmodel"), str(made / "golden.npz"), "savedmodel")


@pytest.mark.parametrize(("network", "told"), [
    (Changed(after=lambda x: np.full_like(x, np.nan)), "NaN"),
    (Changed(after=lambda x: np.where(x == x.max(), np.inf, x)), "NaN or infinity"),
    (Changed(after=np.zeros_like), "differs from Keras"),
    (Changed(after=lambda x: x[:, ::-1]), "differs from Keras"),
    (Changed(after=lambda x: x[:, :4]), "shape"),
    (Changed(after=lambda x: x * 1.01), "differs from Keras"),
    (Changed(before=lambda x: x[..., ::-1]), "differs from Keras"),
    (Changed(before=lambda x: x / 255), "differs from Keras"),
    (Changed(before=lambda x: x.transpose(0, 2, 1, 3)), "differs from Keras"),
], ids=["nan", "infinity", "zero", "order", "narrow", "scale", "bgr", "normalised twice", "turned"])  # fmt: skip
def test_an_unfaithful_network_is_refused(golden, network, told):
    with pytest.raises(GateError, match=told):
        check(network, golden)


def test_a_missing_output_is_refused(golden):
    class Renamed(Changed):
        def __call__(self, inputs):
            return {"Identity:0": super().__call__(inputs)["logits"]}

    with pytest.raises(GateError, match=r"Identity:0.*'logits' is missing"):
        check(Renamed(), golden)


def test_swapped_labels_are_refused(golden):
    first = golden.response["label"][0, 0].decode()
    others = [label for label in LABELS if label != first]
    labels = tuple(others[0] if label == first else first if label == others[0] else label for label in LABELS)
    with pytest.raises(GateError, match="label"):
        check(Changed(), golden, task=dataclasses.replace(tiny().task, labels=labels))


def test_another_resizing_is_refused(golden):
    task = tiny().task
    cropping = dataclasses.replace(task, input=dataclasses.replace(task.input, resize=40))
    with pytest.raises(GateError, match="score|label"):
        check(Changed(), golden, task=cropping)


def test_grey_for_colour_is_refused(golden):
    with pytest.raises(GateError):
        check(Changed(before=lambda x: np.repeat(x.mean(-1, keepdims=True), 3, -1)), golden)


@NETWORKS
def test_artefacts_of_other_weights_are_refused(made, tmp_path, form):
    import keras

    other = keras.models.clone_model(tiny().keras)
    other.set_weights([weight * 1.1 for weight in tiny().keras.get_weights()])
    convert(dataclasses.replace(tiny(), keras=other), [form.name], tmp_path)
    network, card = open_network(form.engine, tmp_path / form.file)
    with pytest.raises(GateError, match="differs from Keras"):
        verify.check(card.tasks, golden_.load(made / "golden.npz"), network, form, "artefact")


@pytest.mark.parametrize(("value", "told"), [(0.0, "flat"), (np.nan, "NaN")])
def test_a_reference_that_tells_nothing_is_refused(tmp_path, value, told):
    import keras

    model = keras.models.clone_model(tiny().keras)
    model.set_weights([np.full_like(weight, value) for weight in tiny().keras.get_weights()])
    with pytest.raises(GateError, match=told):
        convert(dataclasses.replace(tiny(), keras=model), ["onnx"], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_changed_bundle_is_refused(copies):
    golden = golden_.load(copies / "golden.npz")["classify"]
    score = golden.response["score"][:, ::-1].copy()
    changed = dataclasses.replace(golden, response={**golden.response, "score": score})
    golden_.save({"classify": changed}, copies / "golden.npz")
    with pytest.raises(GateError, match="score"):
        run("kerazoo.export.verify", str(copies / "savedmodel"), str(copies / "golden.npz"), "savedmodel")


@dataclass(frozen=True)
class Ports:
    """A task of which only the response is asked."""

    response: tuple[Port, ...]


def texts(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(("port", "expected", "got", "told"), [
    (Port("x", "string", (None,), "text"), texts(b"a"), texts(b"b"), 1.0),
    (Port("x", "string", (None,), "text"), texts(b"a", b"b"), texts(b"a", b"b"), 0.0),
    (Port("x", "string", (None,), "image"), texts(scene(4, 6)), texts(scene(4, 6)), 0.0),
    (Port("x", "float32", (None,)), np.array([2.0, 4.0]), np.array([2.0, 3.0]), 0.25),
])  # fmt: skip
def test_differences(port, expected, got, told):
    assert verify.compare(Ports((port,)), {"x": expected}, {"x": got}, "artefact") == {"x": told}


@pytest.mark.parametrize(("port", "expected", "got", "words"), [
    (Port("x", "string", (None,), "text"), texts(b"a"), texts(b"b", b"c"), "shape"),
    (Port("x", "string", (None,), "image"), texts(scene(4, 6)), texts(scene(4, 5)), "shape"),
    (Port("x", "string", (None,), "image"), texts(scene(4, 6)), texts(b"no picture"), "no picture"),
    (Port("x", "string", (None,), "mask"), texts(scene(4, 6)), texts(), "0 pictures"),
    (Port("x", "float32", (None,)), np.array([2.0]), np.array([np.nan]), "NaN"),
    (Port("x", "float32", (None,)), np.array([2.0]), None, "no x"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(port, expected, got, words):
    with pytest.raises(GateError, match=words):
        verify.compare(Ports((port,)), {"x": expected}, {} if got is None else {"x": got}, "artefact")


def ranked(*rows):
    """Responses with one row of (class, score), named after their numbers."""
    index = np.array([[row[0] for row in rows]])
    names = np.array([b"a", b"b", b"c"], object)
    return {"label": names[index], "index": index, "score": np.array([[row[1] for row in rows]])}


def compare(expected, got):
    return verify.compare(tiny().task, expected, got, "artefact")


def test_equal_scores_may_change_places():
    told = compare(ranked((0, 0.5), (1, 0.25), (2, 0.25)), ranked((0, 0.5), (2, 0.25), (1, 0.25)))
    assert told == {"label": 0.0, "score": 0.0}


def test_the_first_two_of_equal_score_may_change_places():
    told = compare(ranked((0, 0.4001), (1, 0.4), (2, 0.1999)), ranked((1, 0.4001), (0, 0.4), (2, 0.1999)))
    assert told["label"] == 0.0
    assert told["score"] < 1e-3


def test_a_first_class_that_the_other_ranking_does_not_hold_is_found():
    # Both rankings hold class 1 alike; only what each keeps to itself tells them apart.
    assert compare(ranked((0, 0.9), (1, 0.05)), ranked((2, 0.9), (1, 0.05)))["score"] > 0.9
    # At the end of the rankings, classes of like scores may come and go.
    assert compare(ranked((0, 0.9), (1, 0.0101)), ranked((0, 0.9), (2, 0.0102)))["score"] < 1e-3


def test_errors_are_ours(golden):
    class Broken(Changed):
        def __call__(self, inputs):
            return {}

    with pytest.raises(KerazooError):
        check(Broken(), golden)
