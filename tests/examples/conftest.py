"""The file that the snippets for browsers and phones ask about, exported once."""

from __future__ import annotations

from pathlib import Path

import pytest

import kerazoo


@pytest.fixture(scope="package")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`lenet5:mnist`, by format."""
    made = kerazoo.export("lenet5:mnist", ["onnx", "litert"], tmp_path_factory.mktemp("exported"))
    return {artefact.format: artefact.path for artefact in made}
