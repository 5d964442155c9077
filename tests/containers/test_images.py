"""The images, really built and really run: `make docker-check`.

The server has no network but its own loopback, which the load test's container shares, so that
the command of the image runs as it stands in the Dockerfile.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import Engine

REPOSITORY = os.environ.get("MILLIRANK_CONTAINERS", "")
TOOLS = ("buildah", "podman", "runc", "debootstrap", "nsenter")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not REPOSITORY, reason="MILLIRANK_CONTAINERS names no repository"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
HARDENED = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges", "--no-healthcheck"),
    *("--tmpfs", "/tmp:rw,nosuid,nodev,size=256m", "--shm-size", "256m"),
)
LIMITS = ("--memory", "4g", "--pids-limit", "512")
ARGUMENTS = {"VERSION": "9.9.9", "REVISION": "abcdef", "SOURCE": "https://example.org/millirank"}


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = Engine(Path("build", "containers").resolve())
    engine.make_base()
    return engine


@pytest.fixture(scope="module")
def images(engine: Engine) -> dict[str, str]:
    """Names of the images that can be built here."""
    found = {}
    for target in ("server-cpu", "loadtest"):
        started = time.monotonic()
        found[target] = engine.build(target, **ARGUMENTS)
        size = engine.about(found[target])["Size"] / 1e6
        print(f"\n{target}: {size:.0f} MB, built in {time.monotonic() - started:.0f} s", end=" ")
    return found


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Options that mount a release, the state of its users, and a token."""
    folder = tmp_path_factory.mktemp("mounted")
    state = shutil.copytree(Path(REPOSITORY).parent / "state", folder / "state")
    for path in (state, *state.iterdir()):
        os.chown(path, 10001, 10001)
    (folder / "token").write_text("a secret of this test\n")
    (folder / "token").chmod(0o444)
    return (
        *("-v", f"{Path(REPOSITORY).resolve()}:/release:ro", "-v", f"{state}:/state"),
        *("-v", f"{folder / 'token'}:/run/secrets/control_token:ro"),
    )


@pytest.fixture
def server(engine: Engine, images: dict[str, str], mounted: tuple[str, ...]) -> Iterator[str]:
    """A server that is ready, by the health check of its own image."""
    options = (*HARDENED, *LIMITS, *mounted, "--network", "none")
    check = engine.about(images["server-cpu"])["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    with engine.started(images["server-cpu"], *options) as name:
        deadline = time.monotonic() + 180
        while not engine.succeeds(name, *check[1:]):
            running = engine.podman("inspect", name, "--format", "{{.State.Running}}") == "true"
            in_time = time.monotonic() < deadline
            assert running, engine.podman("logs", name)
            assert in_time, engine.podman("logs", name)
            time.sleep(0.5)
        assert "ready:" in engine.podman("logs", name)
        yield name


@pytest.mark.parametrize("target", ["server-cpu", "loadtest"])
def test_what_an_image_says_and_holds(engine: Engine, images: dict[str, str], target: str) -> None:
    about = engine.about(images[target])
    assert about["Config"]["User"] == "10001:10001"
    labels = about["Config"]["Labels"]
    for name, value in ARGUMENTS.items():
        assert labels[f"org.opencontainers.image.{name.lower()}"] == value
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.title"] == f"millirank {target}"
    inside = ("run", "--rm", "--network", "none", *HARDENED, "--entrypoint")
    assert "0.1.0" in engine.podman("run", "--rm", *HARDENED, images[target], "--version")
    bom = json.loads(
        engine.podman(*inside, "cat", images[target], "/usr/share/millirank/sbom.json")
    )
    names = {part["name"].lower() for part in bom["components"]}
    assert {"numpy", "click", "tritonclient"} <= names
    assert not names & {"torch", "lightning", "pip", "cyclonedx-bom"}
    # As its user it can write into these folders and nowhere else, whatever is mounted.
    search = "find / -xdev ( -type d -o -type f ) -writable -not -path /proc/*"
    writable = engine.podman(*inside, "find", images[target], *search.split()[1:], check=False)
    allowed = {"/state", "/engines", "/results", "/tmp", "/var/tmp", "/run/lock"}
    assert set(writable.split()) <= allowed
    compilers = engine.podman(
        *inside, "sh", images[target], "-c", "command -v gcc cc c++ make git curl || true"
    )
    assert compilers == ""


def test_it_runs_as_nobody_in_particular_on_a_root_that_is_read_only(
    engine: Engine, server: str
) -> None:
    assert engine.podman("exec", server, "id", "-u") == "10001"
    for path in ("/x", "/opt/x", "/opt/venv/x", "/release/x", "/etc/x"):
        said = engine.run("podman", "exec", server, "sh", "-c", f"touch {path} 2>&1", check=False)
        assert "Read-only file system" in said or "Permission denied" in said, said
    owners = engine.podman("exec", server, "sh", "-c", "cat /proc/[0-9]*/status | grep ^Uid")
    assert {line.split()[1] for line in owners.splitlines()} == {"10001"}


def test_the_load_test_of_the_other_image_passes(
    engine: Engine, images: dict[str, str], mounted: tuple[str, ...], server: str
) -> None:
    said = engine.podman(
        *("run", "--rm", *HARDENED, *mounted),
        *("--network", f"container:{server}", images["loadtest"], "loadtest", "/release"),
        *("--scenario", "steady", "--server", "127.0.0.1", "--out", "/tmp/results"),
    )
    print(f"\n{said}")  # it would have failed if anything of the objective was missed


def test_sigterm_under_load_loses_no_request(engine: Engine, server: str) -> None:
    process = engine.podman("inspect", server, "--format", "{{.State.Pid}}")
    with subprocess.Popen(
        [
            *("nsenter", f"--net=/proc/{process}/ns/net", sys.executable, "-m"),
            *("tests.triton.drain_load", "127.0.0.1:8000", "127.0.0.1:8001"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as clients:
        assert clients.stdout
        assert clients.stdout.readline() == "loading\n"
        engine.podman("kill", "--signal", "TERM", server)
        outcomes = json.loads(clients.stdout.readline())
    assert engine.podman("wait", server) == "0"
    said = engine.podman("logs", server)
    print(f"\n{outcomes}")
    assert "draining" in said
    assert said.endswith("stopped")
    assert outcomes["lost"] == {}
    assert set(outcomes["refused"].values()) == {3}
    assert min(outcomes["answered"].values()) > 100
