"""What a killed simulation finds again."""

from __future__ import annotations

from pathlib import Path

from builders.simulation.checkpoint import restore, save


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_folder_is_as_it_was_after_its_last_finished_round(tmp_path: Path) -> None:
    arm, saved = tmp_path / "off", tmp_path / "off.saved"
    assert restore(arm, saved) == -1
    (arm / "repository" / "stages").mkdir(parents=True)
    (arm / "stages").mkdir()
    (arm / "stages" / "built").write_text("slowly")
    (arm / "repository" / "stages" / "1").write_text("release 1")
    (arm / "left.json").write_text("{}")
    save(arm, saved, 0)
    (arm / "left.json").write_text("later")
    save(arm, saved, 1)
    assert [p.name for p in saved.iterdir()] == ["1"]

    before = content(arm)
    (arm / "left.json").write_text("half a round")
    (arm / "repository" / "2").mkdir()
    (arm / "link").symlink_to("left.json")
    (saved / "partial").mkdir()
    (arm / "stages" / "more").write_text("of the half round")
    assert restore(arm, saved) == 1
    assert content(arm) == {**before, "stages/more": "of the half round"}
    assert not (arm / "repository" / "2").exists()


def test_what_never_had_a_release_begins_anew_with_what_was_built(tmp_path: Path) -> None:
    arm = tmp_path / "off"
    (arm / "stages").mkdir(parents=True)
    (arm / "state").mkdir()
    assert restore(arm, tmp_path / "off.saved") == -1
    assert [p.name for p in arm.iterdir()] == ["stages"]
