"""No file of docker/ holds a secret: they come from files that git ignores."""

import re
import subprocess

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.deployment.files import DOCKER, ROOT, compose, kubernetes

NAMED = re.compile(
    r"""(?ix) \b(?:[a-z_]*(?:password|passwd|token|secret|api_?key))["']?
    [ \t]*[:=][ \t]*["']?(?P<value>[^\s"',\]}]+)"""
)
HARMLESS = re.compile(r"[/$%.{\[]|(?:false|true|token|secret)$")
"""A path, something to be filled in, a switch, or a name."""


def found(text):
    """Values that stand beside a name of a secret."""
    return [m["value"] for m in NAMED.finditer(text) if not HARMLESS.match(m["value"])]


def tracked():
    done = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "docker"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [n for n in done.stdout.splitlines() if n.endswith((".yaml", ".yml", ".conf", ".cfg"))]
    return [ROOT / name for name in names]


def test_no_file_holds_a_secret():
    assert tracked()
    for file in tracked():
        assert not found(file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize(
    "text", ["password: {}", 'TOKEN="{}"', "api_key = {}", "{{redis_password: '{}'}}"]
)
@given(value=st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=8, max_size=40))
def test_a_secret_would_be_found(text, value):
    assume(not HARMLESS.match(value))
    assert found(text.format(value)) == [value]


def test_secrets_come_from_files_that_git_ignores():
    for name, secret in compose()["secrets"].items():
        assert secret["file"] == str(DOCKER / "secrets" / name)
        subprocess.run(["git", "check-ignore", "-q", secret["file"]], cwd=ROOT, check=True)
    assert "Secret" not in {o["kind"] for o in kubernetes("overlays/gpu")}


def test_make_secrets_makes_each_once_behind_a_folder_for_its_owner_alone(tmp_path):
    recipe = (ROOT / "Makefile").read_text()
    assert "docker/secrets" in recipe
    (tmp_path / "Makefile").write_text(recipe)
    for file in ("pyproject.toml", "constraints.txt"):
        (tmp_path / file).touch()
    (tmp_path / "docker").mkdir()
    made = []
    for _ in range(2):
        subprocess.run(["make", "-s", "secrets"], cwd=tmp_path, check=True, capture_output=True)
        folder = tmp_path / "docker" / "secrets"
        made.append({file.name: file.read_text() for file in folder.iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == set(compose()["secrets"])
    assert len(set(made[0].values())) == 3
    assert all(len(value.strip()) >= 40 for value in made[0].values())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o444}
