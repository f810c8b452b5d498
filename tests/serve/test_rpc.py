"""Promises 7: gRPC, asked with the official stubs of `tensorflow-serving-api`."""

from dataclasses import replace

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from kerazoo.serve.access import Access
from kerazoo.serve.rpc.listening import start as start_grpc


@pytest.fixture(scope="module")
def channel(service):
    running = start_grpc(replace(service, access=Access(reload=True)), ["localhost:0"], 4)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"localhost:{running.ports[0]}", options) as opened:
        yield opened
    running.stop(0)


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def spec(request, name="half_plus_two", signature="", version=None, label=None):
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return request


def predict_request(values=(2.0, 3.0), *filter_, **which):
    request = spec(predict_pb2.PredictRequest(output_filter=filter_), **which)
    for name, value in (values if isinstance(values, dict) else {"x": values}).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def example(**features):
    made = tf.train.Example()
    for name, value in features.items():
        made.features.feature[name].float_list.value.append(value)
    return made


def examples(request, *rows, context=None):
    if context is None:
        request.input.example_list.examples.extend(rows)
    else:
        request.input.example_list_with_context.examples.extend(rows)
        request.input.example_list_with_context.context.CopyFrom(context)
    return request


def refused(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20)
    return caught.value.code().name, caught.value.details()


@pytest.mark.parametrize("name", ["half_plus_two", "half_plus_two_tf2"])
def test_0_1_7_4_7_6_predict(stub, name):
    response = stub.Predict(predict_request(name=name), timeout=20)
    assert response.outputs["y"].float_val == [3.0, 3.5]
    assert not response.outputs["y"].tensor_content
    told = response.model_spec
    assert (told.name, told.version.value, told.signature_name) == (name, 123, "serving_default")
    assert not told.version_label


def test_0_1_any_shape(stub):
    for value, shape in (([[1.0, 2.0], [3.0, 4.0]], (2, 2)), (2.0, ()), ([], (0,))):
        request = predict_request({"x": tf.constant(value, tf.float32)})
        assert tf.make_ndarray(stub.Predict(request).outputs["y"]).shape == shape


def test_7_1_session_run_is_not_there(channel):
    call = channel.unary_unary("/tensorflow.serving.SessionService/SessionRun")
    assert refused(call, b"")[0] == "UNIMPLEMENTED"


def test_7_2_no_spec(stub):
    assert refused(stub.Predict, predict_pb2.PredictRequest()) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request = predict_request(name="")
    assert refused(stub.Predict, request) == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")


@pytest.mark.parametrize(
    ("which", "told"),
    [
        ({"name": "nobody"}, ("NOT_FOUND", "Servable not found for request: Latest(nobody)")),
        ({"version": 7}, ("NOT_FOUND", "Servable not found for request: Specific(half_plus_two, 7)")),
        ({"label": "gone"}, ("INVALID_ARGUMENT", "Unrecognized servable version label: gone")),
        ({"signature": "nope"}, ("FAILED_PRECONDITION", 'Serving signature key "nope" not found.')),
    ],
)
def test_7_3_7_5_unknown(stub, which, told):
    assert refused(stub.Predict, predict_request(**which)) == told


def test_7_7_content_and_typed_fields(stub):
    request = predict_request()
    tensor = request.inputs["x"]
    assert tensor.tensor_content
    typed = tf.make_tensor_proto([0.0])
    typed.float_val[:] = [4.0]
    typed.tensor_shape.dim[0].size = 3
    tensor.CopyFrom(typed)
    assert stub.Predict(request).outputs["y"].float_val == [4.0, 4.0, 4.0]
    tensor.tensor_content = b"123"
    tensor.float_val[:] = []
    assert refused(stub.Predict, request) == ("INVALID_ARGUMENT", "tensor parsing error: x")


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (
            {},
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            {"x": [1.0], "z": [1.0]},
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). Sent extra: {z}. "
            "Missing but required: {}.",
        ),
        (
            {"z": [1.0]},
            "Signature input alias: x(feed name: x:0) not found in request and no default value provided. Inputs "
            "expected to be in the request {z}, or default input alias set: ",
        ),
        ({"x": [1]}, "Expects arg[0] to be float but int32 is provided"),
    ],
)
def test_0_2_7_8_7_9_7_11_wrong_inputs(stub, inputs, told):
    assert refused(stub.Predict, predict_request(inputs)) == ("INVALID_ARGUMENT", told)


