"""Runs the notebooks anew, in a kernel and in a folder of their own, and keeps what they show.

python examples/run.py [NOTEBOOK...]
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
LONGEST = 600
"""Seconds of a cell."""


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with what its cells gave in an empty folder, which gets all that they write."""
    shutil.copy(HERE / "drawn.py", folder)
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    # The commands beside this Python, and none of what TensorFlow says about processors.
    told = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    client = NotebookClient(
        notebook, timeout=LONGEST, kernel_name="python3", record_timing=False, coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    client.execute(env={**os.environ, **told})
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            _smallest(output.get("data", {}))
    # What depends on the machine that ran it goes.
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def _smallest(shown: dict[str, str]) -> None:
    """Of a picture that is there as PNG and as JPEG, keeps the smaller one."""
    pictures = sorted((kind for kind in shown if kind.startswith("image/")), key=lambda kind: len(shown[kind]))
    for kind in pictures[1:]:
        del shown[kind]


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted(HERE.glob("*.ipynb"))):
        with tempfile.TemporaryDirectory() as folder:
            made = run(path, Path(folder))
        nbformat.write(made, path)
        print(path)
