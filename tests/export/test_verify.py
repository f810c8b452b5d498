"""The gate lets through what says the same, and nothing else."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kerazoo.engines import keras as keras_engine
from kerazoo.engines import open_network
from kerazoo.errors import GateError, KerazooError
from kerazoo.export import golden as golden_
from kerazoo.export import run, verify
from kerazoo.export.convert import FILES, convert
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


def check(network, golden, engine="litert", task=None):
    return verify.check(task or tiny().task, golden, network, engine, "artefact")


@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_faithful_artefacts_pass(made, engine):
    network, card = open_network(engine, made / FILES[engine])
    told = verify.check(card.task, golden_.load(made / "golden.npz"), network, engine, "artefact")
    assert set(told) == {"logits", "label", "score"}
    assert all(0 <= difference < 1e-3 for difference in told.values())


@pytest.mark.slow
def test_a_faithful_bundle_passes(made):
    run("kerazoo.export.verify", str(made / "savedmodel"), str(made / "golden.npz"))


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
    cropping = dataclasses.replace(task, image=dataclasses.replace(task.image, resize=40))
    with pytest.raises(GateError, match="score|label"):
        check(Changed(), golden, task=cropping)


def test_grey_for_colour_is_refused(golden):
    with pytest.raises(GateError):
        check(Changed(before=lambda x: np.repeat(x.mean(-1, keepdims=True), 3, -1)), golden)


@pytest.mark.parametrize("engine", ["onnx", "litert"])
def test_artefacts_of_other_weights_are_refused(made, tmp_path, engine):
    import keras

    other = keras.models.clone_model(tiny().keras)
    other.set_weights([weight * 1.1 for weight in tiny().keras.get_weights()])
    convert(dataclasses.replace(tiny(), keras=other), [engine], tmp_path)
    network, card = open_network(engine, tmp_path / FILES[engine])
    with pytest.raises(GateError, match="differs from Keras"):
        verify.check(card.task, golden_.load(made / "golden.npz"), network, engine, "artefact")


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
    golden = golden_.load(copies / "golden.npz")
    score = golden.response["score"][:, ::-1].copy()
    golden_.save(dataclasses.replace(golden, response={**golden.response, "score": score}), copies / "golden.npz")
    with pytest.raises(GateError, match="score"):
        run("kerazoo.export.verify", str(copies / "savedmodel"), str(copies / "golden.npz"))


@pytest.mark.parametrize(("expected", "got", "told"), [
    ({"text": np.array([b"a"], object)}, {"text": np.array([b"b"], object)}, 1.0),
    ({"text": np.array([b"a", b"b"], object)}, {"text": np.array([b"a", b"b"], object)}, 0.0),
    ({"score": np.array([2.0, 4.0])}, {"score": np.array([2.0, 3.0])}, 0.25),
])  # fmt: skip
def test_differences(expected, got, told):
    assert verify.compare(expected, got, "artefact") == {name: told for name in expected}


def test_equal_scores_may_change_places():
    expected = {"index": np.array([[0, 1, 2]]), "score": np.array([[0.5, 0.25, 0.25]])}
    got = {"index": np.array([[0, 2, 1]]), "score": np.array([[0.5, 0.25, 0.25]])}
    assert verify.compare(expected, got, "artefact") == {"score": 0.0}


def test_the_first_two_of_equal_score_may_change_places():
    names = np.array([b"a", b"b", b"c"], object)
    one, other = np.array([[0, 1, 2]]), np.array([[1, 0, 2]])
    expected = {"label": names[one], "index": one, "score": np.array([[0.4001, 0.4, 0.1999]])}
    got = {"label": names[other], "index": other, "score": np.array([[0.4001, 0.4, 0.1999]])}
    told = verify.compare(expected, got, "artefact")
    assert told["label"] == 0.0
    assert told["score"] < 1e-3


def test_a_first_class_that_the_other_ranking_does_not_hold_is_found():
    # Both rankings hold class 1 alike; only what each keeps to itself tells them apart.
    expected = {"index": np.array([[0, 1]]), "score": np.array([[0.9, 0.05]])}
    got = {"index": np.array([[2, 1]]), "score": np.array([[0.9, 0.05]])}
    assert verify.compare(expected, got, "artefact")["score"] > 0.9
    # At the end of the rankings, classes of like scores may come and go.
    expected = {"index": np.array([[0, 1]]), "score": np.array([[0.9, 0.0101]])}
    got = {"index": np.array([[0, 2]]), "score": np.array([[0.9, 0.0102]])}
    assert verify.compare(expected, got, "artefact")["score"] < 1e-3


def test_errors_are_ours(golden):
    class Broken(Changed):
        def __call__(self, inputs):
            return {}

    with pytest.raises(KerazooError):
        check(Broken(), golden)
