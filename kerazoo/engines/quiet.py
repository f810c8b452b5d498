"""Runtimes announce their delegates and devices on file descriptor 2, where one-line errors belong."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from kerazoo import packages
from kerazoo.errors import UsageError


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Sends what C++ writes to stderr nowhere; Python's exceptions pass as ever."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def import_tensorflow() -> None:
    """Imports TensorFlow without its greetings.

    Raises:
        PackageMissing: It is not installed.
    """
    with quiet():
        packages.needed("tensorflow")


def import_keras() -> str:
    """Imports Keras and the backend that `KERAS_BACKEND` or its own settings name, without their greetings.

    Returns:
        The backend's name: `tensorflow`, `jax` or `torch`.

    Raises:
        PackageMissing: Keras or the backend is not installed.
        UsageError: There is no such backend.
    """
    try:
        with quiet():
            return str(packages.needed("keras").backend.backend())
    except ValueError as error:
        raise UsageError(
            f"Keras' backend cannot be used: {error}\nSet KERAS_BACKEND=tensorflow, jax or torch."
        ) from None
