"""The Kubernetes files: kustomize renders them, the schemas accept them, and they say what the service needs."""

import copy
import re
import shutil
from pathlib import Path

import pytest
from manifests import (
    KUBERNETES,
    Document,
    containers,
    environment,
    one,
    overlay,
    pod_templates,
    rendered,
    set_at,
    settings_of,
    stop_s,
)

from src import __version__
from src.api.paths import PROBES
from src.metrics.counters import Counters, SourceCounters
from src.metrics.exposition import expose
from src.metrics.load import Load, ProcessLoad
from src.metrics.parser import Source
from src.metrics.server_log import MAX_BYTES
from src.settings import Settings

OVERLAYS = ["gpu", "cpu", "rayservice"]
VERSIONS = ["1.30", "1.37"]
"""Of Kubernetes: the oldest that has `sleep` before a stop switched on, and the newest that has schemas."""
CUSTOM = {"Gateway", "HTTPRoute", "BackendTrafficPolicy", "ClientTrafficPolicy", "ScaledObject", "RayService"}
"""Kinds that are not Kubernetes' own: their schemas are nowhere here."""
BYTES = {"Mi": 1 << 20, "Gi": 1 << 30}


@pytest.fixture(scope="module")
def with_everything(tmp_path_factory) -> list[Document]:
    """The overlay for a GPU with all components, switched on as its comment says."""
    folder = shutil.copytree(KUBERNETES, tmp_path_factory.mktemp("all") / "kubernetes")
    kustomization = folder / "overlays" / "gpu" / "kustomization.yaml"
    switched_on = kustomization.read_text().replace("# components: [", "components: [../../components/nginx, ")
    kustomization.write_text(switched_on)
    return rendered(kustomization.parent)


def service_containers(documents: list[Document]) -> list[Document]:
    return [each for document in documents for each in containers(document) if "startupProbe" in each]


