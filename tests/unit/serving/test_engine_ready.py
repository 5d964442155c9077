"""What is served on a GPU: the published engine where it fits, one that is built here where not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import serving.engine.ready as module
from ensembles.errors import BuildError, ReleaseError, ServerError
from serving.engine.build import build_plan
from serving.engine.library import Library
from serving.engine.ready import ready_engine, ready_engines
from serving.engine.record import EngineBuild, unfit
from serving.manifest import check, write_manifest
from tests.unit.serving.engine_graph import PROFILE, write_graph

trt = pytest.importorskip("tensorrt_rtx", reason="extra tensorrt is not installed")


class _Here(Library):
    """A machine with a GPU of 8.6."""

    def capability(self, wanted: str) -> str:
        return "8.6"


HERE = _Here(trt, "tensorrt_rtx", None)


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The ranker of release 1, its engine built for this machine."""
    gpu = tmp_path / "ranker" / "1" / "gpu"
    gpu.mkdir(parents=True)
    PROFILE.write(gpu)
    build_plan(HERE, write_graph(gpu / "model.onnx"), gpu, PROFILE, "8.6", lambda _: None)
    (tmp_path / "recommend" / "1").mkdir(parents=True)
    write_manifest(tmp_path, 1, {})
    return gpu.parent


def _ready(version: Path) -> tuple[list[str], Path]:
    said: list[str] = []
    ready_engine(version, HERE, said.append)
    check(version.parents[1], 1)
    link = version / "model.plan"
    assert link.is_symlink()
    return said, link.readlink()


def _published_for(version: Path, /, **other: object) -> None:
    gpu = version / "gpu"
    replace(EngineBuild.read(gpu), **other).write(gpu)  # type: ignore[arg-type]
    (version.parents[1] / "recommend/1/manifest.json").unlink()
    write_manifest(version.parents[1], 1, {})


def test_an_engine_that_fits_is_linked(version: Path) -> None:
    for _ in range(2):
        said, link = _ready(version)
        assert link == Path("gpu/model.plan")
        assert len(said) == 1
        assert said[0].endswith("in place")
    assert (version / "model.plan").read_bytes() == (version / "gpu/model.plan").read_bytes()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"library": "tensorrt"}, "library tensorrt, here tensorrt_rtx"),
        ({"version": "1.0"}, f"version 1.0, here {trt.__version__}"),
        ({"compute_capability": "9.0"}, "compute capability 9.0, here 8.6"),
    ],
)
def test_an_engine_of_another_machine_is_built_again_once(
    version: Path, other: dict[str, str], reason: str
) -> None:
    _published_for(version, **other)
    said, link = _ready(version)
    assert reason in said[0]
    assert "building it again" in said[0]
    assert link == Path("engine_cache/model.plan")
    build = EngineBuild.read(version / "engine_cache")
    assert build.profiles == EngineBuild.read(version / "gpu").profiles
    names = {"model.plan", "BUILD.json", "build.log", "timing.cache"}
    assert {p.name for p in (version / "engine_cache").iterdir()} == names
    said, link = _ready(version)
    assert link == Path("engine_cache/model.plan")
    assert len(said) == 1


def test_damage_in_the_cache_is_repaired(version: Path) -> None:
    _published_for(version, version="1.0")
    _ready(version)
    cache = version / "engine_cache"
    good = (cache / "model.plan").read_bytes()
    (cache / "model.plan").write_bytes(good[:-1] + b"x")
    (cache / "building-killed").mkdir()
    _ready(version)
    assert (cache / "model.plan").read_bytes() == good
    assert not (cache / "building-killed").exists()
    (cache / "BUILD.json").write_text("{")
    _ready(version)
    assert EngineBuild.read(cache).version == trt.__version__


def test_a_release_without_an_engine_gets_one(version: Path) -> None:
    for name in ("model.plan", "BUILD.json", "timing.cache"):
        (version / "gpu" / name).unlink()
    (version.parents[1] / "recommend/1/manifest.json").unlink()
    write_manifest(version.parents[1], 1, {})
    said, link = _ready(version)
    assert "there is none" in said[0]
    assert link == Path("engine_cache/model.plan")


