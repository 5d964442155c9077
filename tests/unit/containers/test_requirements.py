"""What images install is what ``constraints.txt`` pins, all of it, and checked by hash."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[3]
EXTRAS = {
    "server-cpu": ["serve"],
    "server-gpu": ["serve"],
    "builder": ["build", "serve", "loadtest"],
    "loadtest": ["loadtest"],
}
IN_THE_BASE_IMAGE = {"server-gpu": {"nvidia-pytriton"}}
"""NVIDIA's image brings tritonserver."""
PINNED_HERE_ALONE = {"builder": r"(cuda|nvidia)-.*|triton|setuptools|async-timeout"}
"""What torch brings where an index serves it with CUDA."""
_PIN = re.compile(
    r"^([a-z0-9][a-z0-9.-]*)==(\S+) \\$((?:\n +--hash=sha256:[0-9a-f]{64}(?: \\)?)+)$", re.M
)


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~ ]", name)[0]).lower()


def pins(path: Path) -> dict[str, str]:
    """Versions by name, each with at least one hash."""
    text = path.read_text(encoding="utf-8")
    found = {normal(name): version for name, version, _ in _PIN.findall(text)}
    rest = _PIN.sub("", text)
    assert all(not line or line.startswith("#") for line in rest.splitlines()), rest
    return found


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {normal(n): v for n, _, v in (x.partition("==") for x in lines if "==" in x)}


@pytest.mark.parametrize("image", [*EXTRAS, "sbom"])
def test_versions_are_those_of_the_constraints(image: str) -> None:
    expected, found = constraints(), pins(ROOT / "docker" / "requirements" / f"{image}.txt")
    assert found
    alone = PINNED_HERE_ALONE.get(image, "async-timeout")
    strangers = {name for name in found if name not in expected and not re.fullmatch(alone, name)}
    assert not strangers, f"not in constraints.txt: {strangers}; run 'make requirements'"
    differ = {n: (v, expected[n]) for n, v in found.items() if expected.get(n, v) != v}
    assert not differ, f"run 'make requirements': {differ}"


@pytest.mark.parametrize("image", EXTRAS)
def test_everything_that_the_extras_name_is_installed(image: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {normal(name) for name in project["dependencies"]}
    for extra in EXTRAS[image]:
        wanted |= {normal(name) for name in project["optional-dependencies"][extra]}
    wanted -= IN_THE_BASE_IMAGE.get(image, set())
    found = pins(ROOT / "docker" / "requirements" / f"{image}.txt")
    assert wanted <= found.keys(), f"run 'make requirements': {wanted - found.keys()}"


@pytest.mark.parametrize("image", ["server-cpu", "server-gpu", "loadtest"])
def test_what_serves_has_nothing_that_trains(image: str) -> None:
    found = pins(ROOT / "docker" / "requirements" / f"{image}.txt")
    assert not found.keys() & {"torch", "lightning", "timm", "implicit", "onnx", "duckdb"}


def test_the_sbom_names_every_package(tmp_path: Path) -> None:
    """As `make sbom` makes it; one image stands for all."""
    requirements = ROOT / "docker" / "requirements" / "server-cpu.txt"
    tool, bom = Path(sys.executable).parent / "cyclonedx-py", tmp_path / "bom.json"
    subprocess.run(
        [tool, "requirements", "--no-validate", "--sv", "1.6", "-o", bom, requirements],
        check=True,
        capture_output=True,
    )
    text = bom.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    named = {normal(c["name"]): c["version"] for c in json.loads(text)["components"]}
    assert named == pins(requirements)
