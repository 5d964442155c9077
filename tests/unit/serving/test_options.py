"""The command line of the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembles.profiles import Knobs
from ensembles.recommend import chains
from ensembles.render import write_configs
from serving.binary import Installation
from serving.options import ServerOptions, command_line
from serving.ports import Ports
from serving.server import TritonServer

WHEEL = Installation(
    Path("/w/tritonserver"), backends=Path("/s/backends"), caches=Path("/s/caches")
)


def test_everything_is_named() -> None:
    options = ServerOptions(
        ports=Ports(1, 2, 3), models=("a", "b"), config_name="gpu", token="t", flags=("--x=1",)
    )
    line = command_line(Path("/r"), options, WHEEL, "prefix_")
    assert line[0] == "/w/tritonserver"
    assert {"--load-model=a", "--load-model=b", "--model-config-name=gpu", "--x=1"} <= set(line)
    assert {"--http-address=127.0.0.1", "--grpc-port=2", "--metrics-port=3"} <= set(line)
    guarded = "model-repository,shared-memory,trace,logging:millirank-token=t"
    assert f"--http-restricted-api={guarded}" in line
    assert f"--grpc-restricted-protocol={guarded}" in line
    assert "--backend-directory=/s/backends" in line


def test_native_server_keeps_its_own_backends() -> None:
    line = command_line(Path("/r"), ServerOptions(), Installation(Path("t")), "p")
    assert not [word for word in line if "backend-directory" in word or "config-name" in word]


@pytest.mark.parametrize(("megabytes", "sizes"), [(0, []), (3, ["local,size=3145728"])])
def test_a_release_that_keeps_vectors_of_pictures_gets_its_memory(
    tmp_path: Path, megabytes: int, sizes: list[str]
) -> None:
    pipelines = chains(lookup=False, visual=True)
    write_configs(tmp_path, pipelines, 1, Knobs(picture_cache_mb=megabytes))
    line = command_line(tmp_path, ServerOptions(), WHEEL, "p")
    assert [w.removeprefix("--cache-config=") for w in line if "cache-config" in w] == sizes
    assert ("--cache-directory=/s/caches" in line) == bool(sizes)
    cached = [p.parent.name for p in tmp_path.glob("*/config.pbtxt") if "cache" in p.read_text()]
    assert cached == (["image_encoder"] if sizes else [])


def test_tokens_differ_and_can_be_given(tmp_path: Path) -> None:
    assert TritonServer(tmp_path).token != TritonServer(tmp_path).token
    assert len(TritonServer(tmp_path).token) >= 32
    assert TritonServer(tmp_path, ServerOptions(token="mine")).token == "mine"


def test_addresses() -> None:
    everywhere = TritonServer(Path("r"), ServerOptions(host="0.0.0.0", ports=Ports(1, 2, 3)))
    assert (everywhere.http, everywhere.grpc) == ("127.0.0.1:1", "127.0.0.1:2")
    assert TritonServer(Path("r"), ServerOptions(host="::")).metrics == "[::1]:8002"
