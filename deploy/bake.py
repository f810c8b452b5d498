"""Bundles for an image: of every model the SavedModel that TF Serving loads, and the engines that Kerazoo times.

python deploy/bake.py FOLDER "lenet5:mnist resnet50:imagenet"
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from kerazoo import registry
from kerazoo.errors import KerazooError, UsageError
from kerazoo.export import prepare


def bake(folder: Path, names: list[str]) -> list[Path]:
    """Puts a base folder with version 1 of each model into the folder, under the name of its variant.

    Raises:
        UsageError: Two names are of one variant, or a model has no weights.
        GateError: A bundle could not be verified.
    """
    models = [registry.find(name) for name in names]
    variants = [model.variant for model in models]
    if twice := sorted({name for name in variants if variants.count(name) > 1}):
        raise UsageError(f"One image holds one set of weights of a variant; twice there: {', '.join(twice)}.")
    made = []
    for model in models:
        registry.require_weights(model)
        base = prepare.bundle(model, lambda line: print(line, file=sys.stderr))
        made.append(Path(shutil.copytree(base, folder / model.variant)))
    return made


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", help="names, each an argument or with spaces between")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    try:
        for path in bake(given.folder, " ".join(given.models).split()):
            print(path)
    except KerazooError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