def test_7_10_defaults(stub):
    assert stub.Predict(predict_request({}, name="half_plus_two_tf2")).outputs["y"].float_val == [2.0]


def test_7_12_output_filter(stub):
    assert list(stub.Predict(predict_request([1.0], "y")).outputs) == ["y"]
    told = "output tensor alias not found in signature: q Outputs expected to be in the set {y}."
    assert refused(stub.Predict, predict_request([1.0], "q")) == ("INVALID_ARGUMENT", told)
    assert refused(stub.Predict, predict_request([1.0], "y", "y")) == (
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: y",
    )


def test_3_8_signatures_without_inputs_and_state(stub):
    def ask(signature, inputs=()):
        return stub.Predict(predict_request(dict(inputs), name="counter", signature=signature)).outputs["output"]

    ask("reset_counter")
    assert [ask(word).float_val[0] for word in ("get_counter", "incr_counter", "get_counter")] == [0.0, 1.0, 1.0]
    assert ask("incr_counter_by", {"delta": 3.0}).float_val == [4.0]


@pytest.mark.parametrize("name", ["half_plus_two", "half_plus_two_tf2"])
def test_5_9_7_13_classify_and_regress(stub, name):
    request = examples(spec(classification_pb2.ClassificationRequest(), name, "classify_x_to_y"), example(x=2.0))
    response = stub.Classify(request)
    assert [(c.label, c.score) for c in response.result.classifications[0].classes] == [("", 3.0)]
    assert response.model_spec.signature_name == "classify_x_to_y"
    request = spec(regression_pb2.RegressionRequest(), name, "regress_x_to_y2")
    response = stub.Regress(examples(request, example(x=2.0), example(x=4.0)))
    assert [r.value for r in response.result.regressions] == [4.0, 5.0]


def test_0_3_half_plus_three_whose_signature_is_wrong(stub):
    request = spec(regression_pb2.RegressionRequest(), "half_plus_three", "tensorflow/serving/regress")
    response = stub.Regress(examples(request, example(x=1.0), example(x=2.0)))
    assert [r.value for r in response.result.regressions] == [3.5, 4.0]


def test_5_7_context_comes_first(stub):
    request = spec(regression_pb2.RegressionRequest(), signature="regress_x_to_y")
    response = stub.Regress(examples(request, example(), example(x=4.0), context=example(x=2.0)))
    assert [r.value for r in response.result.regressions] == [3.0, 4.0]


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ("nope", "No signature was found with the name: nope"),
        ("serving_default", "No regression inputs found in SignatureDef: "),
        ("classify_x_to_y", "No regression outputs found in SignatureDef: "),
    ],
)
def test_5_9_signatures_that_cannot(stub, signature, told):
    request = examples(spec(regression_pb2.RegressionRequest(), signature=signature), example(x=1.0))
    code, text = refused(stub.Regress, request)
    assert code == "INVALID_ARGUMENT"
    assert text.startswith(told)


def test_7_13_no_examples(stub):
    request = spec(regression_pb2.RegressionRequest(), signature="regress_x_to_y")
    assert refused(stub.Regress, request) == ("INVALID_ARGUMENT", "Input is empty.")
    request.input.CopyFrom(input_pb2.Input(example_list=input_pb2.ExampleList()))
    assert refused(stub.Regress, request) == ("INVALID_ARGUMENT", "Input is empty.")


def test_5_5_7_20_the_graphs_own_error(stub):
    wrong = tf.train.Example()
    wrong.features.feature["x"].int64_list.value.append(2)
    request = examples(spec(regression_pb2.RegressionRequest(), signature="regress_x_to_y"), wrong)
    code, text = refused(stub.Regress, request)
    assert code == "INVALID_ARGUMENT"
    assert "Key: x, Index: 0.  Data types don't match. Data type: int64 but expected type: float" in text
    assert stub.Predict(predict_request()).outputs["y"].float_val == [3.0, 3.5]


