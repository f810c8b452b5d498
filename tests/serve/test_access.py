"""Who may ask over either wire, and who may configure models."""

import http.client
import subprocess
import sys

import pytest

from kerazoo.serve.access import Access
from kerazoo.serve.wire import protos
from kerazoo.serve.wire.status import Status
from tests.serve.stub import request, serving, tensor

GOOD = request(x=tensor([1], float_val=[2.0]))


def echo(signature, inputs, outputs):
    return {"y": inputs["x"]}


def reload(*models):
    made = protos.api("ReloadConfigRequest")()
    made.config.model_config_list.SetInParent()
    for name, base in models:
        made.config.model_config_list.config.add(name=name, base_path=str(base), model_platform="tensorflow")
    return made


@pytest.mark.parametrize(
    ("header", "right"),
    [
        ("Bearer secret", True), ("bearer secret", True), ("Bearer  secret ", True), ("Bearer Secret", False),
        ("Bearer", False), ("", False), ("secret", False), ("Basic secret", False), ("Bearer gehe\u00efm", False),
    ],
)  # fmt: skip
def test_which_headers_hold_the_token(header, right):
    Access().check(header)
    if right:
        Access("secret").check(header)
    else:
        with pytest.raises(Status, match="UNAUTHENTICATED"):
            Access("secret").check(header)


def test_the_token_covers_every_method_of_grpc(tmp_path):
    with serving(tmp_path, echo, access=Access("secret", reload=True)) as stub:
        for service, method, asked in (
            ("PredictionService", "Predict", GOOD),
            ("PredictionService", "Classify", b""),
            ("PredictionService", "GetModelMetadata", b""),
            ("ModelService", "GetModelStatus", b""),
            ("ModelService", "HandleReloadConfigRequest", reload()),
        ):
            for token in (None, "wrong"):
                code, text = stub.refused(method, asked, token, service=service)
                assert code == "UNAUTHENTICATED" and "Authorization" in text
        answer = stub.call("Predict", GOOD, "secret").result()
        assert protos.api("PredictResponse").FromString(answer).outputs["y"].float_val == [2.0]


def test_models_stay_where_nobody_may_configure_them(tmp_path):
    with serving(tmp_path, echo) as stub:
        for asked in (reload(), reload(("x", "/proc")), reload(("x", "/no/such/folder"))):
            code, text = stub.refused("HandleReloadConfigRequest", asked, service="ModelService")
            assert code == "PERMISSION_DENIED" and "--allow-reload" in text and "/" not in text
        assert stub.call("Predict", GOOD).result()
    with serving(tmp_path, echo, access=Access(reload=True)) as stub:
        stub.call("HandleReloadConfigRequest", reload(), service="ModelService").result()
        assert stub.refused("Predict", GOOD)[0] == "NOT_FOUND"


def test_configurations_that_wait_for_ever_keep_nobody_out(tmp_path):
    with serving(tmp_path, echo, access=Access(reload=True), reloads=2) as stub:
        mine, missing = ("m", tmp_path / "m"), ("x", tmp_path / "missing")
        waiting = [
            stub.call("HandleReloadConfigRequest", reload(mine, missing), service="ModelService", timeout=None)
            for _ in range(6)
        ]
        done = []
        while len(done) < 4:
            done = [one for one in waiting if one.done()]
        assert {one.code().name for one in done} <= {"RESOURCE_EXHAUSTED", "OK"}
        for _ in range(10):
            assert stub.call("Predict", GOOD, timeout=10).result()
        for one in waiting:
            one.cancel()
        stub.call("HandleReloadConfigRequest", reload(mine), service="ModelService", timeout=20).result()


def test_rest_without_the_token_reads_no_body_and_health_stays_open(tmp_path):
    with serving(tmp_path, echo, access=Access("secret")) as stub:
        for path, status in (("/healthz", 404), ("/v1/models/m", 401), ("/", 401)):
            connection = http.client.HTTPConnection("127.0.0.1", stub.rest, timeout=10)
            connection.putrequest("POST", path)
            connection.putheader("Content-Length", "1000000")
            connection.endheaders()  # The body never comes.
            assert connection.getresponse().status == status
            connection.close()
        assert not stub.service.budget.clients


def test_an_empty_token_file_is_refused(tmp_path):
    (tmp_path / "token").write_text(" \n")
    for path in (tmp_path / "token", tmp_path / "missing"):
        done = subprocess.run(
            [sys.executable, "-m", "kerazoo", "serve", f"--token-file={path}", f"m={tmp_path}"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode != 0
        assert "--token-file" in done.stderr


@pytest.mark.parametrize("wrong", ["rows", "rows=x", "rows=-1", "rows=0", "nothing=1", "seconds=inf", "share=nan"])
def test_limits_that_are_none_are_refused(wrong):
    from click import UsageError

    from kerazoo.cli.serve import _limits
    from kerazoo.serve.limits import Limits

    assert _limits(Limits(), 5, ("rows=7", "seconds=0.5")) == Limits(body=5 << 20, rows=7, seconds=0.5)
    with pytest.raises(UsageError, match="names are body, inflated"):
        _limits(Limits(), 5, (wrong,))


def test_the_table_of_limits_is_the_one_in_the_manual():
    import dataclasses
    import re
    from pathlib import Path

    from kerazoo.serve.limits import Limits

    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", text, re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == dataclasses.asdict(Limits())


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({}, True), ({"host": "0.0.0.0"}, True), ({"host": "::"}, True), ({"host": "example.org"}, True),
        ({"host": "127.0.0.1"}, False), ({"host": "[::1]"}, False), ({"host": "localhost"}, False),
        ({"grpc": None, "rest": None, "socket": "/x"}, False),
    ],
)  # fmt: skip
def test_which_addresses_other_machines_reach(options, warned):
    from kerazoo.serve import server

    assert server._public(server.Options(**options)) is warned


def test_a_server_started_as_tf_serving_lets_models_be_configured_and_says_so(tmp_path, caplog, monkeypatch):
    import logging

    from kerazoo.cli.serve import _access
    from kerazoo.serve import flags

    monkeypatch.setattr(logging.getLogger("kerazoo.serve"), "propagate", True)
    (tmp_path / "token").write_text("secret\n")
    theirs, ours = flags.parse(["--model_base_path=/x"]), flags.parse(["m=/x"])
    assert _access(theirs, None, False) == Access(None, True)
    assert "may configure models" in caplog.text
    caplog.clear()
    assert _access(ours, None, False) == Access(None, False)
    assert _access(ours, None, True) == Access(None, True)
    for flags_ in (theirs, ours):
        assert _access(flags_, tmp_path / "token", False) == Access("secret", True)
    assert not caplog.text
