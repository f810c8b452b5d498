"""examples/browser: a page of a few lines answers in a real browser what `kerazoo predict` answers."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kerazoo
from tests.serve.test_page import BROWSER

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "examples" / "browser"
RUNTIME = Path(os.environ.get("KERAZOO_ONNXRUNTIME_WEB", PAGE / "node_modules" / "onnxruntime-web"))
"""The unpacked npm package."""

CHOOSE = """<script type="module">
const told = data => fetch("/told", {method: "POST", body: JSON.stringify(data)});
addEventListener("error", event => told({error: event.message}));
addEventListener("unhandledrejection", event => told({error: String(event.reason)}));
document.addEventListener("answered", event => told({
  scores: event.detail, rows: [...document.querySelectorAll("li")].map(row => row.textContent)}));
const data = new DataTransfer();
data.items.add(new File([await (await fetch("picture.png")).blob()], "picture.png", {type: "image/png"}));
const input = document.querySelector("input");
input.files = data.files;
input.dispatchEvent(new Event("change"));
</script></html>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    told: dict[str, Any]
    came: threading.Event

    def do_POST(self) -> None:
        type(self).told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()
        self.came.set()

    def log_message(self, *_: Any) -> None:
        pass


def asked(folder: Path, profile: Path) -> dict[str, Any]:
    """What the page in a folder says of its picture, in a browser."""
    handler = type("Once", (Handler,), {"came": threading.Event()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = subprocess.Popen(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_address[1]}/index.html"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert handler.came.wait(120), "the page did not answer"
        finally:
            browser.terminate()
            browser.wait(30)
            server.shutdown()
    return handler.told


@pytest.fixture
def file(exported: dict[str, Path]) -> Path:
    return exported["onnx"]


def stated() -> dict[str, Any]:
    """What the page says of the model."""
    return json.loads(re.search(r"const CARD = (\{.*?\});", (PAGE / "index.html").read_text("utf-8"), re.DOTALL)[1])


@pytest.mark.slow
def test_the_page_states_what_the_card_says(file: Path) -> None:
    import onnx

    model = onnx.load(str(file))
    card = json.loads({entry.key: entry.value for entry in model.metadata_props}["kerazoo"])
    task = card["tasks"]["classify"]
    page = stated()
    assert page == {**{side: task["input"][side] for side in ("height", "width", "channels")}, "labels": task["labels"]}
    fit = {name: task["input"][name] for name in ("resize", "interpolation", "fill")}
    assert fit == {"resize": None, "interpolation": "bilinear", "fill": "crop"}, "stretched, as the page does"
    assert [entry.name for entry in model.graph.input] == ["image"]
    assert [entry.name for entry in model.graph.output] == ["logits"]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.skipif(not RUNTIME.is_dir(), reason="npm install --no-save --prefix examples/browser onnxruntime-web")
@pytest.mark.parametrize("picture", ["examples/seven.png", "docs/images/scene.png"])
def test_it_answers_as_predict_does(file: Path, tmp_path: Path, picture: str) -> None:
    folder = tmp_path / "page"
    (folder / "node_modules").mkdir(parents=True)
    (folder / "node_modules" / "onnxruntime-web").symlink_to(RUNTIME.resolve())
    shutil.copy(file, folder / "lenet5.onnx")
    shutil.copy(ROOT / picture, folder / "picture.png")
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    (folder / "index.html").write_text(page.replace("</html>", CHOOSE), encoding="utf-8")
    told = asked(folder, tmp_path / "profile")
    assert "error" not in told, told
    expected = kerazoo.load(str(file), exact_pixels=True)(ROOT / picture)
    scores = dict(zip(expected.labels, expected.scores, strict=True))
    assert np.allclose(told["scores"], [scores[label] for label in stated()["labels"]], atol=1e-5)
    assert told["rows"][0].endswith(expected.labels[0]) and len(told["rows"]) == 5
