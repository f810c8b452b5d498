"""The manifests, held against the published schemas, the server and the Dockerfile."""

from __future__ import annotations

import copy

import pytest

from kerazoo import __version__
from kerazoo.serve.http.app import METRICS as METRICS_PATH
from tests.deploy.files import ROOT, dockerfile, pages, unknown_to_serve, yaml_of

FOLDER = "deploy/kubernetes"
EMBEDDED = dockerfile()[1]["embedded"]
METRICS = {"deployment.yaml": "prometheus.io/path", "kserve.yaml": "prometheus.kserve.io/path"}

RUNTIME = {
    "affinity", "annotations", "builtInAdapter", "containers", "disabled", "grpcDataEndpoint", "grpcEndpoint",
    "hostIPC", "httpDataEndpoint", "imagePullSecrets", "labels", "multiModel", "nodeSelector", "protocolVersions",
    "replicas", "resourceClaims", "schedulerName", "storageHelper", "supportedModelFormats", "tolerations", "volumes",
    "workerSpec",
}  # fmt: skip
"""Fields of a ServingRuntime's spec in serving.kserve.io/v1alpha1; `containers` is required (KServe 0.20)."""

FORMAT = {"autoSelect": bool, "name": str, "priority": int, "version": str}

PREDICTOR = {"minReplicas": int, "maxReplicas": int, "scaleMetric": str, "scaleTarget": int, "model": dict,
             "terminationGracePeriodSeconds": int}  # fmt: skip
"""Those fields of an InferenceService's predictor in serving.kserve.io/v1beta1 that are used here."""

MODEL = {"modelFormat": dict, "protocolVersion": str, "runtime": str, "storageUri": str}
"""Those fields of a predictor's model, beside a container's, that are used here."""


def check(manifest: dict) -> None:
    """Raises for what the published schemas refuse: Kubernetes' own, and KServe's as far as it is used here."""
    if not manifest["apiVersion"].startswith("serving.kserve.io/"):
        return strictly(manifest)
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    strictly({"apiVersion": "v1", "kind": "ConfigMap", "metadata": manifest["metadata"]})
    if (manifest["kind"], manifest["apiVersion"]) == ("ServingRuntime", "serving.kserve.io/v1alpha1"):
        spec = manifest["spec"]
        assert set(spec) <= RUNTIME
        for row in spec["supportedModelFormats"]:
            assert "name" in row and all(isinstance(value, FORMAT[field]) for field, value in row.items())
            assert row.get("priority", 1) >= 1
        assert all(isinstance(version, str) for version in spec["protocolVersions"])
        # Its containers and volumes are a pod's.
        pod = {"containers": spec["containers"], "volumes": spec["volumes"]}
        return strictly({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod})
    assert (manifest["kind"], manifest["apiVersion"]) == ("InferenceService", "serving.kserve.io/v1beta1")
    assert set(manifest["spec"]) == {"predictor"}
    predictor = manifest["spec"]["predictor"]
    assert all(isinstance(value, PREDICTOR[field]) for field, value in predictor.items())
    assert predictor["scaleMetric"] in ("cpu", "memory", "concurrency", "rps")
    assert all(isinstance(value, MODEL[field]) for field, value in predictor["model"].items())
    assert set(predictor["model"]["modelFormat"]) <= {"name", "version"}


def strictly(manifest: dict) -> None:
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed; it comes with the extra `test`"
    )
    kubernetes.validate(manifest, kubernetes.latest_version(), strict=True)


def one(file: str, kind: str) -> dict:
    (found,) = [document for document in yaml_of(f"{FOLDER}/{file}") if document["kind"] == kind]
    return found


@pytest.fixture(scope="module")
def deployment():
    return one("deployment.yaml", "Deployment")


@pytest.fixture(scope="module")
def runtime():
    return one("kserve.yaml", "ServingRuntime")


def containers():
    """Pod-like specs with their one container, by file."""
    pod = one("deployment.yaml", "Deployment")["spec"]["template"]["spec"]
    served = one("kserve.yaml", "ServingRuntime")["spec"]
    return {"deployment.yaml": (pod, pod["containers"][0]), "kserve.yaml": (served, served["containers"][0])}


@pytest.mark.parametrize("file", ["deployment.yaml", "service.yaml", "autoscaler.yaml", "kserve.yaml"])
def test_the_schemas_accept_it(file):
    for manifest in yaml_of(f"{FOLDER}/{file}"):
        check(manifest)


