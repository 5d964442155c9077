import pytest

from ensembles.errors import ReleaseError
from ensembles.step_code import load_step


def step_folder(folder, answer):
    package = folder / "thing_step"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from .inner import ANSWER\n")
    (package / "inner.py").write_text(f"ANSWER = {answer!r}\n")
    return folder


def test_two_versions_of_one_step_live_side_by_side(tmp_path):
    one = load_step(step_folder(tmp_path / "1", 1))
    two = load_step(step_folder(tmp_path / "2", 2))
    assert (one.ANSWER, two.ANSWER) == (1, 2)
    assert load_step(tmp_path / "1") is one


def test_a_folder_without_a_step_is_refused(tmp_path):
    with pytest.raises(ReleaseError, match=r"expected one '\*_step' package"):
        load_step(tmp_path)


def test_a_step_that_fails_to_import_can_be_mended(tmp_path):
    folder = step_folder(tmp_path / "1", 1)
    inner = folder / "thing_step" / "inner.py"
    inner.write_text("raise ValueError('broken')\n")
    with pytest.raises(ValueError, match="broken"):
        load_step(folder)
    inner.write_text("ANSWER = 'whole again'\n")
    assert load_step(folder).ANSWER == "whole again"
