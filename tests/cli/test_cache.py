import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kerazoo import manifest, store
from kerazoo.cli.cache import cache
from kerazoo.errors import UnknownModel, UsageError, WeightsDamaged
from kerazoo.manifest import Entry, File

CONTENT = b"weights"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KERAZOO_OFFLINE", "KERAZOO_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    file = File("net.h5", "full", ("file:///nowhere",), "sha256", hashlib.sha256(CONTENT).hexdigest(), 7, "keras_h5")
    entry = Entry("net:data", (file,), "Apache-2.0", "a test", None, {})
    monkeypatch.setattr(manifest, "load", lambda: {"net:data": entry})
    path = store.path_of(entry, file)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cache, arguments)


def test_path(home):
    assert run("path").stdout == f"{home}\n"


def test_list(home):
    assert run("list").stdout == "net:data\tnet.h5\t7\n"
    assert json.loads(run("list", "--json").stdout) == {
        "model": "net:data",
        "file": "net.h5",
        "role": "full",
        "bytes": 7,
        "path": str(home / "weights" / "net" / "data" / "net.h5"),
        "state": "ok",
    }


def test_verify(home):
    assert run("verify").stdout == "net:data\tnet.h5\tok\n"
    (home / "weights" / "net" / "data" / "net.h5").write_bytes(b"damaged")
    done = run("verify", "--json")
    assert json.loads(done.stdout)["state"] == "damaged"
    assert isinstance(done.exception, WeightsDamaged)
    assert "net.h5 of net:data" in str(done.exception)


def test_prune(home):
    (home / "weights" / "net" / "data" / "net.h5.part").write_bytes(b"123")
    prepared = home / "artefacts" / "net" / "data" / "model.onnx"
    prepared.parent.mkdir(parents=True)
    prepared.write_bytes(b"1234")
    done = run("prune", "--keep-artefacts")
    assert (done.stdout, done.stderr) == ("", f"3 bytes freed in {home}.\n")
    assert run("prune").stderr.startswith("4 bytes freed")
    assert not prepared.exists()


@pytest.mark.parametrize("models", [[], ["net"], ["net:data"]])
def test_a_bundle_goes_out_and_in(home, tmp_path, monkeypatch, models):
    done = run("export", str(tmp_path / "all.tar"), *models)
    assert done.stdout == f"{tmp_path / 'all.tar'}\n"
    assert "Next: kerazoo cache import" in done.stderr
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "other"))
    done = run("import", str(tmp_path / "all.tar"))
    assert (done.stdout, done.stderr) == ("net:data\n", "")
    assert run("verify").stdout == "net:data\tnet.h5\tok\n"


def test_what_cannot_go_out_or_in(home, tmp_path, monkeypatch):
    assert isinstance(run("export", str(tmp_path / "all.tar"), "nte").exception, UnknownModel)
    assert isinstance(run("import", str(tmp_path / "none.tar")).exception, UsageError)
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "other"))
    error = run("export", str(tmp_path / "all.tar")).exception
    assert isinstance(error, UsageError)
    assert "nothing to export" in str(error)
