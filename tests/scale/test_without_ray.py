"""What holds where Ray is not installed, or not asked for."""

import subprocess
import sys

import pytest

from kerazoo.serve import scale
from kerazoo.serve.http.app import RestOptions
from kerazoo.serve.rpc import methods
from kerazoo.serve.scale import Plan, Scaling
from kerazoo.serve.server import Options, one_model
from kerazoo.serve.wire import protos
from kerazoo.serve.wire.status import Status

HIDDEN = "import sys; sys.modules['ray'] = None; from kerazoo.cli import main; main(sys.argv[1:])"


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "--scale", "ray", "examples/seven.png", "-m", "lenet5:mnist"],
        ["serve", "--scale", "ray", "--model_name=m", "--model_base_path=/nowhere"],
    ],
)
def test_the_package_is_named_that_is_missing(arguments):
    done = subprocess.run([sys.executable, "-c", HIDDEN, *arguments], capture_output=True, text=True)
    assert done.returncode == 6
    assert done.stderr.splitlines()[-1] == "error: More than one machine needs Ray: pip install 'kerazoo[ray]'"
    assert done.stdout == ""


def test_nothing_else_imports_ray():
    code = "import sys; import kerazoo.scale, kerazoo.serve.scale, kerazoo.cli.serve, kerazoo.cli.predict; "
    subprocess.run([sys.executable, "-c", code + "assert 'ray' not in sys.modules"], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "x.png", "--address", "auto"], "--address is the cluster's; it needs --scale ray."),
        (["predict", "x.png", "--scale", "ray", "--server", "http://x"], "Either --server or --scale"),
        (["serve", "lenet5:mnist", "--max-replicas", "2"], "--max-replicas needs --scale ray."),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    from kerazoo import cli

    assert cli.run(arguments) == 2
    assert message in capsys.readouterr().err


def test_settings_of_the_deployment():
    assert Scaling(3, cores=4).settings() == {"num_replicas": 3, "ray_actor_options": {"num_cpus": 4}}
    told = Scaling(2, most=5, target=1.5).settings()
    assert told["autoscaling_config"] == {"min_replicas": 2, "max_replicas": 5, "target_ongoing_requests": 1.5}
    assert "num_replicas" not in told


@pytest.mark.parametrize(
    ("options", "scaling", "message"),
    [
        ({"tls": object()}, Scaling(), "--ssl_config_file"),
        ({"host": "127.0.0.1"}, Scaling(), "--port=0"),
        ({}, Scaling(3, most=2), "--max-replicas 2 is less than --replicas 3"),
        ({"models": ()}, Scaling(), "model_base_path"),
    ],
)
def test_what_proxies_cannot_do_is_refused(options, scaling, message, tmp_path):
    given = Options(**{"models": [one_model("m", tmp_path)], **options})
    with pytest.raises(Status, match=message):
        scale.plan(given, scaling, {})


def test_a_plan_travels(tmp_path):
    import pickle

    told = pickle.loads(pickle.dumps(scale.plan(Options(models=[one_model("m", tmp_path)]), Scaling(cores=2), {})))
    assert isinstance(told, Plan)
    assert [(config.name, config.base_path) for config in told.here().models] == [("m", str(tmp_path))]
    assert told.options.loading.cores == 2
    assert told.options.http == RestOptions()


def test_a_model_of_the_zoo_is_prepared_where_its_folder_is_missing(monkeypatch, tmp_path):
    from kerazoo.export import prepare

    monkeypatch.setattr(prepare, "bundle", lambda model, say: tmp_path / model.variant)
    models = [one_model("lenet5", tmp_path / "elsewhere"), one_model("mine", tmp_path / "missing")]
    told = scale.plan(Options(models=models), Scaling(), {str(tmp_path / "elsewhere"): "lenet5:mnist"})
    assert [config.base_path for config in told.here().models] == [str(tmp_path / "lenet5"), str(tmp_path / "missing")]


def test_proxies_get_every_method_and_replicas_have_it():
    class Proxy:
        methods = []

        def add_generic_rpc_handlers(self, handlers):
            self.methods += handlers[0]._method_handlers

    proxy = Proxy()
    scale.add_to_server(scale.Replica, proxy)
    wanted = {f"/tensorflow.serving.{service}/{name}" for service, names in methods.SERVICES.items() for name in names}
    assert set(proxy.methods) == wanted
    assert all(callable(getattr(scale.Replica, path.rpartition("/")[2])) for path in wanted)


def test_the_last_line_tells_the_reason():
    from kerazoo.scale import reason

    assert reason("Traceback (most recent call last):\n  File ...\nStatus: no\n\n") == "Status: no"
    assert reason(ValueError()) == "ValueError"


def test_messages_pass_as_bytes():
    raw = protos.api("PredictResponse")(model_spec={"name": "m"}).SerializeToString()
    assert scale._Message(raw).SerializeToString() == raw