@pytest.mark.parametrize(
    ("file", "kind", "path", "value"),
    [
        ("deployment.yaml", "Deployment", ["spec", "template", "spec", "containers", 0, "readynessProbe"], {}),
        ("deployment.yaml", "Deployment", ["spec", "selector"], "kerazoo"),
        ("autoscaler.yaml", "HorizontalPodAutoscaler", ["spec", "maxReplicas"], "ten"),
        ("kserve.yaml", "ServingRuntime", ["spec", "containers", 0, "arguments"], []),
        ("kserve.yaml", "ServingRuntime", ["spec", "supportedFormats"], []),
        ("kserve.yaml", "ServingRuntime", ["spec", "supportedModelFormats", 0, "autoSelect"], "yes"),
        ("kserve.yaml", "InferenceService", ["spec", "predictor", "model", "storageURI"], "pvc://x"),
        ("kserve.yaml", "InferenceService", ["spec", "predictor", "maxReplicas"], "10"),
    ],
)
def test_a_slip_would_be_noticed(file, kind, path, value):
    manifest = copy.deepcopy(one(file, kind))
    check(manifest)
    *above, last = path
    inner = manifest
    for step in above:
        inner = inner[step]
    inner[last] = value
    refused = pytest.importorskip("kubernetes_validate").ValidationError
    with pytest.raises((AssertionError, KeyError, refused)):
        check(manifest)


def test_the_three_belong_together(deployment):
    service, scaler = one("service.yaml", "Service"), one("autoscaler.yaml", "HorizontalPodAutoscaler")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    ports = {
        port["name"]: port["containerPort"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    assert [str(port) for port in ports.values()] == EMBEDDED.one("EXPOSE").split()
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports
    target = scaler["spec"]["scaleTargetRef"]
    assert target == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    # What it sets would be undone at every apply.
    assert "replicas" not in deployment["spec"]


def test_the_autoscaler_has_something_to_divide_by(deployment):
    (metric,) = one("autoscaler.yaml", "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["resource"]["target"]["type"] == "Utilization"
    requests = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert metric["resource"]["name"] in requests


@pytest.mark.parametrize("file", METRICS)
def test_probes_ask_pages_that_exist(file):
    _, container = containers()[file]
    ports = {port.get("name", port["containerPort"]): port["containerPort"] for port in container["ports"]}
    kinds = {kind: container[kind]["httpGet"] for kind in container if kind.endswith("Probe")}
    assert {"readinessProbe", "livenessProbe"} <= set(kinds)
    for kind, ask in kinds.items():
        assert ask["path"] in pages()
        assert ask["path"] == ("/readyz" if kind == "readinessProbe" else "/healthz")
        assert ask["port"] in ports
    # A server that does not drop requests for a moment is not killed for it.
    assert container["livenessProbe"].get("failureThreshold", 3) >= 3


@pytest.mark.parametrize("file", METRICS)
def test_metrics_are_where_they_are_looked_for(file, deployment, runtime):
    above = deployment["spec"]["template"]["metadata"] if file == "deployment.yaml" else runtime["spec"]
    assert above["annotations"][METRICS[file]] == METRICS_PATH
    (port,) = [value for key, value in above["annotations"].items() if key.endswith("/port")]
    assert int(port) in [row["containerPort"] for row in containers()[file][1]["ports"]]


@pytest.mark.parametrize("file", METRICS)
def test_nothing_is_allowed_that_is_not_needed(file):
    pod, container = containers()[file]
    allowed = {**pod.get("securityContext", {}), **container["securityContext"]}
    uid, gid = EMBEDDED.one("USER").split(":")
    assert allowed == {
        "runAsNonRoot": True, "runAsUser": int(uid), "runAsGroup": int(gid), "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert "/tmp" in mounted and all("emptyDir" in volume for volume in mounted.values())
    if file == "deployment.yaml":
        assert set(mounted) == {"/tmp", EMBEDDED.one("VOLUME")}


@pytest.mark.parametrize("file", METRICS)
def test_the_server_knows_its_arguments(file):
    _, container = containers()[file]
    assert unknown_to_serve(container["args"]) == []


def test_there_is_time_to_drain(deployment):
    pod, container = containers()["deployment.yaml"]
    (drain,) = [float(word.partition("=")[2]) for word in container["args"] if word.startswith("--drain=")]
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod["terminationGracePeriodSeconds"] > pause + drain
    (drain,) = [float(w.partition("=")[2]) for w in containers()["kserve.yaml"][1]["args"] if w.startswith("--drain=")]
    assert one("kserve.yaml", "InferenceService")["spec"]["predictor"]["terminationGracePeriodSeconds"] > drain


def test_kserve_finds_the_runtime_and_its_ports(runtime):
    predictor = one("kserve.yaml", "InferenceService")["spec"]["predictor"]
    model = predictor["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    wanted = [(row["name"], row["version"]) for row in runtime["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in wanted
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    (container,) = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container"  # KServe knows the predictor by this name.
    assert container["command"] == ["kerazoo", "serve"]
    served, *flags = container["args"]
    assert served == "{{.Name}}=/mnt/models"  # Where KServe puts what it fetched.
    (rest,) = [flag.partition("=")[2] for flag in flags if flag.startswith("--rest_api_port=")]
    assert [int(rest)] == [port["containerPort"] for port in container["ports"]]


def test_one_image_everywhere(deployment, runtime):
    kustomization = one("kustomization.yaml", "Kustomization")
    for file in kustomization["resources"]:
        assert (ROOT / FOLDER / file).is_file()
    (image,) = kustomization["images"]
    assert containers()["deployment.yaml"][1]["image"] == image["name"]
    assert str(image["newTag"]) == __version__
    assert containers()["kserve.yaml"][1]["image"] == f"{image['newName']}:{image['newTag']}"
