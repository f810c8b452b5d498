"""The page at `/`, the OpenAPI document and the probes; in a real browser where there is one."""

import base64
import contextlib
import html
import io
import json
import re
import shutil
import subprocess
import urllib.request
from http.client import HTTPConnection

import numpy as np
import pytest
from PIL import Image

from kerazoo import registry
from kerazoo.export import prepare
from kerazoo.serve import server
from kerazoo.serve.http.rest import Response
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


@pytest.fixture(scope="module")
def digit():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)).save(file, "PNG")
    return file.getvalue()


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
        "name": "half_plus_two", "version": 123, "engine": "tensorflow", "model": None, "task": None,
        "signatures": None,
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
    kinds = [get(running, path)[0] for path in re.findall(r'"(/page/[^"]+)"', body.decode())]
    assert kinds == ["text/css; charset=utf-8", *["text/javascript; charset=utf-8"] * 2]


def post(running, model, body, **headers):
    with contextlib.closing(HTTPConnection("127.0.0.1", running.rest.port, timeout=20)) as connection:
        connection.request("POST", f"/v1/models/{model}:predict", body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "image/jpeg; q=1"])
def test_a_file_as_the_body(running, digit, kind):
    status, answer = post(running, "lenet5", digit, **{"Content-Type": kind})
    assert status == 200 and len(answer["predictions"][0]["label"]) == 10


@pytest.mark.parametrize("model", ["lenet5", "half_plus_two"])
@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Content-Type": "multipart/form-data; boundary=x"}, "Forms of several parts (multipart/form-data)"),
        ({"Content-Type": "audio/wav"}, "This model takes no audio/wav."),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "The body is no text"),
        ({}, "its type is not given."),
    ],
)
def test_bodies_of_a_type_that_is_not_taken_are_told_what_is(running, digit, model, headers, why):
    status, answer = post(running, model, digit, **headers)
    assert status == 415
    assert why in answer["error"]
    assert "Send JSON" in answer["error"] and ("image/*" in answer["error"]) == (model == "lenet5")


def test_3_3_what_should_be_json_is_answered_as_ever(running, digit):
    for body, headers in ((b"what", {}), (digit, {"Content-Type": "application/json"}), (b"", {})):
        status, answer = post(running, "lenet5", body, **headers)
        assert (status, answer["error"][:16]) == (400, "JSON Parse error")


def browsed(running, tmp_path, page, script):
    """The page's document after a script has run in it, in a real browser."""
    script = f"<script>addEventListener('load', () => setTimeout(() => {{ {script} }}, 500));</script></body>"
    page = page.replace(b"</body>", script.encode())
    running.rest.app.options.pages["/tried"] = lambda request: Response(200, page, "text/html; charset=utf-8")
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
         f"http://127.0.0.1:{running.rest.port}/tried"], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return re.sub(r"<script>.*?</script>", "", done.stdout, flags=re.DOTALL) or done.stderr[-2000:]


