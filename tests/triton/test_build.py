"""A whole build on a small constructed log, with the real server in its served check."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from builders.build import run_build
from builders.compress.result import ChainResult
from builders.export import item_lookup
from builders.settings import Settings
from builders.stage_work import REPOSITORY
from ensembles.errors import BuildError, DataError, ReleaseError, VerificationError
from ensembles.fuse import FUSED
from serving.client import Client, Request
from serving.engine.device import find_gpu
from serving.engine.record import NOT_EXECUTED
from serving.manifest import check
from serving.repository import current_release, releases
from serving.temporary import temporary_server

OTHER: dict[str, dict[str, object]] = {
    "serving": {"max_queue_size": 77},
    "explore": {"share": 0.2, "pool": 6, "candidates": 4},
    "record": {"impressions": 0.5},
}
ROOT = Path(__file__).resolve().parents[2]


def write_log(path: Path, users: int = 40, items: int = 30, length: int = 12) -> Path:
    """Users walk round a circle of items, each from a place of its own."""
    rng = np.random.default_rng(3)
    lines = ["user_id,item_id,timestamp"]
    for user in range(users):
        start = rng.integers(items)
        lines += [f"u{user},i{(start + step) % items},{1000 + step}" for step in range(length)]
    path.write_text("\n".join(lines) + "\n")
    return path


def settings(log: Path, **sections: dict[str, object]) -> Settings:
    raw = {
        "name": "tiny",
        "data": {"format": "csv", "path": str(log)},
        "features": {"history": 8},
        "retrieval": {"candidates": 20, "factors": 4, "iterations": 2, "neighbours": 5},
        "ranker": {"width": 16, "layers": 1, "heads": 2},
        "train": {"epochs": 2, "batch": 128, "threads": 1, "precision": "32-true"},
        "serving": {"instances": 1},
    }
    for name, values in sections.items():
        raw[name] = {**raw.get(name, {}), **values}
    return Settings.parse(raw, origin="test")


def build(folder: Path, **options: object) -> list[str]:
    lines: list[str] = []
    run_build(settings(**options), folder, "millirank build test.toml", lines.append)
    return lines


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log") / "log.csv")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Path:
    folder = tmp_path_factory.mktemp("build")
    build(folder, log=log)
    return folder


def test_the_release_is_whole_and_tells_how_it_came_to_be(built, log):
    repository = built / "repository"
    assert releases(repository) == [1]
    assert current_release(repository) == 1
    manifest = check(repository, 1)
    assert manifest["command"] == "millirank build test.toml"
    assert manifest["settings"]["ranker"]["width"] == 16
    assert manifest["figures"]["served_check"]["users"] == 40
    assert manifest["figures"]["served_check"]["largest_difference"] < 1e-3
    assert "torch" in manifest["tools"]
    assert manifest["data"] == {"log.csv": hashlib.sha256(log.read_bytes()).hexdigest()}
    known = {"newest": 1011, "events": 480, "recorded": 0, "exported": 0}
    assert manifest["trained_on"] == known
    assert not list(built.rglob("*.pkl"))
    assert not list((repository).rglob("*.pt"))


def test_what_is_published_answers_known_and_unknown_users(built):
    about = built / "repository" / "recommend" / "1"
    users = json.loads((about / "holdout.json").read_text())["users"]
    queries = json.loads((about / "queries.json").read_text())["recent"]
    with temporary_server(built / "repository") as server, Client(server.grpc) as client:
        known = client.recommend(Request(user_id="u3", k=5))
        stranger = client.recommend(Request(user_id="nobody", k=5))
        by_state = client.recommend_many([Request(user) for user in users])
        by_query = client.recommend_many([Request("nobody", recent=r) for r in queries])
    assert len(queries) == 40
    # So a trial asks without the user state, which knows held-out events by now.
    assert [a.items for a in by_query] == [a.items for a in by_state]
    assert known.release == 1
    assert len(set(known.items)) == 5
    assert len(set(stranger.items)) == 5


def test_nothing_changed_does_nothing(built, log):
    started = time.monotonic()
    lines = build(built, log=log)
    assert "nothing changed: release 1" in lines[-1]
    assert "compression report: " in lines[-2]
    assert all("unchanged" in line for line in lines[:-2])
    assert time.monotonic() - started < 60
    assert releases(built / "repository") == [1]


def test_another_setting_makes_another_release_and_leaves_the_first(built, log):
    before = check(built / "repository", 1)
    lines = build(built, log=log, **OTHER)
    assert [line for line in lines if "unchanged" in line and "train" in line]
    assert releases(built / "repository") == [1, 2]
    assert current_release(built / "repository") == 2
    assert check(built / "repository", 1) == before
    # It explores, and yet the check compares what the ranker alone answers.
    assert any("40 users through Triton: 40 lists identical" in line for line in lines)
    tables = [f"{model}/2/tables/explore.npy" for model in ("features", FUSED)]
    assert {n for n in check(built / "repository", 2)["files"] if "explore.npy" in n} == {*tables}
    assert not [name for name in before["files"] if "explore.npy" in name]


def test_a_damaged_release_is_published_anew(built, log):
    (built / "repository" / "policy" / "2" / "tables" / "item_ids.json").write_text('["", "x"]')
    with pytest.raises(ReleaseError, match="was altered"):
        check(built / "repository", 2)
    build(built, log=log, **OTHER)
    assert current_release(built / "repository") == 3
    check(built / "repository", 3)


@pytest.mark.slow
def test_an_answer_that_differs_from_the_offline_pipeline_is_not_published(
    tmp_path, log, monkeypatch
):
    def export_wrongly(*arguments):
        path = export(*arguments)
        model = onnx.load(path)
        tensor = max(model.graph.initializer, key=lambda t: np.prod(t.dims))
        tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        onnx.save(model, path)
        return path

    export = item_lookup.export
    monkeypatch.setattr(item_lookup, "export", export_wrongly)
    monkeypatch.setattr("builders.compress.graph.verify", lambda *_: {"batch 1": 0.0})
    with pytest.raises(VerificationError, match="served answer differs from the offline pipeline"):
        build(tmp_path, log=log)
    assert not (tmp_path / "repository").exists()


@pytest.mark.slow
def test_a_compressed_release_is_served_as_it_was_built(tmp_path, log):
    passes = [
        {"kind": "prune_channels", "keep": 0.5, "max_slowdown": 1.0},
        {"kind": "quantise_items", "max_slowdown": 1.0},
        {"kind": "quantise_static", "max_slowdown": 1.0, "sensitivity": 1.0},
    ]
    lines = build(tmp_path, log=log, compress={"max_quality_loss": 0.9, "passes": passes})
    assert any("40 users through Triton: 40 lists identical" in line for line in lines)
    manifest = check(tmp_path / "repository", 1)
    chain = ChainResult.from_json(manifest["figures"]["compress"])
    assert [(p.kind, p.kept) for p in chain.passes] == [(p["kind"], True) for p in passes]
    assert chain.final.operations < chain.base.operations
    ranker = tmp_path / "repository" / "ranker" / "1"
    served = onnx.load(ranker / "model.onnx")
    assert "QuantizeLinear" in {node.op_type for node in served.graph.node}
    assert "quantise_static" in (tmp_path / "report" / "compression.md").read_text()
    graphs = manifest["figures"]["export"]["graphs"]
    assert set(graphs) == {"float32", "fp16", "int8_qdq"}
    if find_gpu() is None:
        assert all(g["engine"]["executed"] == NOT_EXECUTED for g in graphs.values())
    again = tmp_path / "again"
    lines = build(again, log=log, train={"warm_start": str(tmp_path / "repository"), "epochs": 1})
    assert "30 of 30 items start from the earlier release" in lines


@pytest.mark.slow
def test_a_killed_build_goes_on(tmp_path, log):
    config = tmp_path / "tiny.toml"
    config.write_text(
        f'name = "tiny"\n[data]\nformat = "csv"\npath = "{log}"\n[features]\nhistory = 8\n'
        "[retrieval]\ncandidates = 20\nfactors = 4\niterations = 2\nneighbours = 5\n"
        "[ranker]\nwidth = 16\nlayers = 1\n[serving]\ninstances = 1\n"
        '[train]\nepochs = 40\npatience = 40\nthreads = 1\nprecision = "32-true"\n'
    )
    command = [sys.executable, str(ROOT / "millirank.py"), "build", str(config)]
    command += ["--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert first.stdout is not None
    for line in first.stdout:
        if line.startswith("epoch 3:"):
            first.send_signal(signal.SIGKILL)
    first.stdout.close()
    assert first.wait() == -signal.SIGKILL
    again = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert again.returncode == 0, again.stderr
    assert "[2/8] retrieval: unchanged" in again.stdout
    assert "training goes on from its last finished epoch" in again.stdout
    assert "epoch 1:" not in again.stdout
    assert "epoch 40:" in again.stdout
    assert "published release 1" in again.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "log.csv"),
        ("user_id,item_id,timestamp\n", "no row|nothing|empty"),
        (
            "user_id,item_id,timestamp\n" + "".join(f"u,i{n},{n}\n" for n in range(9)),
            "fewer than 5",
        ),
    ],
    ids=["empty file", "header only", "one user"],
)
def test_a_log_without_enough_data_is_a_clear_error(tmp_path, content, message):
    (tmp_path / "log.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        build(tmp_path / "out", log=tmp_path / "log.csv")


def test_an_output_folder_that_cannot_be_written_is_a_clear_error(tmp_path, log):
    (tmp_path / "file").touch()  # root may write into any folder, but not below a file
    with pytest.raises(BuildError, match="cannot write to the build folder"):
        build(tmp_path / "file" / "out", log=log)


@pytest.mark.slow
def test_without_room_for_the_user_state_nothing_is_published(tmp_path, log):
    (tmp_path / "state").touch()
    with pytest.raises(BuildError, match="user state: .* cannot be written"):
        build(tmp_path, log=log)
    assert not (tmp_path / "repository").exists()
    (tmp_path / "state").unlink()
    assert "published release 1" in build(tmp_path, log=log)[-1]


@pytest.mark.slow
def test_a_user_with_more_events_than_the_state_keeps_is_answered_as_offline(tmp_path):
    # The heavy user's first items lie behind the events that are kept, and so may come again.
    path = write_log(tmp_path / "log.csv")
    events = [f"i{n % 4}" for n in range(4)] + [f"i{4 + n % 9}" for n in range(1010)]
    with path.open("a") as log:
        log.writelines(f"heavy,{item},{2000 + n}\n" for n, item in enumerate(events))
    lines = build(tmp_path / "out", log=path, train={"epochs": 1})
    assert any("41 users through Triton: 41 lists identical" in line for line in lines)


def test_the_stage_outputs_hold_the_checked_repository(built):
    checked = list((built / "stages").glob(f"served_check-*/{REPOSITORY}"))
    assert checked
    held_out = json.loads((checked[0] / "recommend" / "1" / "holdout.json").read_text())
    assert len(held_out["users"]) == len(held_out["items"]) == 40


@pytest.mark.slow
def test_a_build_can_start_from_a_release(built, tmp_path, log):
    repository = str(built / "repository")
    lines = build(tmp_path, log=log, train={"warm_start": repository, "epochs": 1})
    assert "30 of 30 items start from the earlier release" in lines
