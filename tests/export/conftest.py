import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from kerazoo.engines import keras as keras_engine
from kerazoo.export import golden as golden_
from kerazoo.export.convert import convert
from kerazoo.formats import FORMATS
from tests.export.models import tiny


@pytest.fixture(scope="session")
def made(shared) -> Path:
    """The tiny model in every format, and `golden.npz`. Not to be changed."""
    folder = shared / "tiny"
    with FileLock(shared / "tiny.lock"):
        if not (folder / "golden.npz").exists():
            folder.mkdir(exist_ok=True)
            assert set(convert(tiny(), FORMATS, folder).values()) == {None}
    return folder


@pytest.fixture
def copies(made, tmp_path) -> Path:
    """The same, to be damaged at will."""
    return Path(shutil.copytree(made, tmp_path / "copies"))


@pytest.fixture(scope="session")
def golden() -> golden_.Golden:
    return golden_.answer(tiny().task, keras_engine.network(tiny()))
