"""Promises 4.9, 5.10, 5.11 and 11.3 on models that answer what they are told to."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kerazoo.serve.http import rest
from kerazoo.serve.http.rest import Request
from kerazoo.serve.metrics import Counter, Histogram, Metrics
from kerazoo.serve.models import inference, session
from kerazoo.serve.models.catalogue import Models, Watch
from kerazoo.serve.models.inference import Rules
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.server import one_model
from kerazoo.serve.service import Service
from kerazoo.serve.wire import protos
from kerazoo.serve.wire.status import Status


def model(outputs, inputs=("inputs",), method="tensorflow/serving/predict"):
    """A servable whose one signature gives these arrays, whatever it is asked."""
    made = protos.core("SignatureDef")(method_name=method)
    for name in inputs:
        made.inputs[name].dtype = 7
    for name in outputs:
        made.outputs[name].dtype = 1
    asked = []

    def run(signature, given, wanted):
        asked.append(list(wanted))
        return {name: np.asarray(outputs[name]) for name in wanted}

    return Servable({"s": made}, run, lambda: None, "fake"), asked


def texts(*rows):
    made = np.empty((len(rows), len(rows[0])), object)
    made[...] = rows
    return made


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"scores": np.float32([1, 2])}, "Expected Tensor shape: [batch_size num_scores] but got [2]"),
        ({"scores": np.float64([[1]])}, "Expected scores Tensor of float"),
        ({"classes": np.float32([[1]])}, "Expected classes Tensor of string"),
        ({"scores": np.float32([[1], [2]])}, "Expected scores output batch size of 1. Got: 2"),
        (
            {"scores": np.float32([[1, 2]]), "classes": texts([b"a"])},
            "Tensors class and score should match in shape. Got [1,1] vs. [1,2]",
        ),
        ({"else": np.float32([[1]])}, "No classification outputs found in SignatureDef: "),
        ({"scores": 1, "classes": 1, "more": 1}, "Expected one or two output Tensors, found 3"),
    ],
)
def test_5_10_answers_that_are_no_classes(outputs, message):
    with pytest.raises(Status) as caught:
        inference.classify(model(outputs)[0], "s", [b"example"])
    assert (caught.value.code, caught.value.message[: len(message)]) == ("INVALID_ARGUMENT", message)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"outputs": np.float32([[1, 2]])}, "Expected Tensor shape: [batch_size] or [batch_size, 1] but got [1,2]"),
        ({"outputs": np.int64([1])}, "Expected regression Tensor of float"),
        ({"outputs": np.float32([1, 2])}, "Expected regression output batch size of 1. Got: 2"),
        ({"outputs": 1, "more": 1}, "Expected one output Tensor."),
    ],
)
def test_5_10_answers_that_are_no_numbers(outputs, message):
    with pytest.raises(Status) as caught:
        inference.regress(model(outputs)[0], "s", [b"example"])
    assert (caught.value.code, caught.value.message[: len(message)]) == ("INVALID_ARGUMENT", message)


def test_5_10_labels_and_scores():
    found = inference.classify(
        model({"scores": np.float32([[0.5, 1]]), "classes": texts([b"a", b"b"])})[0], "s", [b"example"]
    )
    assert found.pairs() == [[(b"a", 0.5), (b"b", 1.0)]]
    only = inference.classify(model({"classes": texts([b"a", b"b"])})[0], "s", [b"example"])
    assert only.pairs() == [[(b"a", 0.0), (b"b", 0.0)]]


def test_5_11_the_method_check():
    servable, _ = model({"outputs": np.float32([1])})
    assert inference.regress(servable, "s", [b"example"]).tolist() == [1.0]
    with pytest.raises(Status) as caught:
        inference.regress(servable, "s", [b"example"], Rules(check_methods=True))
    assert caught.value.message == (
        "Expected regression signature method_name to be tensorflow/serving/regress. Was: tensorflow/serving/predict"
    )
    odd, _ = model({"y": np.float32([1])}, method="mine")
    assert inference.predict(odd, "s", {"inputs": np.array([b""], object)})
    with pytest.raises(Status, match="INTERNAL"):
        inference.predict(odd, "s", {"inputs": np.array([b""], object)}, rules=Rules(check_methods=True))


def test_4_9_rest_fetches_every_output(tmp_path):
    servable, asked = model({"a": np.float32([1]), "b": np.float32([2])})
    (tmp_path / "m" / "1").mkdir(parents=True)
    models = Models(lambda *_: servable, Watch(0, Retries(0)))
    models.configure([one_model("m", tmp_path / "m")])
    body = json.dumps({"signature_name": "s", "inputs": ["x"], "output_filter": ["a"]}).encode()
    response = rest.answer(Service(models), Request("POST", "/v1/models/m:predict", {}, body))
    models.close()
    assert json.loads(response.body) == {"outputs": {"a": [1.0], "b": [2.0]}}
    assert asked == [["a", "b"]]


def test_11_3_the_text_of_metrics():
    metrics = Metrics()
    metrics.requests.add('a "model"\\', "OK", by=2)
    assert metrics.text() == (
        "# TYPE :tensorflow:serving:request_count counter\n"
        ':tensorflow:serving:request_count{model_name="a \\"model\\"\\\\",status="OK"} 2\n'
    )
    histogram = Histogram("/x/y-z", ("m",), (1, 2.5))
    for value in (0.5, 2.5, 7):
        histogram.observe("a", value=value)
    assert list(histogram.lines()) == [
        ':x:y:z_bucket{m="a",le="1"} 1',
        ':x:y:z_bucket{m="a",le="2.5"} 2',
        ':x:y:z_bucket{m="a",le="+Inf"} 3',
        ':x:y:z_sum{m="a"} 10',
        ':x:y:z_count{m="a"} 3',
    ]
    assert list(Counter("plain", ()).lines()) == []
    assert len(metrics.latency.bounds) == 33
    assert metrics.latency.bounds[:2] == (10, 18)


# --- SavedModels of strangers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A SavedModel that writes a file whenever it is asked."""
    base = tmp_path_factory.mktemp("writer")

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="text")])
    def answer(text):
        with tf.control_dependencies([tf.io.write_file(str(base / "written"), text)]):
            return {"text": tf.identity(text)}

    tf.saved_model.save(tf.Module(), str(base / "1"), signatures=answer)
    return base


def test_a_graph_that_reaches_files_is_refused(writer):
    with pytest.raises(Status, match="(?s)PERMISSION_DENIED.*WriteFile.*--trust"):
        session.load(writer / "1")


@pytest.mark.parametrize(("strangers", "lines"), [("told", 1), ("trusted", 0)])
def test_it_is_opened_where_it_is_trusted_or_as_tf_serving_does(writer, caplog, strangers, lines):
    servable = session.load(writer / "1", session.SessionOptions(strangers=strangers))
    assert servable.run("serving_default", {"text": np.array(b"hello", object)}, ["text"])["text"].item() == b"hello"
    said = [record.getMessage() for record in caplog.records if record.name == "kerazoo.serve"]
    assert len(said) == lines and all("WriteFile" in line and "\n" not in line for line in said)
    servable.close()
