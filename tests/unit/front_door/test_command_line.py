"""The command line as a user meets it: exit codes, one-line errors, nothing heavy for help."""

import subprocess
import sys
from pathlib import Path

import pytest

import millirank

ROOT = Path(__file__).resolve().parents[3]
HEAVY = (
    "torch",
    "onnxruntime",
    "lightning",
    "locust",
    "gevent",
    "tritonclient",
    "numpy",
    "ibis",
    "optuna",
    "plotly",
    "PIL",
    "nvidia",
)


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["millirank", *arguments])
    with pytest.raises(SystemExit) as stopped:
        millirank.main()
    output = capsys.readouterr()
    return stopped.value.code, output.out, output.err


def test_help_lists_every_command(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--help")
    assert code == 0
    for command in millirank.cli.commands:
        assert f"\n  {command} " in out


@pytest.mark.parametrize("command", sorted(millirank.cli.commands))
def test_every_command_explains_itself(monkeypatch, capsys, command):
    code, out, _ = run(monkeypatch, capsys, command, "--help")
    assert code == 0
    assert f"millirank {command}" in out.replace("millirank.py", "millirank")


def test_help_shows_the_first_steps_line_by_line(monkeypatch, capsys):
    _, out, _ = run(monkeypatch, capsys, "--help")
    assert "\n    millirank recommend --user 42 -k 10" in out


def test_help_imports_nothing_heavy():
    script = (
        "import sys; sys.argv = ['millirank', '--help']; import millirank\n"
        "try: millirank.main()\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["biuld"], 2, "Did you mean 'build'"),
        (["build"], 2, "Missing argument 'CONFIG'"),
        (["build", "nowhere.toml"], 1, "error: cannot read the settings file nowhere.toml"),
        (["build", "nowhere.toml", "--passes", "best.toml"], 1, "error: cannot read the settings"),
        (["compress", "nowhere.toml"], 2, "Missing option '--slo'"),
        (["compress", "nowhere.toml", "--slo", "10ms"], 1, "error: expected an objective as p99"),
        (["compress", "nowhere.toml", "--slo", "p99=1ms"], 1, "error: cannot read the settings"),
        (["inspect", "nowhere"], 1, "error: expected a model repository"),
        (["loadtest", "nowhere"], 1, "error: expected a model repository"),
        (["latency", "nowhere"], 1, "error: expected a model repository"),
        (["serve", "nowhere"], 1, "error: expected a model repository"),
        (["serve", "nowhere", "--token-file", "nowhere"], 1, "cannot read the token file nowhere"),
        (["retrain", "nowhere"], 2, "Missing option '--events'"),
        (["retrain", "nowhere", "--events", "e"], 1, "error: cannot read the settings file"),
        (["retrain", ".", "--events", "e"], 1, "error: expected a model repository"),
        (["outcomes", "--events", "nowhere", "--out", "o"], 1, "error: nowhere is no folder"),
        (["recommend"], 2, "Missing option '--user'"),
        (
            ["recommend", "--user", "1", "--server", "127.0.0.1:9", "--repository", "nowhere"],
            1,
            "error: no server answers at 127.0.0.1:9",
        ),
        (
            ["recommend", "--user", "1", "--image", "nowhere.jpg", "--repository", "nowhere"],
            1,
            "error: image: expected a picture file, but nowhere.jpg cannot be read: No such file",
        ),
        (["preview"], 2, "Missing option '--user'"),
        (["preview", "--user", "1", "--image", ""], 1, "error: image: expected a picture file"),
        (
            ["preview", "--user", "1", "--server", "127.0.0.1:9", "--repository", "nowhere"],
            1,
            "error: no server answers at 127.0.0.1:9",
        ),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(
    monkeypatch, capsys, tmp_path, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    got, _, err = run(monkeypatch, capsys, *arguments)
    assert (got, message in err) == (code, True), err
    assert "Traceback" not in err


def test_debug_shows_where_it_happened(monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "--debug", "inspect", "nowhere")
    assert code == 1
    assert "Traceback" in err


def test_an_empty_token_file_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / "token").write_text(" \n")
    code, _, err = run(
        monkeypatch, capsys, "serve", str(tmp_path), "--token-file", str(tmp_path / "token")
    )
    assert code == 1
    assert "is empty; put one line with a secret into it" in err


def test_committed_configs_are_what_is_rendered(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "render", "--check")[0] == 0


def test_a_stale_config_is_named(monkeypatch, capsys):
    from ensembles import render

    monkeypatch.setattr(render, "stale_configs", lambda *_: [Path("ranker/config.pbtxt")])
    code, _, err = run(monkeypatch, capsys, "render", "--check")
    assert code == 1
    assert "ranker/config.pbtxt differs" in err


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("builders.publish.history.current_release", interrupted)
    code, _, err = run(monkeypatch, capsys, "inspect", "nowhere")
    assert (code, err.strip()) == (130, "interrupted")


def test_engines_are_for_the_gpu_profile(monkeypatch, capsys, tmp_path):
    code, _, err = run(monkeypatch, capsys, "serve", str(tmp_path), "--engines", str(tmp_path))
    assert code == 2
    assert "--engines is for --profile gpu" in err
