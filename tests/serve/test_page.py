"""The page at `/`, the OpenAPI document and the probes; in a real browser where there is one."""

import json
import re
import shutil
import subprocess
import urllib.request

import numpy as np
import pytest
from PIL import Image

from kerazoo import registry
from kerazoo.export import prepare
from kerazoo.serve import server
from kerazoo.serve.models.catalogue import Watch
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.server import Options, one_model

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def running(tmp_path_factory, classics):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAZOO_HOME", str(tmp_path_factory.mktemp("home")))
        base = prepare.bundle(registry.find("lenet5:mnist"), lambda line: None)
        models = [one_model("lenet5", base), one_model("half_plus_two", classics / "half_plus_two")]
        made = server.start(Options(models=models, grpc=None, rest=0, watch=Watch(0, Retries(0))))
        yield made
        made.close(1)


def get(running, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{running.rest.port}{path}", timeout=20) as response:
        return response.headers["content-type"], response.read()


def test_what_there_is(running):
    kind, body = get(running, "/kerazoo/models")
    assert kind == "application/json"
    rows = {row["name"]: row for row in json.loads(body)["models"]}
    assert rows["lenet5"]["task"]["kind"] == "classify"
    (answers,) = rows["lenet5"]["signatures"]
    assert (answers["signature"], answers["task"]) == ("serving_default", "classify")
    (port,) = answers["request"]
    assert (port["name"], port["media"], port["mime"], port["shape"]) == ("image_bytes", "image", "image/*", [None])
    assert ".png" in port["suffixes"]
    assert [port["dtype"] for port in answers["response"]] == ["string", "int64", "float32"]
    assert rows["half_plus_two"] == {
        "name": "half_plus_two", "version": 123, "engine": "tensorflow", "model": None, "task": None, "signatures": None,
    }  # fmt: skip


def test_openapi_describes_what_is_answered(running):
    document = json.loads(get(running, "/openapi.json")[1])
    assert document["openapi"].startswith("3.1")
    ask = document["paths"]["/v1/models/lenet5:predict"]["post"]
    assert set(ask["requestBody"]["content"]) == {"application/json", "image/*"}
    inputs = ask["requestBody"]["content"]["application/json"]["schema"]["properties"]["inputs"]["properties"]
    assert inputs["image_bytes"]["items"]["properties"]["b64"]["contentEncoding"] == "base64"
    outputs = ask["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["outputs"]
    assert outputs["properties"]["score"]["items"]["items"] == {"type": "number"}
    for path, methods in document["paths"].items():
        if "get" in methods:
            assert json.loads(get(running, path)[1])


def test_the_page_needs_nothing_from_elsewhere(running):
    kind, body = get(running, "/")
    assert kind.startswith("text/html")
    assert not re.findall(rb"""(?:src|href)=["'](?:https?:)?//""", body)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_in_a_browser(running, tmp_path):
    """The models are listed, and a picture that is dropped gets its labels."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)).save(tmp_path / "digit.png")
    picture = ",".join(map(str, (tmp_path / "digit.png").read_bytes()))
    drop = f"""<script>addEventListener("load", () => setTimeout(() => {{
        document.getElementById("model").value = "lenet5";
        document.getElementById("model").onchange();
        const drop = new DragEvent("drop", {{cancelable: true, dataTransfer: new DataTransfer()}});
        drop.dataTransfer.items.add(new File([new Uint8Array([{picture}])], "digit.png", {{type: "image/png"}}));
        window.dispatchEvent(drop);
        document.title = `stayed ${{drop.defaultPrevented}}`;
    }}, 500));</script></body>"""
    from kerazoo.serve.http.rest import Response

    page = get(running, "/")[1].replace(b"</body>", drop.encode())
    running.rest.app.options.pages["/dropping"] = lambda request: Response(200, page, "text/html; charset=utf-8")
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
         f"http://127.0.0.1:{running.rest.port}/dropping"], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    shown = re.sub(r"<script>.*?</script>", "", done.stdout, flags=re.DOTALL)
    assert "<option>half_plus_two</option><option>lenet5</option>" in shown, done.stderr[-2000:]
    assert shown.count('class="row"') == 5
    assert re.search(r"\d+ ms · version 1 · (onnx|litert)", shown)
    assert 'alt="digit.png"' in shown
    assert "<title>stayed true</title>" in shown
