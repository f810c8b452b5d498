"""What holds for every test: a cache of its own, no network, and a switch that rewrites the golden answers."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# A busy machine is no fault of what is tested; folders and models are shared by a property's examples on purpose.
settings.register_profile(
    "kerazoo", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("kerazoo")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept-goldens", action="store_true", help="Write tests/goldens anew from what the models say.")


def pytest_configure(config: pytest.Config) -> None:
    # A user's cache is neither read nor written, and nothing is fetched; tests of the store set their own.
    os.environ["KERAZOO_HOME"] = tempfile.mkdtemp(prefix="kerazoo-tests-")
    os.environ["KERAZOO_OFFLINE"] = "1"
    os.environ.pop("KERAZOO_MIRROR", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    import shutil

    shutil.rmtree(os.environ["KERAZOO_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run, the same for all its worker processes."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
