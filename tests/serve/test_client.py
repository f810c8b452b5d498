"""`kerazoo.Client` and `kerazoo predict --server`: the answers of this machine, from another one."""

import json
import threading
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

import kerazoo
from kerazoo import cli, loading, registry, tasks
from kerazoo.codecs.text import Text, placeholder
from kerazoo.errors import InputError, KerazooError, UnknownModel, UsageError
from kerazoo.export import prepare
from kerazoo.serve import client, server
from kerazoo.serve.access import Access
from kerazoo.serve.http.app import App, RestOptions
from kerazoo.serve.http.listening import listen
from kerazoo.serve.http.listening import start as start_rest
from kerazoo.serve.models.catalogue import Watch
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.rpc.listening import start as start_grpc
from kerazoo.serve.server import Options, one_model
from kerazoo.tasks.translate import Translate
from tests.wire import serving


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAZOO_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def running(home, classics):
    base = prepare.bundle(registry.find("lenet5:mnist"), lambda line: None)
    models = [one_model("lenet5", base), one_model("half_plus_two", classics / "half_plus_two")]
    made = server.start(Options(models=models, grpc=0, rest=0, watch=Watch(0, Retries(0))))
    yield made
    made.close(1)


@pytest.fixture(params=["http", "grpc"])
def url(running, request):
    port = running.rest.port if request.param == "http" else running.rpc.ports[0]
    return f"{request.param}://127.0.0.1:{port}"


