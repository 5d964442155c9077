"""The Dockerfile and what belongs to it, as far as it can be read without building."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from serving.serve_command import serve

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
TARGETS = ("server-cpu", "server-gpu", "builder", "loadtest")


def stage(name: str) -> str:
    """The instructions of a stage."""
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", TEXT, re.M | re.S)
    assert found, name
    return found[1]


def allowed(path: str) -> bool:
    """Whether ``.dockerignore`` lets a path through; the last line that matches decides."""
    kept = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        parents = [path, *(str(p) for p in Path(path).parents)]
        if (
            line
            and line[0] != "#"
            and any(fnmatch.fnmatch(p, pattern) for p in parents if p != ".")
        ):
            kept = line[0] == "!"
    return kept


@pytest.mark.parametrize("target", TARGETS)
def test_what_every_image_has(target: str) -> None:
    text = stage(target)
    assert "USER 10001:10001" in text
    for label in ("title", "description", "version", "revision", "source", "licenses"):
        assert f"org.opencontainers.image.{label}=" in text
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert f"ARG VERSION={version['project']['version']}\n" in text
    assert "pip" not in text
    assert f"COPY --from={target}-installed /usr/share/millirank /usr/share/millirank" in text


@pytest.mark.parametrize("target", ["server-cpu", "server-gpu"])
def test_what_every_server_has(target: str) -> None:
    text = stage(target)
    assert "STOPSIGNAL SIGTERM" in text
    assert "127.0.0.1:8000/v2/health/ready" in text
    # Its command is one that `millirank serve` takes, with files where the layout has them.
    words = json.loads(text.split("\nCMD ")[-1])
    assert words[0] == "serve"
    taken = serve.make_context("serve", list(words[1:])).params
    assert (str(taken["repository"]), taken["host"]) == ("/release", "0.0.0.0")
    assert (taken["state"], str(taken["token_file"])) == (
        "lmdb:///state",
        "/run/secrets/control_token",
    )
    assert 5 <= taken["drain_seconds"] <= 10
    assert taken["profile"] == target.removeprefix("server-")
    engines = Path("/engines") if target == "server-gpu" else None
    assert taken["engines"] == engines
    assert (taken["http_port"], taken["grpc_port"], taken["metrics_port"]) == (8000, 8001, 8002)
    assert "EXPOSE 8000 8001 8002" in text


def test_bases_are_arguments() -> None:
    bases = set(re.findall(r"^FROM (\S+) AS", TEXT, re.M))
    assert bases == {"${PYTHON_IMAGE}", "${TRITON_IMAGE}", "base-cpu", "base-gpu"}


def test_what_is_copied_reaches_the_build_and_data_does_not() -> None:
    sources = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", TEXT, re.M)
        for word in line.split()[:-1]
    }
    for source in sources:
        assert (ROOT / source).exists(), source
        assert allowed(source), source
    for path in ("build/movielens/repository", "data/ratings.csv", ".git/config", "tests", ".venv"):
        assert not allowed(path), path
    assert not allowed("ensembles/__pycache__")
    code = {p for p in sources if not p.startswith("docker/")}
    assert code <= {
        *("millirank.py", "ensembles", "serving", "loadtest", "builders", "model_repository"),
        *("loadtest/__init__.py", "loadtest/command.py", "loadtest/latency_command.py"),
        *("loadtest/release", "model_repository/features/1"),
        *(f"builders/{name}.py" for name in ("__init__", "torchvision_operators", "command_line")),
        *(
            "builders/outcomes_command.py",
            "builders/retrain_command.py",
            "builders/simulate_command.py",
        ),
        "model_repository/record/1",
    }


@pytest.mark.parametrize("target", TARGETS)
def test_every_image_has_what_the_command_line_imports(target: str) -> None:
    script = (
        "import sys, millirank; print(*(getattr(m, '__file__', '') for m in sys.modules.values()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    own = {Path(name) for name in done.stdout.split() if Path(name).is_relative_to(ROOT)}
    imported = {path.relative_to(ROOT) for path in own if ".venv" not in path.parts}
    assert Path("millirank.py") in imported
    copied = [
        Path(word)
        for line in re.findall(r"^COPY (?!--from)(.*)$", stage(f"{target}-installed"), re.M)
        for word in line.split()[:-1]
    ]
    missing = {str(p) for p in imported if not any(p.is_relative_to(c) for c in copied)}
    assert missing == set()