def tasks(*pairs, name="half_plus_two"):
    request = inference_pb2.MultiInferenceRequest()
    for signature, method in pairs:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = name, signature
    return examples(request, example(x=2.0))


def test_7_14_several_at_once(stub):
    response = stub.MultiInference(tasks(("regress_x_to_y2", "regress"), ("classify_x_to_y", "classify")))
    first, second = response.results
    assert first.regression_result.regressions[0].value == 4.0
    assert second.classification_result.classifications[0].classes[0].score == 3.0
    assert (second.model_spec.signature_name, second.model_spec.version.value) == ("classify_x_to_y", 123)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (inference_pb2.MultiInferenceRequest(), ("INVALID_ARGUMENT", "ModelSpec has no name specified.")),
        (tasks(("a", "regress"), name=""), ("INVALID_ARGUMENT", "ModelSpec has no name specified.")),
        (
            tasks(("regress_x_to_y", "regress"), ("regress_x_to_y", "regress")),
            ("INVALID_ARGUMENT", "Duplicate evaluation of signature: regress_x_to_y"),
        ),
        (tasks(("q", "regress")), ("INVALID_ARGUMENT", "Requested signature not found in model graph: q")),
        (
            tasks(("serving_default", "predict")),
            ("UNIMPLEMENTED", "Unsupported signature method_name: tensorflow/serving/predict"),
        ),
    ],
)
def test_7_14_refused(stub, request_, told):
    assert refused(stub.MultiInference, request_) == told


def test_7_14_one_model_only(stub):
    request = tasks(("regress_x_to_y", "regress"), ("regress_x_to_y2", "regress"))
    request.tasks[1].model_spec.name = "half_plus_three"
    told = "All ModelSpecs in a MultiInferenceRequest must access the same model name."
    assert refused(stub.MultiInference, request) == ("INVALID_ARGUMENT", told)
    request.tasks[1].model_spec.name = ""
    assert refused(stub.MultiInference, request)[1] == "Found ModelSpec with an empty model name."


def test_7_15_metadata(stub):
    request = spec(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]))
    response = stub.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["x"].name == "x:0"
    told = response.model_spec
    assert (told.name, told.version.value, told.signature_name) == ("half_plus_two", 123, "")
    request.metadata_field[:] = ["else"]
    assert refused(stub.GetModelMetadata, request) == ("INVALID_ARGUMENT", "Metadata field else is not supported")
    request.metadata_field[:] = []
    assert refused(stub.GetModelMetadata, request)[1].startswith("GetModelMetadataRequest must specify at least one")


def test_7_16_status(channel):
    call = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus
    request = spec(get_model_status_pb2.GetModelStatusRequest(), "half_plus_two_2_versions", label="nobody")
    rows = call(request).model_version_status
    assert [(row.version, row.state, row.status.error_code) for row in rows] == [(124, 30, 0), (123, 30, 0)]
    request = spec(get_model_status_pb2.GetModelStatusRequest(), "half_plus_two", version=7)
    assert refused(call, request) == ("NOT_FOUND", "Could not find version 7 of model half_plus_two")


def test_7_17_long_messages_are_cut(stub):
    code, text = refused(stub.Predict, predict_request(signature="q" * 5000))
    assert (code, text[1023:]) == ("FAILED_PRECONDITION", "q...TRUNCATED")


def test_1_15_large_messages(stub):
    response = stub.Predict(predict_request({"x": tf.zeros([2 << 20])}))
    assert len(response.outputs["y"].float_val) == 2 << 20


def test_9_5_reload_wants_a_list(channel):
    from tensorflow_serving.apis import model_management_pb2

    call = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
    code, text = refused(call, model_management_pb2.ReloadConfigRequest())
    assert (code, text.startswith("ServerModelConfig type not supported")) == ("INVALID_ARGUMENT", True)


def test_garbage_is_answered(channel, stub):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refused(call, b"\xff\xff garbage")[0] == "INTERNAL"
    assert stub.Predict(predict_request()).outputs["y"].float_val == [3.0, 3.5]
