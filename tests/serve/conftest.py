"""The classic models, made once a session, and a service over them."""

import time
from pathlib import Path

import pytest
from filelock import FileLock

import kerazoo
from kerazoo import formats
from kerazoo.serve.models import session
from kerazoo.serve.models.catalogue import Models, Watch
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.service import Service
from kerazoo.serve.wire import protos
from tests.serve import half_plus


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A module's tests share a server, so they go to the same worker."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def classics(tmp_path_factory):
    """Name -> base path."""
    base = tmp_path_factory.mktemp("classics")
    half_plus.half_plus_two(base / "half_plus_two")
    half_plus.half_plus_two_2_versions(base / "half_plus_two_2_versions")
    half_plus.half_plus_two_tf2(base / "half_plus_two_tf2")
    half_plus.half_plus_three(base / "half_plus_three")
    half_plus.counter(base / "counter")
    return base


@pytest.fixture(scope="session")
def exported(shared):
    """The version folder of a bundle with every format in it."""
    folder = shared / "exported"
    with FileLock(shared / "exported.lock"):
        if not folder.exists():
            kerazoo.export("lenet5:mnist", to=list(formats.FORMATS), path=folder)
    return folder / "lenet5" / "1"


def config(name, base, **more):
    return protos.api("ModelConfig")(name=name, base_path=str(base), model_platform="tensorflow", **more)


@pytest.fixture(scope="session")
def service(classics):
    """All classics in TensorFlow's session, loaded once."""
    models = Models(lambda name, version, folder: session.load(folder), Watch(0, Retries(0)))
    configs = [config(path.name, path) for path in sorted(classics.iterdir())]
    both = next(c for c in configs if c.name == "half_plus_two_2_versions")
    both.model_version_policy.all.SetInParent()
    models.configure(configs, time.monotonic() + 60)
    yield Service(models)
    models.close()
