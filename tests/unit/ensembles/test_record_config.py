"""The configuration of ``record``, and which types of events a release takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from builders.publish.release import SOURCE, chains_of, knobs_of
from builders.settings import Settings
from ensembles.errors import ContractError, SettingsError
from ensembles.profiles import Knobs
from ensembles.recommend import chains
from ensembles.record import RECORD, Recording
from ensembles.render import render, write_configs
from ensembles.step_code import load_step
from serving.repository import models_to_load

PIPELINES = chains(lookup=False, visual=False)
CONFIG = Path("record/config.pbtxt")


def settings(**sections: object) -> Settings:
    raw = {"name": "x", "data": {"format": "csv"}, **sections}
    return Settings.parse(raw, origin="test")


def test_one_process_writes_and_nothing_is_made_up() -> None:
    files = render(PIPELINES, 3, Knobs(instances=4))
    config = text_format.Parse(files[CONFIG], model_config_pb2.ModelConfig())
    assert config.instance_group[0].count == 1
    assert list(config.version_policy.specific.versions) == [3]
    assert not config.model_warmup
    assert not [path for path in files if path.match("record/warmup/*")]
    assert [t.name for t in config.input] == [
        *(t.name for t in RECORD.inputs),
        *("score", "propensity", "explored", "cold_start"),
    ]
    assert [t.name for t in config.input if not t.optional] == ["user_id", "item_id", "event"]


def test_the_model_reads_its_parameters(tmp_path: Path) -> None:
    config = text_format.Parse(
        render(PIPELINES, 3, Knobs(record=Recording({"click": 2.0, "skip": 0.0})))[CONFIG],
        model_config_pb2.ModelConfig(),
    )
    given = {name: value.string_value for name, value in config.parameters.items()}
    assert given["state"] == "lmdb://../state"
    rules = load_step(SOURCE / "record" / "1").Rules.parse(given)
    assert rules.weights == {"click": 2.0, "skip": 0.0}


def test_a_repository_without_it(tmp_path: Path) -> None:
    assert CONFIG not in render(PIPELINES, 3, Knobs(record=None))
    write_configs(tmp_path, PIPELINES, 3, Knobs(record=None))
    assert models_to_load(tmp_path) == ("recommend",)
    write_configs(tmp_path, PIPELINES, 3, Knobs())
    assert models_to_load(tmp_path) == ("recommend", "record")


def test_a_release_from_before_it_stays_without(tmp_path: Path) -> None:
    assert chains_of(tmp_path, 1, settings())[1].record is None
    (tmp_path / "record" / "1").mkdir(parents=True)
    assert chains_of(tmp_path, 1, settings())[1].record is not None


def test_types_are_those_of_the_data() -> None:
    own = settings(
        data={"format": "csv", "event_weights": {"play": 1, "buy": 3}},
        record={"only_logged": ["skip"], "per_minute": 9},
    )
    recording = knobs_of(own).record
    assert recording
    assert dict(recording.weights) == {"skip": 0.0, "play": 1.0, "buy": 3.0}
    assert recording.parameters()["per_minute"] == "9"


def test_types_of_data_that_name_none() -> None:
    recording = knobs_of(settings()).record
    assert recording
    assert recording == Recording()
    weights = json.loads(recording.parameters()["events"])
    assert (weights["click"], weights["dislike"]) == (1.0, 0.0)


@pytest.mark.parametrize("weights", [{}, {"": 1.0}, {"click": -1.0}, {"click": float("nan")}])
def test_wrong_types(weights: dict[str, float]) -> None:
    with pytest.raises(ContractError, match="event types need names and weights"):
        Recording(weights)


def test_impressions_are_a_type_where_they_are_logged() -> None:
    logging = knobs_of(settings(record={"impressions": 0.5})).record
    assert logging
    assert json.loads(logging.parameters()["events"])["impression"] == 0.0
    assert "impression" not in json.loads(Recording().parameters()["events"])
    with pytest.raises(ContractError, match="share of impressions"):
        Recording(impressions=1.5)


def test_wrong_settings() -> None:
    with pytest.raises(SettingsError, match=r"record.per_minute"):
        settings(record={"per_minute": 0})
