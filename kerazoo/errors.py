"""Every error that Kerazoo raises on purpose.

    KerazooError            1   500  INTERNAL
    ├── UsageError          2   400  INVALID_ARGUMENT     the question itself is wrong
    │   └── UnknownModel    2   404  NOT_FOUND
    ├── InputError          3   400  INVALID_ARGUMENT     one input cannot be read; the others go on
    ├── GateError           4   412  FAILED_PRECONDITION  an artefact or figure failed its check
    ├── WeightsUnavailable  5   503  UNAVAILABLE          not in the cache and not to be had
    │   └── WeightsDamaged  5   500  DATA_LOSS            there, but not what the manifest says
    └── PackageMissing      6   501  UNIMPLEMENTED        an optional package is not installed

The columns are the exit code, the HTTP status and the gRPC code. A message says what was asked, what was found and
what to do, in at most three lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KerazooError(Exception):
    exit_code = 1
    http_status = 500
    grpc_code = "INTERNAL"


class UsageError(KerazooError, ValueError):
    exit_code = 2
    http_status = 400
    grpc_code = "INVALID_ARGUMENT"


class UnknownModel(UsageError):
    http_status = 404
    grpc_code = "NOT_FOUND"


class InputError(KerazooError, ValueError):
    exit_code = 3
    http_status = 400
    grpc_code = "INVALID_ARGUMENT"


class GateError(KerazooError):
    exit_code = 4
    http_status = 412
    grpc_code = "FAILED_PRECONDITION"


class WeightsUnavailable(KerazooError):
    exit_code = 5
    http_status = 503
    grpc_code = "UNAVAILABLE"


class WeightsDamaged(WeightsUnavailable):
    http_status = 500
    grpc_code = "DATA_LOSS"


class PackageMissing(KerazooError, ImportError):
    exit_code = 6
    http_status = 501
    grpc_code = "UNIMPLEMENTED"


def near(word: str, known: Iterable[str]) -> str:
    """A closing sentence that suggests what was probably meant, or nothing."""
    names = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(names)}?" if names else ""
