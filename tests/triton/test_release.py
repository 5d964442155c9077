"""Releases in a running server, under load."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ensembles.errors import RequestError
from ensembles.recommend import chains
from ensembles.render import write_configs
from serving.client import Client, Request
from serving.manifest import write_manifest
from serving.ports import Ports
from serving.release.control import Control
from serving.release.rollout import Rollout
from serving.release.trial import Trial
from serving.server import ServerOptions, TritonServer
from serving.version_folders import configs_folder
from tests.triton.tiny import KNOBS, make_release


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Release 1 is current, release 2 beside it has the same files."""
    folder = tmp_path_factory.mktemp("releases")
    tiny = make_release(folder, 1, fused=True)
    for model in [p for p in tiny.repository.iterdir() if (p / "1").is_dir()]:
        shutil.copytree(model / "1", model / "2")
    for release in (1, 2):
        pipelines = chains(lookup=False, visual=False)
        knobs = replace(KNOBS, fuse_steps=True, history=8, candidates=12)
        write_configs(configs_folder(tiny.repository, release), pipelines, release, knobs)
        write_manifest(tiny.repository, release, {})
    return tiny.repository


class Load:
    """Clients that ask until the end; who answered whom, and what failed."""

    def __init__(self, server: TritonServer) -> None:
        self.answered: dict[str, Counter[int]] = {"user-1": Counter()}
        self.failed: list[RequestError] = []
        self._server, self._over = server, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(4)]

    def _run(self, n: int) -> None:
        address = self._server.grpc if n % 2 else self._server.http
        with Client(address, "grpc" if n % 2 else "http") as client:
            while not self._over.is_set():
                for u in range(n, 40, 4):
                    try:
                        answer = client.recommend(Request(f"user-{u}"))
                    except RequestError as e:
                        self.failed.append(e)
                    else:
                        self.answered.setdefault(f"user-{u}", Counter())[answer.release] += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_a_release_from_stage_to_promotion_and_back_under_load(repository: Path) -> None:
    with (
        TritonServer(
            repository, ServerOptions(ports=Ports(0, 0, 0), log=Path("/tmp/i7/log"))
        ) as server,
        Load(server) as load,
    ):
        rollout = Rollout(repository, Control(server.http, server.token))
        assert rollout.status() == Trial(1)
        rollout.stage(2)
        assert rollout.status() == Trial(1, 2)
        rollout.try_out(mirror=1.0)
        assert rollout.status() == Trial(1, 2, 0.0, 1.0)
        rollout.try_out(canary=0.5)

        time.sleep(1)
        rollout.promote()
        assert rollout.status() == Trial(2)
        rollout.go_back(1)
        assert rollout.status() == Trial(1)
        print({u: dict(c) for u, c in load.answered.items()})
    assert load.failed == []
