"""Engines of a release that cannot be written, kept in a folder that servers share."""

from __future__ import annotations

import fcntl
import shutil
import threading
from hashlib import sha256
from pathlib import Path

import pytest

import serving.engine.linked as module
from ensembles.errors import ReleaseError, ServerError
from serving.engine.build import build_plan
from serving.engine.device import Gpu
from serving.engine.library import Library
from serving.engine.linked import engine_name, with_engines
from serving.engine.record import EngineBuild
from tests.unit.serving.engine_graph import PROFILE, write_graph

trt = pytest.importorskip("tensorrt_rtx", reason="extra tensorrt is not installed")


class _Here(Library):
    """A machine with a GPU of 8.6."""

    def capability(self, wanted: str) -> str:
        return "8.6"


HERE = _Here(trt, "tensorrt_rtx", Gpu("NVIDIA A10 (24 GB)", "8.6"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Releases 1 and 2 with a graph and no engine; models as Triton finds them."""
    monkeypatch.setattr(module, "triton_library", lambda gpu: HERE)
    repository = tmp_path / "release" / "repository"
    for number in ("1", "2"):
        gpu = repository / "ranker" / number / "gpu"
        gpu.mkdir(parents=True)
        PROFILE.write(gpu)
        write_graph(gpu / "model.onnx", scale=float(number))
        (repository / "recommend" / number).mkdir(parents=True)
    (repository / "ranker" / "configs").mkdir()
    (repository / "ranker" / "configs" / "gpu.pbtxt").write_text('backend: "tensorrt"')
    (repository / "ranker" / "config.pbtxt").write_text("cpu")
    (repository / "ranker" / "1" / "model.py").write_text("")
    (repository / "recommend" / "config.pbtxt").write_text("ensemble")
    return repository


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with its hash; changes when anything is written there."""
    found = sorted(p for p in folder.rglob("*"))
    return {str(p): sha256(p.read_bytes()).hexdigest() if p.is_file() else "" for p in found}


def test_the_release_stays_as_it_is_and_the_second_start_reuses(
    repository: Path, tmp_path: Path
) -> None:
    before, engines, said = contents(repository.parent), tmp_path / "engines", list[str]()
    with with_engines(repository, 2, engines, said.append) as linked:
        plan = linked / "ranker" / "2" / "model.plan"
        build = EngineBuild.read(plan.resolve().parent)
        assert plan.resolve().is_relative_to(engines)
        assert (build.library, build.version) == (HERE.name, HERE.version)
        # All else is the release itself, by both profiles.
        for name in ("ranker/configs/gpu.pbtxt", "ranker/1/model.py", "recommend/config.pbtxt"):
            assert (linked / name).resolve() == repository / name
        assert {p.name for p in linked.iterdir()} == {p.name for p in repository.iterdir()}
        assert (linked / "../state").resolve() == repository.parent / "state"
        stamp = plan.stat().st_mtime_ns
    assert not linked.exists()
    assert sum("building it again" in line for line in said) == 2
    assert any("MB, timing cache" in line for line in said)
    said.clear()
    with with_engines(repository, 2, engines, said.append) as linked:
        assert (linked / "ranker" / "2" / "model.plan").stat().st_mtime_ns == stamp
    assert [line.partition(":")[0] for line in said] == ["ranker 1", "ranker 2"]
    assert contents(repository.parent) == before


def test_a_published_engine_that_fits_is_linked(repository: Path, tmp_path: Path) -> None:
    gpu = repository / "ranker" / "2" / "gpu"
    build_plan(HERE, gpu / "model.onnx", gpu, PROFILE, "8.6", lambda _: None)
    # What a server with a writable repository left is not taken over.
    (repository / "ranker" / "2" / "engine_cache").mkdir()
    (repository / "ranker" / "2" / "model.plan").symlink_to("nowhere")
    with with_engines(repository, 2, tmp_path / "engines", lambda _: None) as linked:
        assert (linked / "ranker" / "2" / "model.plan").resolve() == gpu / "model.plan"
        assert not (linked / "ranker" / "2" / "engine_cache").exists()


def test_a_build_that_was_killed_is_never_loaded(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "engines" / engine_name(repository / "ranker" / "2", HERE)
    (folder / "building-killed").mkdir(parents=True)
    (folder / "building-killed" / "model.plan").write_bytes(b"half")
    (folder / "model.plan").write_bytes(b"half")  # killed between plan and record
    with with_engines(repository, 2, tmp_path / "engines", lambda _: None) as linked:
        assert (linked / "ranker" / "2" / "model.plan").read_bytes() != b"half"
    assert not (folder / "building-killed").exists()


def test_one_server_builds_and_the_others_wait(repository: Path, tmp_path: Path) -> None:
    engines, said = tmp_path / "engines", list[str]()
    waits = threading.Event()

    def hear(line: str) -> None:
        said.append(line)
        if "waiting" in line:
            waits.set()

    def second() -> None:
        with with_engines(repository, 2, engines, hear):
            pass

    engines.mkdir()
    name = engine_name(repository / "ranker" / "1", HERE)
    with (engines / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60)
        assert not (engines / name).exists()
    thread.join(60)
    assert not thread.is_alive()
    assert said[-1].startswith("ranker 2: engine of tensorrt_rtx")


def test_engines_are_told_apart(repository: Path) -> None:
    one, two = repository / "ranker" / "1", repository / "ranker" / "2"
    other = _Here(trt, "tensorrt_rtx", Gpu("NVIDIA L4", "8.9"))
    assert len({engine_name(v, here) for v in (one, two) for here in (HERE, other)}) == 4
    assert engine_name(one, HERE).endswith(f"-tensorrt_rtx-{HERE.version}-8.6-NVIDIA_A10_24_GB_")
    shutil.copytree(one, repository / "ranker" / "3")
    assert engine_name(one, HERE) == engine_name(repository / "ranker" / "3", HERE)


def test_what_cannot_be_served(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("a file")
    with (
        pytest.raises(ServerError, match=r"cannot be put in place: .*make .*engines writable"),
        with_engines(repository, 2, tmp_path / "engines", lambda _: None),
    ):
        pass
    (repository / "ranker" / "2" / "gpu" / "model.onnx").unlink()
    with (
        pytest.raises(ReleaseError, match="serve it with --profile cpu"),
        with_engines(repository, 2, tmp_path / "good", lambda _: None),
    ):
        pass
