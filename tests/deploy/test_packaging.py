"""What goes to the package index, built and asked as by somebody who has nothing else."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec

import pytest
from packaging.metadata import Metadata

from tests.deploy.files import ROOT, yaml_of

LARGEST = 40 << 20
"""Bytes of the wheel."""

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed; it comes with the extra `test`")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory):
    """Runs commands of the wheel's own files, without a network, a cache or the repository."""
    folder = tmp_path_factory.mktemp("alone")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "site"),
        "KERAZOO_HOME": str(folder / "home"),
        "KERAZOO_OFFLINE": "1",
    }
    (folder / "work").mkdir()

    def run(*arguments):
        command = [sys.executable, "-m", "kerazoo", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder / "work", env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def shipped():
    return sorted(path.name for path in (ROOT / "kerazoo" / "pretrained").iterdir() if path.suffix in (".npz", ".txt"))


def test_a_wheel_holds_the_package_its_weights_and_no_tests(wheel):
    there = set(names(wheel))
    assert wheel.stat().st_size <= LARGEST
    assert {f"kerazoo/pretrained/{name}" for name in shipped()} <= there
    assert {"kerazoo/weights_manifest.json", "kerazoo/py.typed", "kerazoo/serve/http/page/index.html"} <= there
    assert {name.partition("/")[0] for name in there} == {"kerazoo", f"kerazoo-{PROJECT['version']}.dist-info"}
    assert not [name for name in there if "test" in name.rpartition("/")[2] or "__pycache__" in name]


def test_its_metadata_are_valid(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        data = archive.read(path)
    metadata = Metadata.from_email(data, validate=True)
    assert (metadata.name, str(metadata.version), metadata.license_expression) == (
        "kerazoo",
        PROJECT["version"],
        "Apache-2.0",
    )
    assert metadata.license_files == ["LICENSE", "NOTICE"]
    assert metadata.description_content_type == "text/markdown" and metadata.description.startswith("# Kerazoo")


def test_the_notice_names_every_weight_file_that_is_shipped():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    stems = {name.partition(".")[0] for name in shipped()}
    assert {word for word in re.findall(r"[\w-]+", notice) if word in stems} == stems
    models = json.loads((ROOT / "weights_manifest.json").read_text(encoding="utf-8"))["models"]
    urls = {name: [url for file in row["files"] for url in file["urls"]] for name, row in models.items()}
    bundled = [models[name] for name, its in urls.items() if any(url.startswith("package:") for url in its)]
    assert len(bundled) > 10
    assert {row["licence"] for row in bundled} == {PROJECT["license"]}


@pytest.mark.slow
def test_a_wheel_alone_answers_without_a_network(alone):
    picture = ROOT / "examples" / "seven.png"
    assert alone("predict", picture, "-m", "lenet5:mnist", "--top", "1").split() == ["100.00%", "7"]
    alone("export", "lenet5:mnist", "--to", "onnx", "-o", "out")
    assert alone("predict", picture, "-m", "out/lenet5.onnx", "--top", "1").split() == ["100.00%", "7"]
    alone("verify", "out/lenet5.onnx")
    assert "lenet5" in alone("models")
    assert "99.5" in alone("info", "lenet5:mnist")


@pytest.mark.slow
def test_every_command_of_a_wheel_tells_how_it_is_used(alone):
    listed = re.findall(r"^  (\w+)  ", alone("--help").partition("Commands:")[2], re.MULTILINE)
    assert len(listed) > 15
    for command in listed:
        assert alone(command, "--help").startswith(f"Usage: kerazoo {command}")


def test_the_citation_is_of_this_version():
    (citation,) = yaml_of("CITATION.cff")
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["cff-version"] == "1.2.0" and citation["authors"]


def test_the_workflow_runs_what_runs_here_on_every_python_that_is_promised():
    (workflow,) = yaml_of(".github/workflows/ci.yml")
    job = workflow["jobs"]["ci"]
    assert job["steps"][-1]["run"] == ".ci/run" and os.access(ROOT / ".ci" / "run", os.X_OK)
    least, beyond = (int(minor) for minor in re.findall(r"3\.(\d+)", PROJECT["requires-python"]))
    assert {job["strategy"]["matrix"]["python"][0], job["strategy"]["matrix"]["python"][-1]} == {
        f"3.{least}",
        f"3.{beyond - 1}",
    }


def test_a_report_of_a_fault_asks_for_the_doctor():
    (form,) = yaml_of(".github/ISSUE_TEMPLATE/fault.yml")
    assert any(
        "kerazoo doctor" in row["attributes"]["label"] and row["validations"]["required"] for row in form["body"]
    )
