"""The other end of `kerazoo.export.run`: one module's `main` in this process, its result as JSON on stdout.

Whatever else the libraries print goes to stderr. An error of ours comes back by its class and its words.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import threading

from kerazoo import packages
from kerazoo.errors import KerazooError


def _end_with_the_parent() -> None:
    # Nothing is ever written there: the read ends when the other end is closed, by the parent or by its death.
    with contextlib.suppress(OSError):
        os.read(0, 1)
    os._exit(1)


def main(module: str, *arguments: str) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # TensorFlow's C++ writes to descriptor 1.
    try:
        print(json.dumps(importlib.import_module(module).main(*arguments)), file=out)
        return 0
    except (KerazooError, OSError, ImportError) as caught:
        error = packages.missing(caught) if isinstance(caught, ImportError) else caught
        kind = type(error).__name__ if isinstance(error, KerazooError) else "KerazooError"
        print(f"\x1e{kind}\x1f{error}", file=out)
        return 1
    finally:
        out.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
