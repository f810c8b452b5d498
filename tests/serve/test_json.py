"""Promises 3, 4 and 5: the JSON dialect, tensors in bodies, examples, and how numbers are written."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.serve.models import inference
from kerazoo.serve.wire import json_examples, json_tensors, json_text, protos
from kerazoo.serve.wire.status import Status

FLOAT, INT32, UINT8, INT8, STRING, INT64, BOOL, HALF, UINT64 = 1, 3, 4, 6, 7, 9, 10, 19, 23


def signature(**inputs):
    made = protos.core("SignatureDef")()
    for name, number in inputs.items():
        made.inputs[name].dtype = number
    return made


def read(text, **inputs):
    body = json_text.parse(text if isinstance(text, bytes) else text.encode())
    return json_tensors.inputs(body, signature(**(inputs or {"x": FLOAT})), "serving_default")[0]


def refused(function, *args, **kwargs):
    with pytest.raises(Status) as caught:
        function(*args, **kwargs)
    return caught.value.message


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(value=values, indent=st.sampled_from([None, 1]))
def test_3_2_both_readers_read_what_python_writes(value, indent):
    text = json.dumps(value, indent=indent)
    assert json_text.parse(text.encode()) == json_text._Reader(text).value() == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": 1, "a": 2}', {"a": 1}),
        (b"[1, 2] and what follows", [1, 2]),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"[Inf, -Inf, Infinity, -Infinity]", [math.inf, -math.inf, math.inf, -math.inf]),
        (b'"\xff"', "\udcff"),
        (b'"\\ud83d\\ude00\\/"', "😀/"),
        (b"9007199254740993", 9007199254740993),
        (b" 1e2", 100.0),
        (b"[" + b"1" * 50 + b"]", [float("1" * 50)]),
    ],
)
def test_3_2_dialect(text, value):
    assert json_text.parse(text) == value


def test_3_2_not_a_number():
    assert math.isnan(json_text.parse(b"[NaN]")[0])


def test_3_2_half_a_million_levels():
    deep = b'{"unused": ' + b"[" * 500_000 + b"]" * 500_000 + b', "instances": [1.0]}'
    body = json_text.parse(deep)
    assert body["instances"] == [1.0]
    assert len(json_text.quoted(body)) < 300
    assert "[" * 100 in json_text.quoted(body)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSON Parse error: The document is empty"),
        ("instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
        ('{"instances": [1, 2', "JSON Parse error: Missing a comma or ] after an array element. at offset: 19"),
        ('{"a" 1}', "JSON Parse error: Missing a colon after a name of object member. at offset: 5"),
        ("{1: 2}", "JSON Parse error: Missing a name for object member. at offset: 1"),
        ('{"a": 1 "b"', "JSON Parse error: Missing a comma or } after an object member. at offset: 8"),
        ('"é" "', None),
        ('["é', "JSON Parse error: Missing a closing quotation mark in string. at offset: 1"),
        ('["\\q"]', "JSON Parse error: Invalid escape character in string. at offset: 2"),
        ('["\\u12G4"]', "JSON Parse error: Incorrect hex digit after \\u escape in string. at offset: 2"),
        ('["\\ud83d"]', "JSON Parse error: The surrogate pair in string is invalid. at offset: 8"),
        ("[1.]", "JSON Parse error: Miss fraction part in number. at offset: 3"),
        ("[1e]", "JSON Parse error: Miss exponent in number. at offset: 3"),
        ("[" + "1" * 400 + "]", "JSON Parse error: Number too big to be stored in double. at offset: 1"),
        ("[1e999]", "JSON Parse error: Number too big to be stored in double. at offset: 1"),
        ("[1,]", "JSON Parse error: Invalid value. at offset: 3"),
    ],
)
def test_3_3_parse_errors(text, message):
    if message is None:
        assert json_text.parse(text.encode()) == "é"
    else:
        assert refused(json_text.parse, text.encode()) == message


@settings(max_examples=300)
@given(data=st.binary(max_size=60) | st.text('[]{}",:0123456789.eE+-tfnNI \\u', max_size=30).map(str.encode))
def test_garbage_is_a_value_or_a_status(data):
    try:
        json_text.parse(data)
    except Status as error:
        assert error.code == "INVALID_ARGUMENT"
        assert error.message.startswith("JSON Parse error: ")


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ('{"instances": [1, 2.5]}', (2,)),
        ('{"instances": [[1, 2], [3, 4]]}', (2, 2)),
        ('{"instances": [{"x": 2}]}', (1,)),
        ('{"inputs": 2}', ()),
        ('{"inputs": [[1], [2]]}', (2, 1)),
        ('{"inputs": {"x": [2], "zz": [1]}}', (1,)),
        ('{"inputs": []}', (0,)),
        ('{"instances": [[]]}', (1, 0)),
    ],
)
def test_3_9_3_15_shapes(text, shape):
    assert read(text)["x"].shape == shape
    assert read(text)["x"].dtype == np.float32


def test_3_15_inputs_need_not_share_a_length():
    found = read('{"inputs": {"x": [1, 2, 3], "y": 4}}', x=FLOAT, y=INT32)
    assert (found["x"].tolist(), found["y"].tolist()) == ([1.0, 2.0, 3.0], 4)


ELEMENT = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"instances": [1], "inputs": 1}', "Not formatted correctly expecting only one of 'inputs' or 'instances'"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": 1}', "Expecting 'instances' to be an list/array"),
        ('{"instances": []}', "No values in 'instances' array"),
        ('{"instances": [{"x": 1}, 2]}', "Expecting object but got list at item 1 of input list"),
        ('{"instances": [1, {"x": 2}]}', "Expecting value/list but got object at item 1 of input list"),
        (
            '{"instances": [{"x": 1, "q": 2}]}',
            "Failed to process element: 0 key: q of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not "
            "have named input: q",
        ),
        (
            '{"instances": [{}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: x",
        ),
        ('{"instances": [[1,2],[3,4],[5,6,7]]}', ELEMENT.format(2, "Expecting tensor size: 2 but got: 3")),
        ('{"instances": [[1,2],[3,4],[[5,6]]]}', ELEMENT.format(2, "Expecting shape [2] but got: [1,2]")),
        ('{"instances": [1,[1]]}', ELEMENT.format(1, "Expecting shape [] but got: [1]")),
        (
            '{"instances": [[[1,2],[3]]]}',
            ELEMENT.format(0, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ),
        (
            '{"instances": [[[1,2],3]]}',
            ELEMENT.format(0, "JSON Value: 3 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ),
        (
            '{"inputs": [[1.0], 2.0]}',
            "JSON Value: 2.0 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ('{"inputs": [1,[2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        (
            '{"instances": ["x","y"]}',
            ELEMENT.format(0, 'JSON Value: "x" Type: String is not of expected type: float'),
        ),
        ('{"inputs": [1, null]}', "JSON Value: null Type: Null is not of expected type: float"),
        ('{"inputs": true}', "JSON Value: true Type: True is not of expected type: float"),
        ('{"inputs": {"b64": "aa=="}}', 'JSON Value: {"b64":"aa=="} Type: Object is not of expected type: float'),
    ],
)
def test_3_6_to_3_25_refused(text, message):
    assert refused(read, text).startswith(message)


def test_3_10_3_16_several_inputs_want_names():
    two = {"x": FLOAT, "y": FLOAT}
    assert refused(read, '{"instances": [1]}', **two).startswith("instances is a plain list, but expecting list of")
    assert refused(read, '{"inputs": [1]}', **two).startswith("inputs is a plain value/list, but expecting an object")
    assert refused(read, '{"inputs": {"x": 1}}', **two) == "Missing named input: y in 'inputs' object."
    assert "keys must be equal to: x,y" in refused(read, '{"instances": [{"x": 1}]}', **two)


@pytest.mark.parametrize(
    ("number", "text", "expected"),
    [
        (FLOAT, "[1435774380, 1.8e308, -1]", None),
        (UINT8, "[300, -1]", [44, 255]),
        (INT8, "[-129]", [127]),
        (INT64, "[9007199254740993, -9223372036854775808]", [9007199254740993, -9223372036854775808]),
        (UINT64, "[18446744073709551615]", [18446744073709551615]),
        (BOOL, "[true, false]", [True, False]),
        (STRING, '["é", {"b64": "/w"}, {"b64": "aGVsbG8="}]', ["é".encode(), b"\xff", b"hello"]),
    ],
)
def test_3_17_to_3_24_values(number, text, expected):
    if expected is None:
        text, expected = text.replace("1.8e308", "1.7e308"), [1435774336.0, math.inf, -1.0]
    assert read(f'{{"inputs": {text}}}', x=number)["x"].tolist() == expected


@pytest.mark.parametrize(
    ("number", "text", "message"),
    [
        (INT32, "1.0", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        (INT32, "2147483648", "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        (UINT8, "1e3", "JSON Value: 1000.0 Type: Number is not of expected type: int32"),
        (INT64, "9223372036854775808", "JSON Value: 9223372036854775808 Type: Number is not of expected type: int64"),
        (UINT64, "-1", "JSON Value: -1 Type: Number is not of expected type: uint64"),
        (BOOL, "1", "JSON Value: 1 Type: Number is not of expected type: bool"),
        (STRING, "1", "JSON Value: 1 Type: Number is not of expected type: string"),
        (STRING, '{"b64": "*"}', "Unable to base64 decode"),
        (STRING, '[{"b64": "aa", "c": 1}]', 'JSON Value: {"b64":"aa","c":1} not formatted correctly for base64 data'),
    ],
)
def test_3_18_to_3_23_values_refused(number, text, message):
    assert refused(read, f'{{"inputs": {text}}}', x=number) == message


def test_3_22_other_types():
    with pytest.raises(Status) as caught:
        read('{"inputs": 1}', x=HALF)
    assert (caught.value.code, caught.value.message) == (
        "UNIMPLEMENTED",
        "Conversion of JSON Value: 1 to type: half",
    )
    with pytest.raises(Status) as caught:
        read('{"instances": [1]}', x=HALF)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "Error: UNIMPLEMENTED: " in caught.value.message


def test_3_24_binary_at_any_depth():
    assert read('{"instances": [[{"b64":"aGVsbG8="}],[{"b64":"d29ybGQ="}]]}', x=STRING)["x"].shape == (2, 1)
    assert read('{"instances": [{"b64":"aGVsbG8="},{"b64":"d29ybGQ="}]}', x=STRING)["x"].tolist() == [
        b"hello",
        b"world",
    ]
    assert read('{"inputs": {"x": {"b64":"aGVsbG8="}}}', x=STRING)["x"].tolist() == b"hello"


def test_a_very_deep_value_is_refused_and_costs_nothing():
    deep = '{"inputs": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert "unexpected level" in refused(read, deep)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3.0"), (0.1, "0.1"), (1 / 3, "0.333333343"), (9e6, "9e+06"), (999999.0, "999999.0"), (3e-4, "0.0003"),
        (3e-5, "3e-05"), (555557.5, "555557.5"), (1e6, "1e+06"), (16777216.0, "16777216.0"),
        (1.43577434e09, "1.43577434e+09"), (-0.0, "-0.0"), (math.nan, "NaN"), (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
    ],
)  # fmt: skip
def test_4_5_floats(value, text):
    assert json_tensors.floats(np.float32([value])) == [text]


def test_4_5_doubles():
    assert json_tensors.floats(np.array([1 / 3])) == ["0.33333333333333331"]


@settings(max_examples=300)
@given(value=st.floats(width=32))
def test_4_5_every_float_reads_back(value):
    found = json_text.parse(json_tensors.floats(np.float32([value]))[0].encode())
    np.testing.assert_array_equal(np.float32(found), np.float32(value))


def answer(as_rows, **outputs):
    return json.loads(json_tensors.response({k: np.asarray(v) for k, v in outputs.items()}, as_rows))


def texts(*items):
    made = np.empty(len(items), object)
    made[:] = items
    return made


def test_4_1_4_2_4_4_4_6_4_7_answers():
    assert answer(True, y=np.float32([3, 3.5])) == {"predictions": [3.0, 3.5]}
    assert answer(False, y=np.float32(3)) == {"outputs": 3.0}
    assert answer(True, y=np.zeros((0, 3), np.float32)) == {"predictions": []}
    several = {"a": np.float32([8, 9]), "b": texts(b"x", b"y"), "c_bytes": texts(b"hello", b"\xff")}
    assert answer(True, **several) == {
        "predictions": [
            {"a": 8.0, "b": "x", "c_bytes": {"b64": "aGVsbG8="}},
            {"a": 9.0, "b": "y", "c_bytes": {"b64": "/w=="}},
        ]
    }
    assert answer(False, **several)["outputs"]["b"] == ["x", "y"]
    assert answer(False, n=np.int64([1 << 60]), t=[True]) == {"outputs": {"n": [1 << 60], "t": [True]}}


def test_4_7_plain_texts_pass_through():
    assert json_tensors.response({"b": texts(b'\xff"')}, True) == b'{"predictions": ["\xff\\""]}'


@pytest.mark.parametrize(
    ("outputs", "as_rows", "message"),
    [
        ({"y": np.float32(1)}, True, "Tensor name: y has no shape information "),
        (
            {"a": np.float32([1]), "b": np.float32([1, 2])},
            True,
            "Tensor name: b has inconsistent batch size: 2 expecting: 1",
        ),
        ({"y": np.float16([1])}, False, "Failed to write JSON value for tensor type: half"),
        ({"y": np.complex64([1])}, True, "Failed to write JSON value for tensor type: complex64"),
    ],
)
def test_4_3_4_8_answers_refused(outputs, as_rows, message):
    assert refused(json_tensors.response, outputs, as_rows) == message


def features(**values):
    body = json_text.parse(json.dumps({"examples": [values]}).encode())
    return protos.core("Example").FromString(json_examples.examples(body)[0]).features.feature


def test_5_3_kinds_of_features():
    found = features(f=2.0, i=2, s="é", b={"b64": "/w"}, t=True, mixed=[True, 3], many=[1.5, 2.5], none=[])
    assert list(found["f"].float_list.value) == [2.0]
    assert list(found["i"].int64_list.value) == [2]
    assert list(found["s"].bytes_list.value) == ["é".encode()]
    assert list(found["b"].bytes_list.value) == [b"\xff"]
    assert list(found["t"].int64_list.value) == [1]
    assert list(found["mixed"].int64_list.value) == [1, 3]
    assert list(found["many"].float_list.value) == [1.5, 2.5]
    assert found["none"].WhichOneof("kind") is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{}], "context": []}, "Example must be JSON object but got JSON Array"),
        ({"examples": [{"x": [1, 2.5]}]}, "Unexpected element type in feature: x expecting type: int64"),
        ({"examples": [{"x": [1, "a"]}]}, "Unexpected element type in feature: x expecting type: int64"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": {"q": 1}}]}, "Feature: x has element with unexpected JSON type: Object"),
        ({"examples": [{"x": 1 << 63}]}, "Feature: x has uint64_t element. Only int64_t is supported."),
    ],
)
def test_5_4_5_6_examples_refused(body, message):
    assert refused(json_examples.examples, body) == message


def test_5_2_results():
    found = inference.Classes(None, np.float32([[3.0, 0.5]]))
    assert json.loads(json_examples.classifications(found)) == {"results": [[["", 3.0], ["", 0.5]]]}
    assert json.loads(json_examples.regressions(np.float32([42]))) == {"results": [42.0]}
