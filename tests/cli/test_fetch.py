import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerazoo import manifest
from kerazoo.cli.fetch import fetch
from kerazoo.errors import UnknownModel, UsageError, WeightsDamaged, WeightsUnavailable
from kerazoo.manifest import Entry, File


@pytest.fixture(autouse=True)
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three models; the mirror, the only source, has a sound file of the first and a wrong one of the last."""
    for name in ("KERAZOO_OFFLINE", "KERAZOO_MIRROR", "KERAZOO_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAZOO_MIRROR", str(tmp_path))
    entries = {}
    for name, roles in (("one:data", ("full", "no_top")), ("two:data", ("full",)), ("three:data", ("full",))):
        listed = []
        for role in roles:
            file = f"{name[:-5]}_{role}.h5"
            value = hashlib.sha256(file.encode()).hexdigest()
            listed.append(File(file, role, (f"file:///nowhere/{file}",), "sha256", value, len(file), "keras_h5"))
        entries[name] = Entry(name, tuple(listed), "Apache-2.0", "a test", None, {})
    monkeypatch.setattr(manifest, "load", lambda: entries)
    for file in ("one_full.h5", "one_no_top.h5"):
        (tmp_path / file).write_text(file)
    (tmp_path / "three_full.h5").write_text("not what it should be")
    return tmp_path


def test_a_line_a_file_goes_to_stdout(mirror):
    done = CliRunner().invoke(fetch, ["one"])
    assert done.exit_code == 0
    assert done.stdout == f"one:data\t{mirror}/home/weights/one/data/one_full.h5\n"
    assert done.stderr == ""


def test_the_weights_without_the_classifier(mirror):
    done = CliRunner().invoke(fetch, ["one:data", "--no-top"])
    assert done.stdout.endswith("one_no_top.h5\n")
    assert isinstance(CliRunner().invoke(fetch, ["two", "--no-top"]).exception, UsageError)
    assert CliRunner().invoke(fetch, ["--all", "--no-top"]).stdout.count("\n") == 1


def test_one_failure_does_not_stop_the_others(mirror):
    done = CliRunner().invoke(fetch, ["on", "two", "one", "one"])
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("one:data\t")
    assert done.stderr.startswith("error: ")
    assert "Did you mean one" in done.stderr
    assert type(done.exception) is WeightsUnavailable


def test_all(mirror):
    done = CliRunner().invoke(fetch, ["--all"])
    assert done.stdout.startswith("one:data\t")
    assert "three_full.h5" in done.stderr or isinstance(done.exception, WeightsDamaged)
    assert done.exception.exit_code == 5


@pytest.mark.parametrize("arguments", [[], ["one", "--all"]])
def test_models_or_all(arguments):
    assert isinstance(CliRunner().invoke(fetch, arguments).exception, UsageError)


def test_an_unknown_model_suggests():
    error = CliRunner().invoke(fetch, ["thre"]).exception
    assert isinstance(error, UnknownModel)
    assert "three" in str(error)


@pytest.fixture
def unpinned(mirror, monkeypatch):
    """A model whose publisher named no hash, and its file in the mirror."""
    file = File("four.h5", "full", ("http://127.0.0.1:9/four.h5",), None, None, None, "keras_h5")
    monkeypatch.setattr(manifest, "load", lambda: {"four:data": Entry("four:data", (file,), "x", "x", None, {})})
    (mirror / "four.h5").write_text("four")
    return mirror / "four.h5"


def test_what_was_trusted_is_said_and_only_replaced_when_asked(unpinned):
    done = CliRunner().invoke(fetch, ["four"])
    assert done.stderr.count("\n") == 1
    assert f"trusted from now on: sha256 {hashlib.sha256(b'four').hexdigest()}" in done.stderr
    path = Path(done.stdout.split("\t")[1].strip())
    path.unlink()
    unpinned.write_text("five")
    error = CliRunner().invoke(fetch, ["four"]).exception
    assert isinstance(error, WeightsDamaged)
    assert "kerazoo fetch --trust-new four:data" in str(error)
    assert CliRunner().invoke(fetch, ["--trust-new", "four:data"]).exit_code == 0
    assert path.read_text() == "five"
    assert isinstance(CliRunner().invoke(fetch, ["--all", "--trust-new"]).exception, UsageError)


def test_plain_http_is_allowed_by_name(unpinned, monkeypatch):
    monkeypatch.delenv("KERAZOO_MIRROR")
    assert "--allow-http" in str(CliRunner().invoke(fetch, ["four"]).exception)
    error = CliRunner().invoke(fetch, ["four", "--allow-http"]).exception
    assert type(error) is WeightsUnavailable
    assert "refused" in str(error)
