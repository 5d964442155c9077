"""How a release came to be, printed from its manifest."""

import io
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from builders.evaluation.metrics import Metrics
from builders.evaluation.quality_rows import QualityRow
from builders.publish.history import history, print_release
from builders.settings import Settings
from serving.manifest import write_manifest
from tests.unit.compress.found_chain import EXPORT, KEPT, TEST, TOO_MUCH, chain

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = Settings.parse(
    {
        "name": "x",
        "data": {"format": "csv"},
        "ranker": {"width": 512},
        "compress": {"passes": [{"kind": "fp16"}]},
    },
    origin="test",
)
HALF = Metrics(0.5, 0.5, 0.5, 0.5)
ROWS = [asdict(QualityRow("popularity", "all", HALF, HALF))]
ABOUT = {
    "command": "millirank build x.toml",
    "data": {"log.csv": "0123456789abcdef" * 4},
    "settings": SETTINGS.model_dump(mode="json"),
    "stages": {"train": "train-1"},
    "tools": {"torch": "2.13.0"},
    "target": "Linux x86_64",
}


def printed(manifest):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(*history(manifest), sep="\n")
    return " ".join(console.export_text().split())


def test_a_tuned_release_says_so():
    tuned = {"from_release": 1, "settings": {"instances": 3}, "trials": [{"number": 77}]}
    text = printed({**ABOUT, "tuned": tuned})
    assert "tuned under load" in text
    assert "{'instances': 3}" in text
    assert "77" not in text


def test_a_retrained_release_says_what_it_knows_and_how_it_compared():
    quality = {"ndcg10": 0.5, "change": 0.25, "low": -0.125, "high": 0.75}
    retrained = {"current": 3, "queries": 4321, "quality": quality}
    text = printed({**ABOUT, "trained_on": {"recorded": 1234}, "retrained": retrained})
    assert "recorded 1234" in text
    assert "compared with the release before current 3 queries 4321" in text
    assert "low -0.125" in text


def test_a_compressed_release_shows_every_pass_quality_and_graph():
    figures = {
        "train": {"epochs": 3, "minutes": 1.5},
        "compress": chain(KEPT, TOO_MUCH).to_json(),
        "evaluate": {"rows": ROWS, "compressed": TEST},
        "export": EXPORT,
    }
    text = printed({**ABOUT, "figures": json.loads(json.dumps(figures))})
    for expected in (
        "log.csv sha256 0123456789abcdef ",
        "ranker.width 512",
        "train-1",
        "epochs 3",
        "distil 4x256 6.50",
        TOO_MUCH.reason,
        "popularity all .5000",
        "NDCG@10 0.1900 after 0.2000: -5.00%",
        "engine not executed yes",
        "not held no engine: TensorRT is not installed",
        "torch 2.13.0",
        "made again by: millirank build x.toml",
    ):
        assert expected in text
    assert "ranker.layers" not in text  # As the default has it.
    assert "fp16" not in text.split("stages")[0]  # Passes stand in their own table.


def test_a_release_from_before_compression_is_printed():
    text = printed({**ABOUT, "figures": {"evaluate": ROWS, "export": {"batch 1": 1e-7}}})
    assert "popularity all .5000" in text
    assert "batch 1 1e-07" in text


def test_a_manifest_that_says_nothing_is_printed():
    assert "made again by: unknown" in printed({})


@pytest.fixture
def repository(tmp_path):
    for model in ("features", "ranker", "policy", "recommend"):
        (tmp_path / model / "1").mkdir(parents=True)
        (tmp_path / model / "1" / "content").write_text(model)
    (tmp_path / "recommend" / "config.pbtxt").write_text("model_version: 1\n")
    write_manifest(tmp_path, 1, ABOUT)
    return tmp_path


def test_the_raw_manifest_is_json(repository, capsys, monkeypatch):
    monkeypatch.setattr("builders.publish.history.current_release", lambda _: 1)
    print_release(repository, raw=True)
    assert json.loads(capsys.readouterr().out)["command"] == "millirank build x.toml"
    print_release(repository, raw=False)
    out = capsys.readouterr().out
    assert out.startswith(f"release 1 of {repository}: every file is as published\n")
    assert "4 files" in out


def test_a_release_is_inspected_without_the_libraries_that_build_one():
    script = (
        "import sys, builders.publish.history\n"
        "print([m for m in ('torch', 'onnx', 'plotly', 'optuna', 'ibis') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
