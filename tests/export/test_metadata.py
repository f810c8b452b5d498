"""What an app finds in a .tflite file without us: the tables of LiteRT's metadata schema, read field by field."""

import zipfile

import flatbuffers.number_types as kinds
import numpy as np
import pytest
from flatbuffers import encode
from flatbuffers.table import Table

from kerazoo.engines.card import of_archive
from kerazoo.export import flatbuffer, metadata
from kerazoo.formats import LITERT
from tests.export.models import LABELS


def _root(data):
    return Table(data, encode.Get(kinds.UOffsetTFlags.packer_type, data, 0))


def _place(table, slot):
    return table.Offset(4 + 2 * slot)


def _text(table, slot):
    place = _place(table, slot)
    return table.String(place + table.Pos).decode() if place else None


def _several(table, slot):
    place = _place(table, slot)
    count, start = (table.VectorLen(place), table.Vector(place)) if place else (0, 0)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(count)]


def _one(table, slot):
    place = _place(table, slot)
    return Table(table.Bytes, table.Indirect(place + table.Pos)) if place else None


def _scalar(table, slot, flags):
    place = _place(table, slot)
    return table.Get(flags, place + table.Pos) if place else 0


def _floats(table, slot):
    place = _place(table, slot)
    return table.GetVectorAsNumpy(kinds.Float32Flags, place).tolist()


@pytest.fixture
def found(made):
    data = metadata.of((made / LITERT.file).read_bytes())
    assert data is not None and data[4:8] == b"M001"
    return _root(data)


def test_the_picture_is_described(found):
    assert (_text(found, 0), _text(found, 1), _text(found, 7)) == ("tiny:test", "classify", "1.0.0")
    (graph,) = _several(found, 3)
    (image,) = _several(graph, 2)
    assert _text(image, 0) == "image"
    content = _one(image, 3)
    assert _scalar(content, 0, kinds.Uint8Flags) == 2, "ImageProperties"
    properties = _one(content, 1)
    assert _scalar(properties, 0, kinds.Int8Flags) == 1, "RGB"
    size = _one(properties, 1)
    assert [_scalar(size, slot, kinds.Uint32Flags) for slot in (0, 1)] == [24, 24]
    (unit,) = _several(image, 4)
    assert _scalar(unit, 0, kinds.Uint8Flags) == 1, "NormalizationOptions"
    assert (_floats(_one(unit, 1), 0), _floats(_one(unit, 1), 1)) == ([0.0], [1.0]), "the file normalises itself"
    assert (_floats(_one(image, 5), 0), _floats(_one(image, 5), 1)) == ([255.0], [0.0])


def test_the_labels_are_an_associated_file(found, made):
    (graph,) = _several(found, 3)
    (logits,) = _several(graph, 3)
    (file,) = _several(logits, 6)
    assert _scalar(file, 2, kinds.Int8Flags) == 2, "TENSOR_AXIS_LABELS"
    with zipfile.ZipFile(made / LITERT.file) as archive:
        assert archive.read(_text(file, 0)).decode().split() == list(LABELS)


def test_it_is_written_once_and_the_network_stays(made):
    data = (made / LITERT.file).read_bytes()
    again = metadata.into(data, metadata.of(data))
    names = [each.name for each in flatbuffer.unpacked(again).metadata]
    assert names.count(metadata.NAME.encode()) == 1
    from ai_edge_litert.interpreter import Interpreter

    x = np.linspace(0, 255, 24 * 24 * 3, dtype=np.float32).reshape(1, 24, 24, 3)
    first, second = (
        Interpreter(model_content=each).get_signature_runner("network")(image=x)["logits"] for each in (data, again)
    )
    assert np.array_equal(first, second)


def test_the_card_names_ports_and_what_the_file_does_itself(made):
    import json

    with zipfile.ZipFile(made / LITERT.file) as archive:
        plain = json.loads(archive.read("kerazoo.json"))
    asked = plain["ports"]["tasks"]["classify"]
    assert [port["name"] for port in asked["inputs"]] == ["image_bytes"]
    assert [port["name"] for port in plain["ports"]["parts"]["network"]["outputs"]] == ["logits"]
    assert plain["inside"]["scale"] == pytest.approx(2 / 255)
    assert plain["precision"] == "fp32" and plain["goldens"] and plain["versions"]["kerazoo"]
    assert of_archive(made / LITERT.file).tasks["classify"].labels == LABELS
