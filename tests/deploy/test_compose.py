"""compose.yaml, held against the Dockerfile and the tree."""

from __future__ import annotations

import pytest

from kerazoo import registry
from tests.deploy.files import ROOT, dockerfile, unknown_to_serve, yaml_of

STAGES = dockerfile()[1]
SERVERS = ("embedded", "tfserving")


@pytest.fixture(scope="module")
def compose():
    (document,) = yaml_of("compose.yaml")
    return document


@pytest.mark.parametrize("name", SERVERS)
def test_each_target_is_built_and_has_a_health_check(compose, name):
    service = compose["services"][name]
    assert service["build"] == {"context": ".", "target": name}
    assert STAGES[name].one("HEALTHCHECK")
    assert "healthcheck" not in service


def test_each_server_has_ports_of_its_own(compose):
    outside = []
    for name in SERVERS:
        pairs = [port.split(":") for port in compose["services"][name]["ports"]]
        assert [inside for _, inside in pairs] == STAGES[name].one("EXPOSE").split()
        outside += [port for port, _ in pairs]
    assert sorted(outside) == ["8500", "8501", "9500", "9501"]


def test_nothing_is_allowed_that_is_not_needed(compose):
    assert len(compose["services"]) == 3
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp"]
        assert not {"privileged", "cap_add", "user", "network_mode", "pid", "devices"} & service.keys()


def test_what_is_mounted_is_there(compose):
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                assert (ROOT / source).is_file() and mode == ["ro"]
            else:
                assert source in compose["volumes"]
                assert target in [STAGES["embedded"].one("VOLUME")]


def test_the_server_knows_its_arguments(compose):
    service = compose["services"]["embedded"]
    assert unknown_to_serve(service["command"]) == []
    (drain,) = [word.partition("=")[2] for word in service["command"] if word.startswith("--drain=")]
    assert float(service["stop_grace_period"].removesuffix("s")) > float(drain)


def test_the_smoke_test_asks_both_over_both(compose):
    smoke = compose["services"]["smoke"]
    inside = {target: source for source, target, _ in (volume.split(":") for volume in smoke["volumes"])}
    script = smoke["entrypoint"][1]
    assert inside[script] == "./deploy/smoke.py"
    model, picture, *urls = smoke["command"]
    assert picture in inside
    assert registry.find(model.removeprefix("--model=")).variant == "lenet5"
    ports = {"http": "8501", "grpc": "8500"}
    assert sorted(urls) == sorted(f"{kind}://{name}:{port}" for name in SERVERS for kind, port in ports.items())
    assert smoke["depends_on"] == {name: {"condition": "service_healthy"} for name in SERVERS}
    assert smoke["image"] == compose["services"]["embedded"]["image"]
