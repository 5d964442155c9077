"""Kubernetes: objects are valid, pods are locked in and bounded, rollouts lose nothing."""

from copy import deepcopy

import pytest

from tests.unit.deployment.files import FOLDERS, kubernetes, module, one, pods, server_pods

SERVERS = ("overlays/cpu", "overlays/gpu")


@pytest.mark.parametrize(
    ("folder", "kind", "path"),
    [
        ("overlays/cpu", "Deployment", ("spec", "minReadySecond")),
        ("overlays/cpu", "HorizontalPodAutoscaler", ("spec", "behaviour")),
        ("overlays/cpu", "ServiceMonitor", ("spec", "endpoints", 0, "intervall")),
        ("kserve", "InferenceService", ("spec", "predictor", "containers", 0, "commands")),
    ],
)
def test_a_field_that_does_not_exist_is_refused(folder, kind, path):
    validate = module("validate")
    found = deepcopy(next(o for o in kubernetes(folder) if o["kind"] == kind))
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = "x"
    with pytest.raises(validate.Invalid, match=path[-1]):
        validate.check(found)


def test_an_object_with_the_wrong_type_or_of_no_kind_is_refused():
    validate = module("validate")
    monitor = deepcopy(one("overlays/cpu", "ServiceMonitor"))
    monitor["spec"]["endpoints"] = "metrics"
    with pytest.raises(validate.Invalid, match="endpoints"):
        validate.check(monitor)
    with pytest.raises(validate.Invalid, match="kind Deploymint"):
        validate.check({"apiVersion": "apps/v1", "kind": "Deploymint"})


def test_a_folder_that_kustomize_refuses_and_a_missing_kubectl_are_told(monkeypatch):
    validate = module("validate")
    with pytest.raises(validate.Invalid, match="nowhere"):
        validate.rendered("nowhere")
    monkeypatch.setattr(validate.shutil, "which", lambda *_, **__: None)
    with pytest.raises(validate.Invalid, match=r"no kubectl; install"):
        validate.rendered("overlays/cpu")


def test_the_program_says_how_much_is_valid_or_what_is_not(monkeypatch, capsys):
    validate = module("validate")
    monkeypatch.setattr(validate, "KUSTOMIZED", ("releases",))
    assert validate.main() == 0
    assert "2 Kubernetes objects of 1 folders are valid" in capsys.readouterr().out
    monkeypatch.setattr(validate, "rendered", lambda folder: [{**kubernetes(folder)[0], "x": 1}])
    assert validate.main() == 1
    assert "PersistentVolumeClaim millirank-releases: " in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(validate, "KUSTOMIZED", ("nowhere",))
    assert validate.main() == 1
    assert "nowhere" in capsys.readouterr().err


def test_no_pod_can_become_more_than_it_is():
    for name, pod in pods().items():
        about = pod["securityContext"]
        assert about["runAsNonRoot"], name
        assert about["runAsUser"] > 0, name
        assert about["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_every_container_is_bounded_and_every_lasting_one_is_probed():
    for name, pod in pods().items():
        for container in pod["containers"]:
            for bounds in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][bounds]), name
            probes = {"startupProbe", "readinessProbe", "livenessProbe"} & set(container)
            assert len(probes) == (0 if pod.get("restartPolicy") == "Never" else 3), name
        for volume in pod["volumes"]:
            assert volume.get("emptyDir") is None or volume["emptyDir"]["sizeLimit"], name


def test_images_are_pinned_and_nothing_chooses_a_namespace():
    for name, pod in pods().items():
        for container in pod["containers"]:
            image, _, tag = container["image"].partition(":")
            assert tag[:1].isdigit(), name
            assert "." not in image.split("/")[0], f"{name}: the host of a registry"
    for folder in FOLDERS:
        assert not [o for o in kubernetes(folder) if "namespace" in o["metadata"]]


@pytest.mark.parametrize("folder", SERVERS)
def test_a_rollout_takes_no_pod_away_before_another_is_ready(folder):
    spec = one(folder, "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert spec["minReadySeconds"] > 0
    assert "replicas" not in spec  # an apply would undo what the autoscaler did
    container = spec["template"]["spec"]["containers"][0]
    start = container["startupProbe"]
    assert spec["progressDeadlineSeconds"] > start["periodSeconds"] * start["failureThreshold"]


def test_an_engine_has_half_an_hour_to_be_built():
    spec = one("overlays/gpu", "Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 1800
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in (
        spec["tolerations"]
    )


@pytest.mark.parametrize("folder", SERVERS)
def test_selectors_select(folder):
    deployment = one(folder, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    pod = deployment["spec"]["template"]["spec"]
    http, grpc = one(folder, "Service"), one(folder, "Service", "millirank-grpc")
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        *(service["spec"]["selector"] for service in (http, grpc)),
        one(folder, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(folder, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(s["labelSelector"]["matchLabels"] for s in pod["topologySpreadConstraints"]),
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    monitor = one(folder, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= http["metadata"]["labels"].items()
    assert one(folder, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "millirank"
    assert grpc["spec"]["clusterIP"] == "None"


def test_kserve_runs_the_same_container():
    ours = one("overlays/cpu", "Deployment")["spec"]["template"]["spec"]
    theirs = one("kserve", "InferenceService", "millirank-kserve")["spec"]["predictor"]
    assert {**theirs["containers"][0], "name": "server"} == ours["containers"][0]
    alone = {"topologySpreadConstraints", "containers"}
    assert {k: v for k, v in ours.items() if k not in alone}.items() <= theirs.items()
    assert not [o for o in kubernetes("kserve") if o["kind"] == "Deployment"]
    assert len(server_pods()) == 3