def validate(document: Document, version: str) -> None:
    """Raise unless Kubernetes' schemas accept an object; of another kind's, its pod templates."""
    schemas = pytest.importorskip("kubernetes_validate", reason="try: pip install -e '.[manifests]'")
    if document["kind"] not in CUSTOM:
        schemas.validate(document, version, strict=True)
        return
    for template in pod_templates(document):
        metadata = {"name": "pod"} | template.get("metadata", {})
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        schemas.validate(pod, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_the_schemas_accept_an_overlay(name, version):
    documents = overlay(name)
    assert len(documents) >= 5
    for document in documents:
        validate(document, version)


def test_the_schemas_accept_the_components(with_everything):
    for document in with_everything:
        validate(document, VERSIONS[-1])
    assert CUSTOM - {each["kind"] for each in with_everything} == {"RayService"}


CONTAINER = ["spec", "template", "spec", "containers", 0]


@pytest.mark.parametrize(
    ("kind", "keys", "value", "reason"),
    [
        ("Deployment", [*CONTAINER, "readinesProbe"], {}, "'readinesProbe' was unexpected"),
        ("Deployment", ["spec", "replicas"], "2", "'2' is not of type"),
        ("Deployment", [*CONTAINER, "lifecycle", "preStop"], {"sleep": {"second": 5}}, "second"),
        ("Deployment", ["spec", "template", "spec", "securityContext", "runAsUser"], "10001", "not of type"),
        ("Service", ["spec", "ports", 0, "port"], "http", "'http' is not of type"),
        ("PodDisruptionBudget", ["spec", "maxUnavailible"], 1, "maxUnavailible"),
        ("NetworkPolicy", ["spec", "ingress", 0, "port"], [], "'port' was unexpected"),
        ("PersistentVolumeClaim", ["spec", "accessModes"], "ReadWriteMany", "not of type"),
    ],
)
def test_the_schemas_find_what_is_wrong(kind, keys, value, reason):
    document = copy.deepcopy(one(overlay("gpu"), kind))
    validate(document, VERSIONS[-1])
    set_at(document, keys, value)
    with pytest.raises(Exception, match=re.escape(reason)):
        validate(document, VERSIONS[-1])


def is_restricted(template: Document) -> bool:
    """Whether pods of this template may run under Kubernetes' `restricted` profile, with a root that is read-only."""
    spec = template["spec"]
    pod = spec.get("securityContext", {})
    own = [each.get("securityContext", {}) for each in spec["containers"]]
    return (
        pod.get("runAsNonRoot") is True
        and pod.get("runAsUser") == 10001
        and pod.get("seccompProfile", {}).get("type") == "RuntimeDefault"
        and all(each.get("allowPrivilegeEscalation") is False for each in own)
        and all(each.get("capabilities", {}).get("drop") == ["ALL"] for each in own)
        and all(each.get("readOnlyRootFilesystem") is True for each in own)
        and not any(spec.get(each) for each in ("hostNetwork", "hostPID", "hostIPC"))
        and not any("hostPath" in volume for volume in spec.get("volumes", []))
    )


def test_every_pod_is_restricted(with_everything):
    everything = [*with_everything, *overlay("cpu"), *overlay("rayservice")]
    templates = [template for document in everything for template in pod_templates(document)]
    assert len(templates) == 4
    assert all(map(is_restricted, templates))
    for document in everything:
        if document["kind"] == "Namespace":
            assert document["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    open_root = copy.deepcopy(templates[0])
    open_root["spec"]["containers"][-1]["securityContext"]["readOnlyRootFilesystem"] = False
    assert not is_restricted(open_root)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_variable_is_a_setting_with_a_valid_value(name, tmp_path):
    documents = overlay(name)
    everywhere = [each for document in documents for each in containers(document) if "env" in each]
    assert everywhere
    keys = tmp_path / "api-keys"
    keys.write_text("sk-first\n")
    for container in everywhere:
        found = environment(documents, container)
        assert found["PARAKEET_API_KEYS"] == "/etc/parakeet/api-keys"
        settings_of(found | {"PARAKEET_API_KEYS": str(keys)})


@pytest.mark.parametrize("name", ["gpu", "cpu"])
def test_a_pod_that_stops_has_the_time_that_the_service_takes(name):
    documents = overlay(name)
    deployment = one(documents, "Deployment")
    (container,) = service_containers(documents)
    settings = settings_of(environment(documents, container) | {"PARAKEET_API_KEYS": ""})
    sleep_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert (sleep_s, settings.shutdown_grace_s) == (5, 25)
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= sleep_s + stop_s(settings)
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    started_s = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
    assert deployment["spec"]["progressDeadlineSeconds"] > started_s == 1200


def test_probes_ask_the_probes_of_the_service_at_its_port():
    (container,) = service_containers(overlay("gpu"))
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}
    assert set(paths.values()) == PROBES
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    asked = {container[f"{name}Probe"]["httpGet"]["port"] for name in paths}
    assert {ports[each] for each in asked} == {Settings().port}


@pytest.mark.parametrize("name", ["gpu", "cpu"])
def test_the_logs_fit_into_their_volume(name):
    documents = overlay(name)
    (container,) = service_containers(documents)
    settings = settings_of(environment(documents, container) | {"PARAKEET_API_KEYS": ""})
    (volume,) = [
        each for each in one(documents, "Deployment")["spec"]["template"]["spec"]["volumes"] if each["name"] == "logs"
    ]
    size = volume["emptyDir"]["sizeLimit"]
    assert int(size[:-2]) * BYTES[size[-2:]] > (settings.max_log_mb << 20) + 2 * MAX_BYTES


def test_secrets_come_by_reference_only(with_everything):
    everything = [*with_everything, *overlay("cpu"), *overlay("rayservice")]
    assert [each for each in everything if each["kind"] == "Secret"] == []
    for document in everything:
        for container in containers(document):
            given = {each["name"]: each for each in container.get("env", [])}
            if given:
                reference = {"name": "parakeet", "key": "secret-key"}
                assert given["PARAKEET_SECRET_KEY"]["valueFrom"] == {"secretKeyRef": reference}


def test_a_pod_for_a_gpu_has_one_and_a_pod_for_a_cpu_has_none():
    (gpu,) = service_containers(overlay("gpu"))
    (cpu,) = service_containers(overlay("cpu"))
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in cpu["resources"]["limits"]
    assert "cpu" not in gpu["resources"]["limits"]
    settings = settings_of(environment(overlay("cpu"), cpu) | {"PARAKEET_API_KEYS": ""})
    assert (settings.model_id, settings.device) == ("tiny", "cpu")
    assert [each for each in overlay("cpu") if each["kind"] == "PersistentVolumeClaim"] == []


@pytest.mark.parametrize(("name", "suffix"), [("gpu", ""), ("cpu", "-cpu"), ("rayservice", "-ray")])
def test_the_images_are_those_of_this_version(name, suffix):
    images = {each["image"] for document in overlay(name) for each in containers(document)}
    assert images == {f"registry.example.com/parakeet:{__version__}{suffix}"}


def test_what_selects_pods_selects_those_of_the_deployment(with_everything):
    labels = one(with_everything, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = {
        ("Deployment", ""): ("selector", "matchLabels"),
        ("Service", "parakeet-sessions"): ("selector",),
        ("PodDisruptionBudget", ""): ("selector", "matchLabels"),
        ("NetworkPolicy", "parakeet-metrics"): ("podSelector", "matchLabels"),
    }
    for (kind, name), keys in selectors.items():
        selected = one(with_everything, kind, name)["spec"]
        for key in keys:
            selected = selected[key]
        assert selected.items() <= labels.items(), kind
        assert selected


def test_nginx_lets_through_what_the_service_takes(with_everything):
    ingress = one(with_everything, "Ingress")
    annotations = {name.partition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
    settings = Settings()
    assert float(annotations["client-max-body-size"].removesuffix("m")) > settings.max_upload_mb
    assert float(annotations["proxy-read-timeout"].removesuffix("s")) > settings.realtime_session_s
    assert float(annotations["proxy-send-timeout"].removesuffix("s")) > settings.realtime_session_s
    assert annotations["proxy-buffering"] == "False"
    assert annotations["lb-method"] == "least_conn"


def test_envoy_refuses_nothing_that_the_service_takes_and_keeps_the_ids_of_requests(with_everything):
    limits = one(with_everything, "BackendTrafficPolicy")["spec"]["circuitBreaker"]
    pods = one(with_everything, "ScaledObject")["spec"]["maxReplicaCount"]
    settings = Settings()
    at_a_time = pods * max(settings.max_sessions, settings.queue_max_factor * 64)  # clips in a batch of a large GPU
    assert {"maxConnections", "maxPendingRequests", "maxParallelRequests"} == set(limits)
    assert min(limits.values()) >= at_a_time
    assert one(with_everything, "ClientTrafficPolicy")["spec"]["headers"] == {"requestID": "PreserveOrGenerate"}


def test_sessions_are_balanced_apart_from_uploads(with_everything):
    realtime = {"/v1/realtime", "/openai/realtime", "/openai/v1/realtime"}
    sessions, requests = one(with_everything, "HTTPRoute")["spec"]["rules"]
    assert {each["path"]["value"] for each in sessions["matches"]} == realtime
    assert [each["path"]["value"] for each in requests["matches"]] == ["/"]
    paths = one(with_everything, "Ingress")["spec"]["rules"][0]["http"]["paths"]
    services = {each["path"]: each["backend"]["service"]["name"] for each in paths}
    assert services == dict.fromkeys(realtime, "parakeet-sessions") | {"/": "parakeet"}


def test_the_scaler_asks_for_metrics_that_the_report_writes(with_everything):
    counters = Counters(sources={Source("tiny", "/v1/audio/transcriptions"): SourceCounters()})
    loads = [ProcessLoad(0, 0, "pod", Load(0, 0, 0, 0, 1, 0, 0, ready=True))]
    families = set(re.findall(r"^# TYPE (\w+) ", expose(counters, "parakeet", loads), re.MULTILINE))
    triggers = one(with_everything, "ScaledObject")["spec"]["triggers"]
    asked = {name for each in triggers for name in re.findall(r"parakeet_\w+", each["metadata"]["query"])}
    assert "parakeet_queued_audio_seconds" in asked
    assert asked <= families


def test_the_report_in_the_pod_writes_what_the_exporter_reads(with_everything):
    deployment = one(with_everything, "Deployment")
    _, report, exporter = containers(deployment)
    shell = report["args"][-1]
    assert report["args"][:2] == ["sh", "-c"]
    written = re.search(r"python -m src\.metrics --file (\S+) --prometheus (\S+)\.prom", shell)
    mounts = {each["mountPath"]: each["name"] for each in report["volumeMounts"]}
    assert mounts[written[1]] == "logs"
    assert mounts[str(Path(written[2]).parent)] == "metrics"
    (folder,) = [each.partition("=")[2] for each in exporter["args"] if "textfile.directory" in each]
    assert {each["mountPath"]: each["name"] for each in exporter["volumeMounts"]}[folder] == "metrics"
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(exporter["ports"][0]["containerPort"])
    assert "replicas" not in deployment["spec"]
    assert report["image"] == containers(deployment)[0]["image"]
    assert report["image"] != "parakeet"
