"""Asks several servers the same picture, and compares what they answer.

python deploy/smoke.py -m lenet5 examples/seven.png http://localhost:8501 grpc://localhost:8500 \\
    http://localhost:9501 grpc://localhost:9500

Status 0 if every server gives each label the first one's score within the tolerance, 1 if one does not, 2 if one does
not answer.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kerazoo import Client
from kerazoo.errors import KerazooError
from kerazoo.formats import SAVED_MODEL


def ask(url: str, model: str, picture: Path) -> dict[str, float]:
    """Label -> score, best first.

    Raises:
        KerazooError: The server does not answer, or has no such model.
    """
    result = Client(url, model)(picture)
    return {str(label): float(score) for label, score in zip(result.labels, result.scores, strict=True)}


def differs(expected: dict[str, float], found: dict[str, float], tolerance: float) -> str | None:
    """The first label whose scores are further apart than the tolerance, `None` if there is none.

    A label that one of them leaves out scores there no more than the last one that it gives.
    """
    for label in [*expected, *found]:
        before, now = (answer.get(label, min(answer.values())) for answer in (expected, found))
        if abs(before - now) > tolerance:
            return f"{label} is {now:.6f} instead of {before:.6f}"
    return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("urls", nargs="+", metavar="URL", help="http://host:8501 or grpc://host:8500")
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument(
        "--tolerance", type=float, default=SAVED_MODEL.answer["number"],
        help="largest difference of two scores; by default what an export may have (%(default)s)",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    expected: dict[str, float] | None = None
    wrong = 0
    for url in given.urls:
        try:
            found = ask(url, given.model, given.picture)
        except KerazooError as error:
            print(f"{url}\terror: {error}")
            return 2
        expected = expected or found
        difference = differs(expected, found, given.tolerance)
        wrong += difference is not None
        label = next(iter(found))
        print(f"{url}\t{label} {found[label]:.6f}\t{difference or 'as expected'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