def test_reasons(version: Path) -> None:
    gpu, here = version / "gpu", {"library": "tensorrt_rtx"}
    graph = gpu / "model.onnx"
    assert not unfit(gpu, graph, here)
    write_graph(graph, scale=2.0)
    assert unfit(gpu, graph, here) == "model.onnx is not the one that BUILD.json describes"
    (gpu / "model.plan").unlink()
    assert unfit(gpu, graph, here).startswith("it cannot be read")
    (gpu / "BUILD.json").write_text('{"version": 1}')
    with pytest.raises(BuildError, match=r"BUILD\.json cannot be read"):
        EngineBuild.read(gpu)


def test_an_altered_published_engine_is_no_cache(version: Path) -> None:
    """A link in place of a published file is a missing file."""
    _ready(version)
    published = version / "gpu" / "model.plan"
    shutil.move(published, version / "engine_cache" / "model.plan")
    published.symlink_to(version / "engine_cache" / "model.plan")
    with pytest.raises(ReleaseError, match=r"gpu/model\.plan is missing"):
        check(version.parents[1], 1)
    (version / "model.plan").unlink()
    (version / "model.plan").write_bytes(b"no link")
    with pytest.raises(ReleaseError, match="is not in the manifest|is missing"):
        check(version.parents[1], 1)


def test_what_cannot_be_served(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_graph(version / "gpu" / "model.onnx", operator="Improved")
    with pytest.raises(ServerError, match=r"cannot be built again: .*refuses model\.onnx"):
        ready_engine(version, HERE, lambda _: None)
    (version / "gpu" / "profile.json").unlink()
    with pytest.raises(ServerError, match=r"profile\.json cannot be read"):
        ready_engine(version, HERE, lambda _: None)
    assert not (version / "model.plan").exists()
    (version / "gpu" / "model.onnx").unlink()
    with pytest.raises(ReleaseError, match="serve it with --profile cpu"):
        ready_engine(version, HERE, lambda _: None)


def test_a_folder_that_cannot_be_written(version: Path) -> None:
    (version / "engine_cache").write_text("a file")
    with pytest.raises(ServerError, match=r"cannot be put in place: .*make .*ranker/1 writable"):
        ready_engine(version, HERE, lambda _: None)


def test_every_version_that_triton_loads(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "triton_library", lambda gpu: HERE)
    repository, said = version.parents[1], list[str]()
    for newer in ("2", "3"):
        shutil.copytree(version, version.parent / newer)
    ready_engines(repository, 3, said.append)
    linked = [n for n in "123" if (version.parent / n / "model.plan").is_symlink()]
    assert linked == ["2", "3"]
    shutil.rmtree(version.parent / "2" / "gpu")
    said.clear()
    ready_engines(repository, 3, said.append)
    assert said[0].startswith("ranker 2 has no graph for the gpu profile")
    with pytest.raises(ReleaseError, match="expected .*ranker/2/gpu"):
        ready_engines(repository, 2, said.append)


def test_the_image_encoder_of_releases_that_have_one(
    version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "triton_library", lambda gpu: HERE)
    repository, said = version.parents[1], list[str]()
    shutil.copytree(version, version.parent / "2")
    encoder = repository / "image_encoder"
    shutil.copytree(version, encoder / "2")
    ready_engines(repository, 1, said.append)
    assert (encoder / "2" / "model.plan").is_symlink()
    assert [line.partition(":")[0] for line in said] == ["image_encoder 2", "ranker 1", "ranker 2"]
    shutil.rmtree(encoder / "2" / "gpu")
    said.clear()
    ready_engines(repository, 1, said.append)
    assert said[0].startswith("image_encoder 2 has no graph for the gpu profile")
    with pytest.raises(ReleaseError, match="expected .*image_encoder/2/gpu"):
        ready_engines(repository, 2, said.append)
