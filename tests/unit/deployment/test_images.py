"""What is started is what the Dockerfile builds, at the version of the project."""

import re
import tomllib

from tests.unit.deployment import files
from tests.unit.deployment.files import DOCKER, ROOT, pods, services

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_images_are_of_this_version():
    ours = {
        service["image"] for service in services().values() if "millirank/" in service["image"]
    } | {
        container["image"]
        for pod in pods().values()
        for container in pod["containers"]
        if "millirank/" in container["image"]
    }
    assert ours == {f"millirank/{n}:{VERSION}" for n in ("server-cpu", "server-gpu", "loadtest")}


def test_the_dockerfile_has_what_the_others_expect():
    text = (DOCKER / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.M))
    for service in services().values():
        if build := service.get("build"):
            assert build["target"] in stages
            assert f"millirank/{build['target']}:" in service["image"]
            assert set(build.get("args") or {}) <= set(re.findall(r"^ARG (\w+)", text, re.M))
    exposed = {int(p) for line in re.findall(r"^EXPOSE (.+)$", text, re.M) for p in line.split()}
    assert exposed == {files.HTTP, files.GRPC, files.METRICS}
    assert set(re.findall(r"^USER (\d+:\d+)$", text, re.M)) == {f"{files.USER}:{files.USER}"}
    assert f"http://127.0.0.1:{files.HTTP}{files.READY}" in text
    for folder in (files.RELEASE, files.STATE, files.ENGINES):
        assert re.search(rf"mkdir .*{folder}\b", text), folder


def test_the_server_brings_the_step_that_copies_user_states():
    text = (DOCKER / "Dockerfile").read_text()
    for stage in ("server-cpu-installed", "server-gpu-installed"):
        copied = re.split(r"^FROM ", text.split(f" AS {stage}\n")[1], flags=re.M)[0]
        assert re.search(r"^COPY model_repository/features\b", copied, re.M), stage
