"""The public names: sorted, importable, and nothing else promised."""

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import kerazoo
from kerazoo import applications

PACKAGES = [kerazoo, applications]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_names_are_sorted_and_there(package):
    names = package.__all__
    assert list(names) == sorted(set(names))
    assert set(names) <= set(dir(package))
    for name in names:
        assert getattr(package, name) is not None
        assert not name.startswith("_")


def test_nothing_else_is_shown():
    assert [name for name in dir(kerazoo) if not name.startswith("__")] == kerazoo.__all__


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = package.nothing_of_the_kind


def test_public_functions_are_documented():
    for name in kerazoo.__all__:
        assert inspect.getdoc(getattr(kerazoo, name)), name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_annotations_name_what_there_is(package):
    for name in package.__all__:
        public = getattr(package, name)
        if inspect.isfunction(public):
            hints = typing.get_type_hints(public)
            assert hints.keys() >= inspect.signature(public).parameters.keys(), name
            assert "return" in hints, name
        elif inspect.isclass(public):
            for member, function in inspect.getmembers(public, inspect.isfunction):
                assert typing.get_type_hints(function) is not None, f"{name}.{member}"


def test_builders_return_keras_models():
    import keras

    for name in applications.__all__:
        assert typing.get_type_hints(getattr(applications, name))["return"] is keras.Model, name


def test_type_checkers_are_told_that_there_are_annotations():
    """The marker lies in the package, of which the wheel takes every file."""
    assert (Path(kerazoo.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("first", ["", "import kerazoo.export", "from kerazoo.export import export", "kerazoo.export"])
def test_export_is_called_whatever_was_imported_before(first):
    code = f"import kerazoo\n{first}\nassert callable(kerazoo.export)\n"
    code += "from kerazoo.errors import UsageError\n"
    code += "try:\n    kerazoo.export('lenet5:mnist', to=['nothing'])\nexcept UsageError as error:\n    print(error)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Unknown format" in done.stdout


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert kerazoo.__version__ == version("kerazoo")
