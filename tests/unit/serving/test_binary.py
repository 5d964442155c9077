"""Where tritonserver comes from."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from ensembles.errors import MissingExtra, ServerError
from serving.binary import find_installation, find_libpython

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def no_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.binary.shutil.which", lambda _: None)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_native: None) -> Path:
    """A folder laid out as the wheel."""
    package = tmp_path / "site" / "pytriton"
    root = package / "tritonserver"
    for name in (
        "bin/tritonserver",
        "backends/python/libtriton_python.so",
        f"python_backend_stubs/{VERSION}/triton_python_backend_stub",
    ):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(name)
    spec = ModuleSpec("pytriton", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr("serving.binary.importlib.util.find_spec", lambda _: spec)
    monkeypatch.setattr("serving.binary.find_libpython", lambda: tmp_path / "lib" / "libpython.so")
    return root


def test_native_server_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.binary.shutil.which", lambda _: "/opt/bin/tritonserver")
    found = find_installation(tmp_path)
    assert (found.executable, found.backends) == (Path("/opt/bin/tritonserver"), None)
    assert found.environment()["PATH"] == os.environ["PATH"]


def test_wheel_is_staged(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/inherited")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = find_installation(tmp_path / "staging")
    assert found.executable == wheel / "bin/tritonserver"
    assert found.backends
    staged = {p.name: p.read_text() for p in (found.backends / "python").iterdir()}
    assert staged.keys() == {"libtriton_python.so", "triton_python_backend_stub"}
    environment = found.environment()
    libraries = f"{wheel.parent.parent}/nvidia_pytriton.libs:{tmp_path}/lib:/inherited"
    assert environment["LD_LIBRARY_PATH"] == libraries
    assert environment["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["OPENBLAS_NUM_THREADS"] == "1"


def test_no_stub_for_this_python(tmp_path: Path, wheel: Path) -> None:
    (wheel / "python_backend_stubs" / VERSION).rename(wheel / "python_backend_stubs" / "3.99")
    with pytest.raises(ServerError, match=rf"no stub for Python {VERSION}, only for 3\.99"):
        find_installation(tmp_path / "staging")


def test_no_server_at_all(tmp_path: Path, no_native: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.binary.importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="tritonserver"):
        find_installation(tmp_path)


def test_library_of_the_running_python() -> None:
    assert find_libpython().name == f"libpython{VERSION}.so.1.0"


def test_python_without_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.binary.sysconfig.get_config_var", lambda _: str(tmp_path))
    monkeypatch.setattr("serving.binary.sys.base_prefix", str(tmp_path))
    with pytest.raises(ServerError, match=f"apt-get install libpython{VERSION}"):
        find_libpython()
