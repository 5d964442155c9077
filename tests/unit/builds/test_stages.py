import errno
import multiprocessing

import pytest

from builders.settings import Settings
from builders.stages import Stage, build_lock, run_stages
from ensembles.errors import BuildError


def settings(**train):
    raw = {"name": "x", "data": {"format": "csv", "path": "log.csv"}, "train": train}
    return Settings.parse(raw, origin="test")


class Recorder:
    """Two stages that count their runs: `second` depends on `first` and on [train]."""

    def __init__(self):
        self.runs = []
        self.lines = []
        self.outside = "a"

    def write(self, name):
        def run(context):
            self.runs.append(name)
            texts = [(folder / "text").read_text() for folder in context.inputs.values()]
            (context.out / "text").write_text("".join([*texts, name]))
            return f"wrote {name}"

        return run

    def stages(self):
        return [
            Stage("first", self.write("first"), fingerprint=lambda _: self.outside),
            Stage("second", self.write("second"), needs=("first",), sections=("train",)),
        ]

    def build(self, folder, **train):
        self.runs.clear()
        out = run_stages(self.stages(), settings(**train), folder, self.lines.append)
        return (out["second"] / "text").read_text()


@pytest.fixture
def recorder():
    return Recorder()


def test_a_second_run_does_nothing(tmp_path, recorder):
    assert recorder.build(tmp_path) == "firstsecond"
    assert recorder.runs == ["first", "second"]
    recorder.lines.clear()
    assert recorder.build(tmp_path) == "firstsecond"
    assert recorder.runs == []
    assert all("unchanged" in line for line in recorder.lines)


def test_only_what_depends_on_a_change_runs_again(tmp_path, recorder):
    recorder.build(tmp_path)
    recorder.build(tmp_path, epochs=3)
    assert recorder.runs == ["second"]
    recorder.outside = "b"
    recorder.build(tmp_path, epochs=3)
    assert recorder.runs == ["first", "second"]


def test_a_stage_that_is_needed_under_some_settings_only(tmp_path, recorder):
    first, second = recorder.stages()
    late = Stage(
        "third",
        recorder.write("third"),
        needs=("first",),
        needs_too=lambda s: ("second",) if s.train.epochs == 3 else (),
    )
    for epochs, text in ((2, "firstthird"), (3, "firstfirstsecondthird")):
        stages = (first, second, late)
        out = run_stages(stages, settings(epochs=epochs), tmp_path, recorder.lines.append)
        assert (out["third"] / "text").read_text() == text
    recorder.runs.clear()
    run_stages(stages, settings(epochs=2), tmp_path, recorder.lines.append)
    assert recorder.runs == []


def test_going_back_to_earlier_settings_is_cached(tmp_path, recorder):
    recorder.build(tmp_path)
    recorder.build(tmp_path, epochs=3)
    recorder.build(tmp_path)
    assert recorder.runs == []


def test_old_outputs_are_pruned(tmp_path, recorder):
    for epochs in range(1, 8):
        recorder.build(tmp_path, epochs=epochs)
    assert len(list(tmp_path.glob("second-*"))) == 3
    assert len(list(tmp_path.glob("first-*"))) == 1


def test_a_failed_stage_leaves_nothing_that_counts_and_keeps_its_work(tmp_path):
    seen = []

    def run(context):
        seen.append((context.work / "progress").exists())
        (context.work / "progress").touch()
        (context.out / "half").touch()
        if len(seen) == 1:
            raise KeyboardInterrupt
        return "done"

    with pytest.raises(KeyboardInterrupt):
        run_stages([Stage("only", run)], settings(), tmp_path, print)
    out = run_stages([Stage("only", run)], settings(), tmp_path, print)["only"]
    assert seen == [False, True]
    assert out.is_dir()
    assert list(tmp_path.iterdir()) == [out]


def test_a_full_disk_is_a_clear_error(tmp_path):
    def run(context):
        raise OSError(errno.ENOSPC, "No space left on device", "table.npy")

    with pytest.raises(BuildError, match=r"'only'.*table.npy.*No space left"):
        run_stages([Stage("only", run)], settings(), tmp_path, print)


def test_a_missing_need_names_the_nearest(tmp_path, recorder):
    stages = [recorder.stages()[0], Stage("third", print, needs=("frist",))]
    with pytest.raises(BuildError, match="needs 'frist'.*Did you mean 'first'"):
        run_stages(stages, settings(), tmp_path, print)


def hold(folder, held, release):
    with build_lock(folder):
        held.set()
        release.wait(30)


def test_two_builds_cannot_share_a_folder(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(30)
        with pytest.raises(BuildError, match="another build is running"), build_lock(tmp_path):
            pass
    finally:
        release.set()
        other.join(30)
    with build_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(BuildError, match="cannot write to the build folder"),
        build_lock(tmp_path / "file" / "build"),
    ):
        pass
