import copy
import json
import re
from importlib.resources import files

import pytest

from kerazoo import assets, manifest
from kerazoo.errors import UnknownModel, UsageError


@pytest.fixture
def data() -> dict:
    return json.loads(manifest.text())


def test_the_manifest_fits_its_schema(data):
    assert manifest.problems(data) == []


def test_the_manifest_is_written_canonically(data):
    assert manifest.text() == manifest.canonical(data)


def test_load_reads_every_entry_in_order(data):
    assert list(manifest.load()) == list(data["models"])
    for name, entry in manifest.load().items():
        assert entry.name == name == f"{entry.variant}:{entry.weights}"
        assert entry.file(entry.files[0].role) is entry.files[0]


def test_every_entry_has_its_labels():
    for entry in manifest.load().values():
        found = assets.of(entry, words=False)
        assert found.preprocessing == (entry.preprocessing or None)
        assert (found.labels is None) == (entry.labels is None)


@pytest.mark.parametrize(("name", "count", "first", "last"), [
    ("imagenet1k", 1000, "tench", "toilet tissue"),
    ("cifar10", 10, "airplane", "truck"),
    ("mnist", 10, "0", "9"),
])  # fmt: skip
def test_labels(name, count, first, last):
    found = assets.labels(name)
    assert (len(found), found[0], found[-1]) == (count, first, last)
    assert all(label and label == label.strip() and "_" not in label for label in found)


def test_imagenet_labels_carry_wordnet_ids_in_class_order():
    lines = files("kerazoo").joinpath("labels", "imagenet1k.txt").read_text().splitlines()
    ids = [line.split("\t")[0] for line in lines]
    assert all(re.fullmatch(r"n\d{8}", one) for one in ids)
    assert ids == sorted(set(ids))


def test_unknown_labels_are_refused():
    with pytest.raises(UsageError, match="cifar10"):
        assets.labels("cifar")


def test_find_takes_a_variant_or_its_weights():
    assert manifest.find("mobilenet_v1_025").name == "mobilenet_v1_025:imagenet"
    assert manifest.find("mobilenet_v1_025:imagenet-keras").file("no_top").format == "keras_h5"
    assert [entry.weights for entry in manifest.entries_of("resnet50")] == ["imagenet"]
    assert manifest.entries_of("nothing") == []


@pytest.mark.parametrize(("asked", "told"), [
    ("resnet5", "resnet50"), ("resnet50:imagnet", "imagenet"), ("resnt50:imagenet", "resnet50:imagenet"), ("", "''")
])  # fmt: skip
def test_find_suggests(asked, told):
    with pytest.raises(UnknownModel, match=told):
        manifest.find(asked)


def test_a_role_that_is_not_there_names_those_that_are():
    with pytest.raises(UsageError, match="it has full"):
        manifest.find("squeezenet_v1_0:imagenet").file("no_top")


def test_entries_cannot_be_changed():
    entry = manifest.find("resnet50")
    with pytest.raises(TypeError):
        entry.preprocessing["scale"] = 2
    with pytest.raises(TypeError):
        manifest.load()["x"] = entry


FAULTS = [
    (("licence",), "", "licence: must be one line"),
    (("licence",), ..., "licence: is missing"),
    (("colour",), 1, "colour: is not a key"),
    (("labels",), "../x", "labels: must be"),
    (("files",), [], "files: must be a list"),
    (("files", 0, "name"), "../x.h5", r"files\[0\].name: must be a plain"),
    (("files", 0, "role"), "top", r"files\[0\].role: must be full"),
    (("files", 0, "size"), 1.5, r"files\[0\].size"),
    (("files", 0, "format"), "zip", r"files\[0\].format"),
    (("files", 0, "urls"), [], r"files\[0\].urls"),
    (("files", 0, "urls"), ["ftp://x/y"], r"files\[0\].urls"),
    (("files", 0, "urls"), ["package:../x"], r"files\[0\].urls"),
    (("files", 0, "hash"), {"kind": "crc", "value": "0"}, r"files\[0\].hash"),
    (("files", 0, "hash"), {"kind": "md5", "value": "0"}, r"files\[0\].hash: a md5 has 32"),
    (("files", 1, "role"), "full", "files: two have the same role"),
    (("preprocessing", "size"), [224], "preprocessing.size"),
    (("preprocessing", "resize"), 100, "preprocessing.resize"),
    (("preprocessing", "interpolation"), "nearest", "preprocessing.interpolation"),
    (("preprocessing", "channels"), "cmyk", "preprocessing.channels"),
    (("preprocessing", "mean"), [1.0], "preprocessing.mean: must be 3 numbers"),
    (("preprocessing", "std"), [1, 0, 1], "preprocessing.std: must not be 0"),
    (("preprocessing", "scale"), "1", "preprocessing.scale"),
    (("published", 0, "value"), "74", r"published\[0\].value"),
    (("published", 0, "source"), ..., r"published\[0\].source: is missing"),
    (("measured",), [{"metric": "x", "value": 1.0, "dataset": "y", "source": "z"}], r"measured\[0\].source"),
    (("log",), "text", "log: must be a list"),
]


@pytest.mark.parametrize(("path", "value", "told"), FAULTS, ids=[told for *_, told in FAULTS])
def test_a_fault_is_told_with_its_entry_and_key(data, path, value, told):
    name = "resnet50:imagenet"
    broken = data["models"][name]
    for step in path[:-1]:
        broken = broken[step]
    if value is ...:
        del broken[path[-1]]
    else:
        broken[path[-1]] = value
    found = manifest.problems(data)
    assert len(found) == 1
    assert re.match(f"{name}: {told}", found[0])


def test_faults_of_the_whole_are_told(data):
    entry = data["models"]["resnet50:imagenet"]
    assert manifest.problems([]) == ["manifest: must be an object with the keys schema, models"]
    assert manifest.problems(data | {"schema": 2}) == ["schema: must be 1, is 2"]
    apart = copy.deepcopy(data)
    apart["models"]["mobilenet_v1:again"] = entry
    apart["models"]["Caps"] = entry
    found = manifest.problems(apart)
    assert found[0] == "mobilenet_v1:again: must stand with the other entries of mobilenet_v1"
    assert found[1].startswith("Caps: must be written variant:weights")
    turned = dict(reversed(entry.items()))
    assert "order" in manifest.problems({"schema": 1, "models": {"a:b": turned}})[0]


def test_roles_of_parts_and_assets():
    data = json.loads(manifest.text())
    name = next(iter(data["models"]))
    file = data["models"][name]["files"][0]

    def faults(*changes):
        files = [file | {"name": f"file{index}"} | change for index, change in enumerate(changes)]
        models = {name: data["models"][name] | {"files": files}}
        return manifest.problems({"schema": data["schema"], "models": models})

    words = {"role": "asset:vocabulary", "format": "text"}
    assert faults({"role": "part:encoder"}, {"role": "part:decoder"}, words) == []
    assert faults({}, words) == []
    assert "not both" in faults({}, {"role": "part:encoder"})[0]
    assert "role full, or parts" in faults(words)[0]
    assert "format: must be text" in faults({}, words | {"format": "npz"})[0]
    assert "format: must be one of" in faults({"format": "text"})[0]
    assert "role: must be" in faults({}, words | {"role": "asset:../x"})[0]
