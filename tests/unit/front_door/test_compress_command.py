"""``millirank compress`` from a log to passes that a build takes; only its trials are faked."""

import csv
import json
import sys

import pytest

import millirank
from builders.compress.search import search
from builders.compress.search.run import _warn_when_busy
from builders.settings import Settings
from tests.unit.compress.found_chain import KEPT, candidate, chain
from tests.unit.ranker.tiny_log import circle

STATIC = {"kind": "quantise_static"}
CONFIG = """
name = "circle"
[data]
format = "csv"
path = "log.csv"
[features]
history = 8
[retrieval]
candidates = 10
factors = 4
[ranker]
width = 16
[train]
epochs = 1
threads = 1
"""


@pytest.fixture
def compress(tmp_path, monkeypatch, capsys):
    """Run the command in a folder with a small log; what it returned and printed."""
    monkeypatch.chdir(tmp_path)
    log = circle()
    with (tmp_path / "log.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "timestamp"])
        for user, (start, end) in enumerate(zip(log.offsets[:-1], log.offsets[1:], strict=True)):
            rows.writerows([user, log.item[e], log.timestamp[e]] for e in range(start, end))
    (tmp_path / "circle.toml").write_text(CONFIG)
    found = iter([(40.0, 0.0, ()), (9.0, -0.004, (STATIC,)), (5.0, -0.009, (STATIC,))])

    def run_trial(data, passes, name, work, percentile):
        latency, change, kept = next(found)
        return candidate(name, latency, change, *kept), chain(KEPT)

    monkeypatch.setattr(search, "run_trial", run_trial)

    def run(*arguments):
        monkeypatch.setattr(
            sys, "argv", ["millirank", "compress", "circle.toml", "--trials", "3", *arguments]
        )
        with pytest.raises(SystemExit) as stopped:
            millirank.main()
        output = capsys.readouterr()
        return stopped.value.code, " ".join(output.out.split()), output.err

    return run, tmp_path / "build" / "circle" / "search"


def test_a_search_leaves_what_a_build_takes_and_goes_on(compress):
    run, folder = compress
    code, out, err = run("--slo", "p99=10ms")
    assert code == 0, err
    assert "of the ranker alone (M) at batch 1 in ONNX Runtime with 1 thread(s)" in out
    assert "trial 1 of 3 meets p99=10ms: p99 9.00 ms, NDCG@10 -0.40%" in out
    settings = Settings.load(folder.parents[2] / "circle.toml", passes=folder / "best.toml")
    assert [p.kind for p in settings.compress.passes] == ["quantise_static"]
    front = json.loads((folder / "front.json").read_text())
    assert [t["on_front"] for t in front["trials"]] == [True, True, True]
    assert "Plotly.newPlot" in (folder / "compression.html").read_text()
    assert "millirank compress circle.toml" in (folder / "compression.md").read_text()

    code, out, _ = run("--slo", "p99=4ms")  # The same trials, another limit: none is run again.
    assert code == 1
    assert "none of 3 trials meets p99=4ms" in out
    assert "nearest is trial 2: p99 5.00 ms" in out
    assert (folder / "nearest.toml").is_file()
    assert not (folder / "best.toml").exists()


def test_ctrl_c_leaves_what_was_found(compress, monkeypatch):
    run, folder = compress
    faked, finished = search.run_trial, []

    def interrupted(*arguments):
        if len(finished) == 2:
            raise KeyboardInterrupt
        finished.append(arguments)
        return faked(*arguments)

    monkeypatch.setattr(search, "run_trial", interrupted)
    code, out, err = run("--slo", "p99=10ms")
    assert (code, err.strip()) == (130, "interrupted")
    assert "interrupted; the same command goes on with the trial that was under way" in out
    assert (folder / "best.toml").is_file()


def test_a_busy_machine_is_told_of(monkeypatch):
    lines = []
    monkeypatch.setattr("os.getloadavg", lambda: (0.1, 0.1, 0.1))
    _warn_when_busy(lines.append)
    assert lines == []
    monkeypatch.setattr("os.getloadavg", lambda: (1000.0, 0.1, 0.1))
    _warn_when_busy(lines.append)
    assert "this machine is busy (load 1000.0" in lines[0]


def test_a_search_without_time_says_so(compress):
    run, _ = compress
    code, _, err = run("--slo", "p99=10ms", "--minutes", "0.0000001")
    assert code == 1
    assert "error: no trial finished; give the search more --minutes" in err
