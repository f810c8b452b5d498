"""The bundles of the image, baked once a run as the Dockerfile does."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path

import pytest
from filelock import FileLock

from tests.deploy.files import ROOT, dockerfile


@pytest.fixture(scope="session")
def baked(shared: Path) -> Path:
    """What the image has in /models."""
    stage = dockerfile()[1]["bundles"]
    (default,) = [text.partition("=")[2] for text in stage.all("ARG")]
    python, script, _, names = shlex.split(stage.one("RUN"))
    (source,) = [sources[0] for _, sources, target in stage.copies() if target == script]
    assert python.endswith("/python") and names == "${MODELS}"
    target = shared / "baked"
    with FileLock(shared / "baked.lock"):
        if not target.exists():
            main = runpy.run_path(str(ROOT / source))["main"]
            assert main([str(target), *shlex.split(default)]) == 0
    return target
