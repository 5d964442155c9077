"""What docker/ holds, as data: Compose resolved by Docker's compose, Kubernetes by Kustomize."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from serving.ports import Ports

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "docker"

HTTP, GRPC, METRICS = Ports().http, Ports().grpc, Ports().metrics
REDIS, PROMETHEUS, GRAFANA, OTLP_GRPC, OTLP_HTTP = 6379, 9090, 3000, 4317, 4318
LOCUST_WEB, LOCUST_MASTER = 8089, 5557
LIVE, READY, SCRAPED = "/v2/health/live", "/v2/health/ready", "/metrics"
RELEASE, STATE, ENGINES, SECRETS = "/release", "/state", "/engines", "/run/secrets"
USER = 10001


def program(name: str) -> str:
    """A program of the environment that runs the tests, or of this machine."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    assert found, f"no {name}; install the extra dev"
    return found


@cache
def compose() -> dict[str, Any]:
    """Every profile, with ``extends``, ``include`` and defaults resolved."""
    done = subprocess.run(
        [
            *(program("docker-compose"), "-f", str(DOCKER / "compose.yaml")),
            *("--profile", "*", "config", "--format", "json"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def services() -> dict[str, dict[str, Any]]:
    """Compose's services by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def module(name: str) -> ModuleType:
    """A program of docker/kubernetes, loaded by its path: ``docker`` is no package of ours."""
    spec = importlib.util.spec_from_file_location(name, DOCKER / "kubernetes" / f"{name}.py")
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@cache
def kubernetes(folder: str) -> list[dict[str, Any]]:
    """What Kustomize makes of a folder of docker/kubernetes."""
    found: list[dict[str, Any]] = module("validate").rendered(folder)
    return found


def one(folder: str, kind: str, name: str = "millirank") -> dict[str, Any]:
    """The object of a kind and name."""
    (found,) = [
        o for o in kubernetes(folder) if o["kind"] == kind and o["metadata"]["name"] == name
    ]
    return found


FOLDERS: tuple[str, ...] = module("validate").KUSTOMIZED


def pods() -> dict[str, dict[str, Any]]:
    """Specifications of all pods, by folder, kind and name."""
    found = {}
    for folder in FOLDERS:
        for o in kubernetes(folder):
            spec = o.get("spec", {})
            pod = spec.get("predictor") or spec.get("template", {}).get("spec")
            pod = spec if o["kind"] == "Pod" else pod
            if pod:
                found[f"{folder} {o['kind']} {o['metadata']['name']}"] = pod
    return found


def server_pods() -> dict[str, dict[str, Any]]:
    """Those that serve."""
    return {k: p for k, p in pods().items() if p["containers"][0].get("args", [""])[0] == "serve"}


def server_services() -> dict[str, dict[str, Any]]:
    """Compose's services that serve."""
    return {k: s for k, s in services().items() if (s.get("command") or [""])[0] == "serve"}


def flags(words: list[str]) -> dict[str, str]:
    """Values of ``--name=value`` by name."""
    return dict(w.split("=", 1) for w in words if w.startswith("--") and "=" in w)


def read(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))
