"""Builds and runs images with buildah and podman: no Docker engine, no registry.

Everything lies in one folder: the image store, the configuration, and the base image, which is
made with debootstrap and has what ``python:3.11-slim-bookworm`` has.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BASE = "localhost/python:3.11"
_CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=10000:10000", "nproc=10000:10000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
_BASE_FILE = """FROM localhost/debian:bookworm
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
 --no-install-recommends ca-certificates libpython3.11 python3.11 python3-pip >/dev/null \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
"""
_PIP_SETTINGS = ("cert", "index-url", "extra-index-url", "proxy", "trusted-host", "timeout")
_BUILD = ("buildah", "bud", "--isolation", "chroot", "--network", "host", "--format", "docker")


class Engine:
    """Images and containers below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        conf, storage = folder / "containers.conf", folder / "storage.conf"
        conf.write_text(_CONTAINERS_CONF)
        storage.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder / "images"}"\n'
            f'runroot = "{folder / "run"}"\n'
        )
        self._environment = {
            **os.environ,
            "CONTAINERS_CONF": str(conf),
            "CONTAINERS_STORAGE_CONF": str(storage),
        }

    def run(self, *command: str, check: bool = True, stdin: str = "", seconds: float = 1500) -> str:
        """Output of a command, standard error included where it fails."""
        done = subprocess.run(
            command,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not check, (
            f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
        return done.stdout.strip()

    def podman(self, *arguments: str, check: bool = True, seconds: float = 600) -> str:
        """Output of a podman command."""
        return self.run("podman", *arguments, check=check, seconds=seconds)

    def succeeds(self, container: str, *command: str) -> bool:
        """Whether a command inside a container ends with status 0."""
        words = ("podman", "exec", container, *command)
        done = subprocess.run(words, env=self._environment, capture_output=True, check=False)
        return done.returncode == 0

    def has(self, image: str) -> bool:
        """Whether an image is there."""
        return bool(self.podman("images", "-q", image))

    def make_base(self) -> None:
        """Make the base image, once."""
        if self.has(BASE):
            return
        root = self.folder / "debian"
        if not self.has("localhost/debian:bookworm"):
            self.run("debootstrap", "--variant=minbase", "bookworm", str(root))
            archive = self.folder / "debian.tar"
            self.run("tar", "-C", str(root), "-cf", str(archive), ".")
            self.podman("import", "-q", str(archive), "localhost/debian:bookworm")
            archive.unlink()
            self.run("rm", "-r", str(root))
        self.run(*_BUILD, "-t", BASE, "-f", "-", ".", stdin=_BASE_FILE)

    def build(self, target: str, **arguments: str) -> str:
        """Build a target of the Dockerfile in the working directory; the image's name."""
        name = f"localhost/millirank/{target}"
        pip_conf = self.folder / "pip.conf"
        settings = _pip_settings()
        pip_conf.write_text("[global]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items()))
        certificates = [str(Path(settings[k]).parent) for k in ("cert",) if k in settings]
        self.run(
            *(*_BUILD, "--layers", "--target", target, "-t", name, "-f", "docker/Dockerfile"),
            *("--build-arg", f"PYTHON_IMAGE={BASE}"),
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            *("--secret", f"id=pip_conf,src={pip_conf}"),
            *(f"--volume={folder}:{folder}:ro" for folder in certificates),
            ".",
        )
        return name

    def about(self, image: str) -> dict[str, Any]:
        """What ``podman image inspect`` says."""
        found = json.loads(self.podman("image", "inspect", image))
        return dict(found[0])

    @contextmanager
    def started(self, image: str, *options: str, words: tuple[str, ...] = ()) -> Iterator[str]:
        """A container in the background; its name."""
        name = self.podman("run", "-d", *options, image, *words)[:12]
        try:
            yield name
        finally:
            self.podman("rm", "-f", "-t", "0", name)


def _pip_settings() -> dict[str, str]:
    """How pip of this machine reaches its index, without what lies on this machine's disk."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    found = {}
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        words = str(ast.literal_eval(value)).split()
        kept = " ".join(word for word in words if not word.startswith("file:"))
        if name in _PIP_SETTINGS and kept:
            found[name] = kept
    return found
