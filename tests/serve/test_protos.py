"""Our declarations of TF Serving's messages, held against the published ones."""

import importlib.resources
import pkgutil

import pytest
import tensorflow_serving.apis
import tensorflow_serving.config
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from tensorflow.core.protobuf import saved_model_pb2  # noqa: F401  Puts its messages into the pool.

from kerazoo.serve.wire import declarations, protos

for package in (tensorflow_serving.apis, tensorflow_serving.config):
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{package.__name__}.{module.name}")

PUBLISHED = descriptor_pool.Default()
ERROR_CODE = ("tensorflow.serving.StatusProto", "error_code")


def declared():
    found = []

    def walk(prefix, messages):
        for message in messages:
            name = f"{prefix}.{message.name}"
            if not message.options.map_entry:
                found.append(name)
            walk(name, message.nested_type)

    here = importlib.resources.files("kerazoo.serve.wire")
    for file in protos.FILES:
        parsed = declarations.parse(here.joinpath(file).read_text(), file)
        if parsed.package != "kerazoo":
            walk(parsed.package, parsed.message_type)
    return found


def shape(field):
    """What of a field stands on the wire and in texts."""
    named, oneof = field.message_type or field.enum_type, field.containing_oneof
    return (
        field.name, field.number, field.type, field.is_repeated, named.full_name if named is not None else None,
        oneof.name if oneof is not None and not oneof.name.startswith("_") else None,
    )  # fmt: skip


@pytest.mark.parametrize("name", declared())
def test_every_field_is_the_published_one(name):
    published = PUBLISHED.FindMessageTypeByName(name)
    for field in protos.message(name).DESCRIPTOR.fields:
        theirs = published.fields_by_name[field.name]
        if (name, field.name) == ERROR_CODE:
            assert (theirs.number, theirs.type) == (field.number, FieldDescriptorProto.TYPE_ENUM)
        else:
            assert shape(field) == shape(theirs)


@pytest.mark.parametrize(
    "name", ["tensorflow.DataType", "tensorflow.serving.ModelVersionStatus.State", "tensorflow.serving.ModelType"]
)
def test_every_value_is_the_published_one(name):
    ours, theirs = (pool.FindEnumTypeByName(name) for pool in (protos._POOL, PUBLISHED))
    assert {value.name: value.number for value in ours.values} == {v.name: v.number for v in theirs.values}


@pytest.mark.parametrize("text", ["message A {", "message A { int32 }", "enum", "else {}", "message { }; }", "import"])
def test_what_is_no_declaration(text):
    with pytest.raises(ValueError):
        declarations.parse(text, "x")


def test_what_is_not_declared_is_kept():
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest(client_id=b"me")
    request.model_spec.name = "m"
    data = request.SerializeToString()
    assert protos.api("PredictRequest").FromString(data).SerializeToString() == data