DROP = """
const data = new DataTransfer();
data.items.add(new File([new Uint8Array([{bytes}])], "{name}", {{type: "{kind}"}}));
const drop = new DragEvent("drop", {{cancelable: true, dataTransfer: data}});
window.dispatchEvent(drop);
document.title = `stayed ${{drop.defaultPrevented}}`;
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_in_a_browser(running, digit, tmp_path):
    """The models are listed, and a picture that is dropped, if beside the box, gets its labels."""
    choose = 'at("model").value = "lenet5"; at("model").onchange();'
    drop = DROP.format(bytes=",".join(map(str, digit)), name="digit.png", kind="image/png")
    shown = browsed(running, tmp_path, get(running, "/")[1], choose + drop)
    assert "<option>half_plus_two</option><option>lenet5</option>" in shown, shown
    assert "<title>stayed true</title>" in shown
    assert shown.count('class="row"') == 5
    assert "index:" not in shown and "score:" not in shown
    assert re.search(r"\d+ ms · version 1 · (onnx|litert)", shown)
    assert 'alt="digit.png"' in shown


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_any_media_in_a_browser(running, tmp_path):
    """A media that this page was not written for: a box for its files, and what plays them."""
    port = {
        "name": "sound",
        "dtype": "string",
        "shape": [None],
        "media": "audio",
        "mime": "audio/*",
        "suffixes": [".wav"],
    }
    answers = [{"signature": "serving_default", "task": "hear", "request": [port], "response": [port]}]
    told = json.dumps([{"name": "ears", "version": 1, "engine": "fake", "signatures": answers}])
    show = f'models = {told}; at("model").replaceChildren(make("option", "ears")); chooseModel();'
    answer = 'show(chosen(), {sound: [{b64: "UklGRg=="}]}).then(made => at("answer").append(...made));'
    drop = DROP.format(bytes="82,73,70,70", name="hello.wav", kind="audio/wav")
    shown = browsed(running, tmp_path, get(running, "/")[1], show + drop + answer)
    assert 'accept="audio/*,.wav"' in shown, shown
    assert re.search(r'<audio src="data:audio/[^"]*;base64,UklGRg=="', shown)
    assert "hello.wav" in shown and "audio/wav&#39; --data-binary" in shown.replace("'", "&#39;")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_camera_in_a_browser(running, tmp_path):
    """What it sees is asked about, and then it is let go; no picture comes before the first frame is there."""
    # A hurried browser's camera does not wake up: here it is a canvas, and the sizes are those of a first frame.
    take = """
        const [camera] = [...document.querySelectorAll("button")].filter(each => each.textContent === "Use the camera");
        const seen = document.createElement("canvas").captureStream();
        navigator.mediaDevices.getUserMedia = async () => seen;
        (async () => {
          await camera.onclick();
          const video = document.querySelector("video");
          for (const side of ["videoWidth", "videoHeight"])
            Object.defineProperty(video, side, { value: 0, writable: true });
          await camera.onclick();
          const before = at("answer").childElementCount;
          video.videoWidth = video.videoHeight = 28;
          await camera.onclick();
          document.title = `${before} ${seen.getTracks().map(track => track.readyState)}`;
        })();"""
    choose = 'at("model").value = "lenet5"; at("model").onchange();'
    shown = browsed(running, tmp_path, get(running, "/")[1], choose + take)
    assert "<title>0 ended</title>" in shown, shown
    assert 'alt="camera.jpg"' in shown and shown.count('class="row"') == 5
    assert 'kerazoo.Client("http://127.0.0.1:' in html.unescape(shown)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_seed_in_a_browser(running, tmp_path):
    """The slider gives its place to the number beside it, and asks."""
    port = {"name": "seed", "dtype": "int64", "shape": [None], "media": "seed", "mime": None, "suffixes": []}
    answers = [{"signature": "serving_default", "task": "sample", "request": [port], "response": [port]}]
    told = json.dumps([{"name": "dice", "version": 1, "engine": "fake", "signatures": answers}])
    slide = f"""
        models = {told}; at("model").replaceChildren(make("option", "dice")); chooseModel();
        fetch = async (path, request) => ({{ json: () => ({{ outputs: JSON.parse(request.body).inputs.seed }}) }});
        const slider = document.querySelector("input[type=range]");
        slider.value = 42; slider.oninput(); slider.onchange();"""
    shown = browsed(running, tmp_path, get(running, "/")[1], slide)
    assert "<p>seed: 42</p>" in shown, shown


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_attention_in_a_browser(running, tmp_path):
    outputs = {
        "translation": ["a man"], "score": [-0.5], "source": [["ein", "mann", "<end>", "<pad>"]],
        "target": [["a", "man", "<end>", "<pad>"]], "attention": [np.eye(4).tolist()],
    }  # fmt: skip
    script = f"""show({{task: "attention", response: []}}, {json.dumps(outputs)}).then(made => {{
        at("answer").append(...made);
        const shades = [...document.querySelectorAll("tr + tr td")].map(cell => getComputedStyle(cell).backgroundColor);
        document.title = shades.map(shade => shades[0] === shade ? "x" : ".").join("");
    }});"""
    shown = html.unescape(browsed(running, tmp_path, get(running, "/")[1], script))
    assert "<title>x...x...x</title>" in shown, shown
    assert "<th>ein</th><th>mann</th><th><end></th></tr>" in shown and "<pad>" not in shown
    assert shown.count('title="100.0 %"') == 3


def grey(rows):
    """A PNG of numbers, in base64."""
    file = io.BytesIO()
    Image.fromarray(np.array(rows, np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


WIDE = grey(np.full((20, 40), 255))

DETECT = {
    "box": [[[10, 5, 30, 15], [0, 0, 0, 0]]], "label": [["a <b> dog", ""]], "index": [[3, 0]],
    "score": [[0.987, 0]], "count": [1], "size": [[20, 40]],
}  # fmt: skip
SEGMENT = {"mask_bytes": [{"b64": grey([[0] * 20 + [1] * 20] * 20)}], "share": [[0.5, 0.5]]}
RANK = {
    "score": [1.5], "word": [["a", "dog", "<unk>", ""]], "word_score": [[0.5, 1, 0, 0]],
    "box": [[[10, 5, 30, 15], [10, 5, 30, 15], [0, 0, 0, 0], [0, 0, 0, 0]]], "count": [3], "size": [[20, 40]],
}  # fmt: skip
POSE = {"points": [[[10, 5], [30, 15], [1, 1]]], "score": [[0.9, 0.8, 0.1]], "size": [[20, 40]]}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(
    ("told", "outputs", "expected", "colours"),
    [
        # 3 times the golden share of the circle of colours.
        ({"task": "detect"}, DETECT, "Boxes: a <b> dog 0.99", {(20, 15): "255,51,230", (2, 2): "255,255,255"}),
        ({"task": "detect"}, DETECT | {"count": [0]}, "No boxes", {(20, 15): "255,255,255"}),
        ({"task": "segment", "labels": ["ground", "cat"]}, SEGMENT, "ground 50.0 %, cat 50.0 %",
         {(5, 10): "255,255,255", (35, 10): "179,102,102"}),
        ({"task": "pose", "labels": ["hip", "knee", "toe"], "bones": [[0, 1], [1, 2]]}, POSE, "Joints: hip, knee",
         {(20, 10): "0,128,0", (1, 1): "255,255,255"}),
        ({"task": "rank"}, RANK, "Regions: a dog", {(20, 15): "255,51,51", (2, 18): "255,255,255"}),
    ],
)  # fmt: skip
def test_answers_are_drawn_on_the_picture(running, tmp_path, told, outputs, expected, colours):
    """As the command line draws them; a label's markup stays text."""
    script = f"""
        const bytes = Uint8Array.from(atob("{WIDE}"), char => char.charCodeAt(0));
        const file = new File([bytes], "a.png", {{type: "image/png"}});
        show({json.dumps(told)}, {json.dumps(outputs)}, file).then(made => {{
          at("answer").append(...made);
          const pen = made[0].getContext("2d");
          const seen = {json.dumps(list(colours))}.map(([x, y]) => [...pen.getImageData(x, y, 1, 1).data.slice(0, 3)]);
          document.title = `${{made[0].width}}x${{made[0].height}} ${{JSON.stringify(seen)}}`;
        }});"""
    shown = html.unescape(browsed(running, tmp_path, get(running, "/")[1], script))
    title = re.search("<title>40x20 (.*)</title>", shown)
    assert title is not None, shown
    seen = [[abs(a - int(b)) for a, b in zip(one, other.split(","), strict=True)]
            for one, other in zip(json.loads(title[1]), colours.values(), strict=True)]  # fmt: skip
    assert np.max(seen) <= 2, title[1]
    assert f'aria-label="{expected}"' in shown.replace("&lt;", "<").replace("&gt;", ">")
