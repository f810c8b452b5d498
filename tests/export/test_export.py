"""`kerazoo.export` puts checked artefacts into place, or leaves everything as it was."""

import pytest

import kerazoo
from kerazoo import export as package
from kerazoo import manifest, registry
from kerazoo.errors import GateError, UsageError
from kerazoo.export import Artefact

PLACES = {"savedmodel": "lenet5/1", "onnx": "lenet5.onnx", "litert": "lenet5.tflite"}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    model = registry.Model("lenet5:mnist", "lenet5", manifest.load()["lenet5:mnist"])
    monkeypatch.setattr(registry, "find", lambda name: model)


@pytest.fixture
def checking(monkeypatch):
    """Replaces conversion and verification by writing files; `failing` formats raise or yield what they are told."""

    def replace(failing=None, meanwhile=lambda: None):
        def checked(model, chosen, folder):
            for form in chosen:
                if form.whole:
                    (folder / form.file).mkdir()
                    (folder / form.file / "saved_model.pb").write_bytes(b"new")
                else:
                    (folder / form.file).write_bytes(b"new")
                meanwhile()
                failure = (failing or {}).get(form.name)
                if isinstance(failure, GateError):
                    yield failure
                elif failure is not None:
                    raise failure
                else:
                    yield Artefact(form.name, folder / form.file, {"logits": 0.0})

        monkeypatch.setattr(package, "checked", checked)
        monkeypatch.setattr("kerazoo.export.golden.load", lambda path: None)
        monkeypatch.setattr("kerazoo.export.prepare.timed", lambda files, golden: dict.fromkeys(files, 1.0))

    return replace


def _files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_artefacts_are_put_into_place(checking, tmp_path):
    checking()
    made = kerazoo.export("lenet5:mnist", to=PLACES, path=tmp_path / "new" / "folder")
    assert {one.format: str(one.path.relative_to(tmp_path / "new" / "folder")) for one in made} == PLACES
    assert _files(tmp_path / "new" / "folder") == [
        "lenet5.onnx",
        "lenet5.tflite",
        "lenet5/1/assets.extra/kerazoo/engines.json",
        "lenet5/1/assets.extra/kerazoo/manifest.json",
        "lenet5/1/assets.extra/kerazoo/model.onnx",
        "lenet5/1/assets.extra/kerazoo/model.tflite",
        "lenet5/1/saved_model.pb",
    ]


def test_a_format_asked_twice_is_made_once(checking, tmp_path):
    checking()
    assert len(kerazoo.export("lenet5:mnist", to=["onnx", "onnx"], path=tmp_path)) == 1


@pytest.mark.parametrize("format_", PLACES)
def test_what_is_there_is_never_overwritten(checking, tmp_path, format_):
    checking()
    target = tmp_path / PLACES[format_]
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"old")
    with pytest.raises(UsageError, match="exists already"):
        kerazoo.export("lenet5:mnist", to=PLACES, path=tmp_path)
    assert _files(tmp_path) == [PLACES[format_]]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("format_", PLACES)
def test_what_appears_meanwhile_is_not_overwritten_either(checking, tmp_path, format_):
    target = tmp_path / PLACES[format_]

    def meanwhile():
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"old")

    checking(meanwhile=meanwhile)
    with pytest.raises(UsageError, match="exists already"):
        kerazoo.export("lenet5:mnist", to=[format_], path=tmp_path)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), RuntimeError("x")])
@pytest.mark.parametrize("format_", PLACES)
def test_an_interrupted_export_leaves_nothing(checking, tmp_path, format_, error):
    checking({format_: error})
    with pytest.raises(type(error)):
        kerazoo.export("lenet5:mnist", to=[format_], path=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format_", PLACES)
def test_a_refused_artefact_leaves_nothing(checking, tmp_path, format_):
    checking({format_: GateError("it differs")})
    with pytest.raises(GateError, match="it differs"):
        kerazoo.export("lenet5:mnist", to=[format_], path=tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_format_can_be_a_word(checking, tmp_path):
    checking()
    (made,) = kerazoo.export("lenet5:mnist", to="onnx", path=str(tmp_path))
    assert made.path == tmp_path / "lenet5.onnx"


def test_an_unknown_format_is_refused_with_near_names(tmp_path):
    with pytest.raises(UsageError, match="Did you mean onnx"):
        kerazoo.export("lenet5:mnist", to=["onx"], path=tmp_path)
    assert not list(tmp_path.iterdir())


def test_errors_of_the_other_process_come_back_as_they_are():
    with pytest.raises(UsageError, match="no pretrained weights|Unknown"):
        package.run("kerazoo.export.convert", "lenet5:nothing", "/nowhere", "onnx")


def test_a_conversion_that_lost_an_axis_is_tried_again(monkeypatch, tmp_path):
    """tf2onnx drops a Squeeze now and then; here the first two tries come out so."""
    from kerazoo.export import convert
    from tests.conformance.models import built

    tries = []

    def same_ranks(path, goldens, part, real=convert._same_ranks):
        assert real(path, goldens, part) in (True, False)
        tries.append(path.exists())
        return len(tries) > 2

    monkeypatch.setattr(convert, "_same_ranks", same_ranks)
    assert convert.convert(built("lenet5"), ["onnx"], tmp_path) == {"onnx": None}
    assert tries == [True, True, True]
    assert (tmp_path / "model.onnx").is_file()


def test_ranks_are_those_of_the_golden(tmp_path):
    import numpy as np

    from kerazoo.export import convert
    from kerazoo.export.golden import Call, Golden, load
    from tests.conformance.models import built

    convert.convert(built("lenet5"), ["onnx"], tmp_path)
    goldens = load(tmp_path / "golden.npz")
    golden = goldens["classify"]
    assert convert._same_ranks(tmp_path / "model.onnx", goldens, None)
    (call,) = golden.calls
    wrong = Call(call.part, call.inputs, {name: np.asarray(value)[None] for name, value in call.outputs.items()})
    other = {"classify": Golden(golden.request, golden.response, (wrong,))}
    assert not convert._same_ranks(tmp_path / "model.onnx", other, None)
