from pathlib import Path

import pytest

from builders.settings import Settings
from ensembles.errors import SettingsError

PRESETS = sorted((Path(__file__).parents[3] / "builders" / "presets").glob("*.toml"))
LEAST = 'name = "x"\n[data]\nformat = "csv"\npath = "log.csv"\n'
EXPLORING = LEAST + "[explore]\nshare = 0.1\n[record]\nimpressions = 0.5\n"


def load(tmp_path, text, **options):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return Settings.load(path, **options)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.stem)
def test_every_preset_is_valid(preset):
    assert Settings.load(preset).name == preset.stem


def test_the_data_option_replaces_the_path(tmp_path):
    assert load(tmp_path, LEAST).data.path == "log.csv"
    assert load(tmp_path, LEAST, data="elsewhere").data.path == "elsewhere"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LEAST + "[train]\nepoch = 3\n", "unknown setting 'train.epoch'. Did you mean 'epochs'"),
        (LEAST + "[trian]\nepochs = 3\n", "unknown setting 'trian'. Did you mean 'train'"),
        (LEAST + "[data.columns]\nusr = 'u'\n", "unknown setting 'data.columns.usr'"),
        (LEAST + "[train]\nepochs = 0\n", "'train.epochs'.*got 0"),
        (LEAST + "[ranker]\nwidth = 10\nheads = 3\n", "width 10 is not a multiple of heads 3"),
        (LEAST.replace("csv", "xml", 1), "'data.format'.*got 'xml'"),
        ('[data]\nformat = "csv"\n', "'name'"),
        ("name = [", "not valid TOML"),
        (EXPLORING.replace("= 0.1", "= 0.6"), "'explore.share'.*got 0.6"),
        (EXPLORING + "[serving]\nfuse_steps = false\n", "share needs the joined steps"),
        (EXPLORING.replace("impressions = 0.5", ""), "without a log of what was shown"),
        (EXPLORING + "[retrieval]\ncandidates = 14\n", "at most half of retrieval.*, 7; got 8"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message):
        load(tmp_path, text)


def test_exploration_is_off_unless_asked_for(tmp_path):
    assert load(tmp_path, LEAST).explore.share == 0
    assert load(tmp_path, EXPLORING).explore.share == 0.1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match="cannot read the settings file .*nowhere.toml"):
        Settings.load(tmp_path / "nowhere.toml")