@pytest.fixture
def digits(tmp_path):
    """Two pictures and one file that is none."""
    random = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        Image.fromarray(random.integers(0, 255, (40, 30, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "c.png").write_text("no picture")
    return tmp_path


def test_the_answers_of_this_machine(url, digits, home):
    local, remote = loading.load("lenet5:mnist"), kerazoo.Client(url, "lenet5")
    for file in ("a.png", "b.jpg"):
        here, there = local(digits / file), remote(digits / file)
        assert here.labels == there.labels
        np.testing.assert_allclose(here.scores, there.scores, rtol=1e-4)
    results = list(remote([digits / "a.png", digits / "c.png", digits / "b.jpg"], batch=3))
    assert ["error" in result.to_json() for result in results] == [False, True, False]


def test_the_command_line_prints_the_same(url, digits, home, capsys):
    rows = []
    for more in ([], ["--server", url]):
        model = "lenet5" if more else "lenet5:mnist"
        assert cli.run(["predict", "-m", model, "--json", str(digits), *more]) == InputError.exit_code
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        rows.append([(r["input"], [t["label"] for t in r.get("top", [])], "error" in r) for r in lines])
    assert rows[0] == rows[1]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_model_with_a_vocabulary(scheme, home, classics):
    base = prepare.bundle(registry.find("char_lstm:tinyshakespeare"), lambda line: None)
    made = server.start(Options(models=[one_model("char_lstm", base)], grpc=0, rest=0, watch=Watch(0, Retries(0))))
    try:
        port = made.rest.port if scheme == "http" else made.rpc.ports[0]
        request = {"text": "To be", "seed": 3}
        here, there = (
            loading.load("char_lstm:tinyshakespeare"),
            kerazoo.Client(f"{scheme}://127.0.0.1:{port}", "char_lstm"),
        )
        assert there(request).text == here(request).text
    finally:
        made.close(1)


def test_what_travels_beside_a_card_is_asked_for():
    task = Translate(Text(placeholder(9), 8), placeholder(7), (), (), limit=8)
    card, files = tasks.to_card(task)
    assert len(files) == 2

    def get(answer):
        def exchange(method, path):
            url = urlsplit(path)
            assert url.path == client.FILES and parse_qs(url.query)["model"] == ["mine & yours"]
            return answer(parse_qs(url.query)["name"][0])

        return exchange

    assert client._task("mine & yours", card, get(lambda name: (200, files[name]))) == task
    with pytest.raises(KerazooError, match="has the sha256"):
        client._task("mine & yours", card, get(lambda name: (200, files[name] + b"more\n")))
    with pytest.raises(KerazooError, match="does not give the file vocabulary-"):
        client._task("mine & yours", card, get(lambda name: (404, b"{}")))


def test_the_page_of_files_knows_no_other(running, home):
    get = client._Http(f"http://127.0.0.1:{running.rest.port}", None, 10.0)
    for query in (
        "",
        "?model=lenet5",
        "?model=lenet5&name=labels.txt",
        "?model=none&name=x",
        "?model=half_plus_two&name=x",
    ):
        status, body = get("GET", client.FILES + query)
        assert status == 404 and "No file" in json.loads(body)["error"]


def test_many_threads_share_a_client(running, digits):
    remote = kerazoo.Client(f"http://127.0.0.1:{running.rest.port}", "lenet5")
    expected, found = remote(digits / "a.png").labels, []
    threads = [threading.Thread(target=lambda: found.append(remote(digits / "a.png").labels)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_models_that_are_not_there_or_not_known(running):
    url = f"http://127.0.0.1:{running.rest.port}"
    with pytest.raises(UnknownModel, match="The server has no model 'lenet'. Did you mean lenet5"):
        kerazoo.Client(url, "lenet")
    with pytest.raises(UsageError, match="half_plus_two was not exported by Kerazoo"):
        kerazoo.Client(url, "half_plus_two")
    with pytest.raises(UsageError, match="Name the model; the server has half_plus_two, lenet5"):
        kerazoo.Client(url)
    with pytest.raises(UsageError, match="Over gRPC the model must be named"):
        kerazoo.Client("grpc://localhost:1")


def test_a_server_that_only_knows_tf_servings_paths(running, monkeypatch):
    """As a real TF Serving, which has no page that says what a model does: the registry here knows."""
    monkeypatch.setattr("kerazoo.serve.client.ABOUT", "/no/such/page")
    remote = kerazoo.Client(f"http://127.0.0.1:{running.rest.port}", "lenet5")
    assert remote(np.zeros((28, 28), np.uint8)).top(1)
    with pytest.raises(UnknownModel, match="Nobody says what 'half_plus_two' does"):
        kerazoo.Client(f"http://127.0.0.1:{running.rest.port}", "half_plus_two")
    with pytest.raises(UnknownModel, match="gRPC cannot say it; .* at its address for REST"):
        kerazoo.Client(f"grpc://127.0.0.1:{running.rpc.ports[0]}", "half_plus_two")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_there(scheme, home):
    with pytest.raises(KerazooError, match=f"{scheme}://127.0.0.1:9 does not answer"):
        kerazoo.Client(f"{scheme}://127.0.0.1:9", "lenet5")(np.zeros((28, 28), np.uint8))


@pytest.mark.parametrize("url", ["localhost:8501", "ftp://x", "http://"])
def test_what_is_no_address(url):
    with pytest.raises(UsageError, match="is not the address of a server"):
        kerazoo.Client(url, "lenet5")


@pytest.mark.parametrize("wire", ["http", "grpc"])
def test_a_token(running, digits, tmp_path, capsys, wire):
    service = replace(running.service, access=Access("secret"))
    if wire == "http":
        guarded = start_rest(App(service, RestOptions(threads=1)), listen(0))
        url = f"http://127.0.0.1:{guarded.port}"
    else:
        guarded = start_grpc(service, ["127.0.0.1:0"], 1)
        url = f"grpc://127.0.0.1:{guarded.ports[0]}"
    try:
        with pytest.raises(KerazooError, match="Authorization|is not|Nobody says|not said"):
            kerazoo.Client(url, "lenet5")(digits / "a.png")
        (tmp_path / "token").write_text("secret\n")
        arguments = ["predict", "-m", "lenet5", "--server", url, "--token-file", str(tmp_path / "token")]
        assert cli.run([*arguments, str(digits / "a.png")]) == 0
    finally:
        guarded.stop(1)
    assert capsys.readouterr().out.count("%") == 5


def test_a_kept_connection_that_was_closed_is_opened_again(running, digits):
    short = start_rest(App(running.service, RestOptions(threads=1)), listen(0))
    remote = kerazoo.Client(f"http://127.0.0.1:{short.port}", "lenet5")
    remote(digits / "a.png")
    short.stop(0)
    again = start_rest(App(running.service, RestOptions(threads=1)), listen(short.port))
    try:
        assert remote(digits / "a.png").top(1)
    finally:
        again.stop(1)


def _odd(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.mark.parametrize(
    ("about", "told"),
    [
        (b"junk", "does not say what it serves"),
        (b"\xff\xfe", "does not say what it serves"),
        (b"[]", "does not say what it serves"),
        (b"[" * 100_000, "does not say what it serves"),
        (b'{"models": 3}', "does not say what it serves"),
        (b'{"models": [{}]}', "does not say what it serves"),
        (b'{"models": [{"name": 3, "task": null}]}', "does not say what it serves"),
        (b'{"models": [{"name": [], "task": null}]}', "does not say what it serves"),
        (b'{"models": [{"name": "lenet5", "task": 3}]}', "cannot be read"),
        (b'{"models": [{"name": "lenet5", "task": {}}]}', "None"),
        (b'{"models": [{"name": "lenet5", "task": {"kind": "classify", "class": "No"}}]}', "'No'"),
        (b'{"models": [{"name": "lenet5", "task": {"kind": "classify", "class": "Classify"}}]}', "version"),
    ],
)
def test_an_odd_servers_page_is_an_error_of_ours(about, told):
    with serving() as start, pytest.raises(KerazooError, match=told) as raised:
        kerazoo.Client(start(_odd(about)).removesuffix("/a"), "lenet5")
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b"[]",
        b'"x"',
        b"[" * 100_000,
        b'{"outputs": {}}',
        b'{"outputs": [1, 2]}',
        b'{"outputs": {"label": 3, "score": "x"}}',
        b'{"outputs": {"label": [["a"]], "score": [[1.0]]}}',
        b'{"outputs": {"label": [["a"]], "score": [[1.0], [2.0, 3.0]]}}',
        b'{"outputs": null}',
    ],
)
@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request", b"500 Oh"])
def test_an_odd_servers_answer_is_one_items_failure(home, answer, status, monkeypatch):
    monkeypatch.setattr("kerazoo.serve.client._about", lambda get, model: (model, client._known("lenet5:mnist", "")))
    with serving() as start:
        remote = kerazoo.Client(start(_odd(answer, status)).removesuffix("/a"), "lenet5")
        result = next(iter(remote([np.zeros((28, 28), np.uint8)])))
    assert "server" in result.to_json()["error"] or status != b"200 OK"
    assert "Error:" not in result.to_json()["error"]


def test_a_server_that_drips_is_left_in_time(home):
    with serving() as start:
        url = start(b"HTTP/1.1 200 OK\r\n", forever=b"X: y\r\n", pause=0.05).removesuffix("/a")
        with pytest.raises(KerazooError, match="does not answer: it was not done within"):
            kerazoo.Client(url, "lenet5", timeout=0.5)
