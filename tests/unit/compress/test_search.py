"""The search: what it tries, what it keeps on disk, what it chooses."""

import io
import tomllib
from dataclasses import replace

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from builders.compress.search import search as search_module
from builders.compress.search.choice import Choice, as_toml, front_table, write_choice
from builders.compress.search.front import best, nearest, pareto_front
from builders.compress.search.search import search
from builders.compress.search.slo import Limits, Objective
from builders.compress.search.space import PassSpace
from builders.compress.search.students import as_text, keep, start
from builders.compress.search.study import Trials
from builders.compress.settings import Distil, PruneLayers, QuantiseDynamic, QuantiseStatic
from builders.ranker.settings import Ranker
from builders.settings import Settings
from ensembles.errors import BuildError, SettingsError
from tests.unit.compress.found_chain import KEPT, candidate, chain

P50 = Objective(50, 1000.0)
LARGE = Ranker(width=512, layers=8, heads=8)


class Fast:
    """Passes that need no training; with an order of its own, so that a test can foretell it."""

    def passes(self, trial):
        layers = trial.suggest_categorical("layers", (3, 2, 1))
        dynamic = trial.suggest_categorical("dynamic", (False, True))
        pruned = (PruneLayers(keep=layers),) if layers < 3 else ()
        return (*pruned, *((QuantiseDynamic(),) if dynamic else ()))

    def starts(self):
        return [
            {"layers": 3, "dynamic": False},
            {"layers": 2, "dynamic": False},
            {"layers": 1, "dynamic": False},
        ]


@pytest.fixture
def open_trials(tmp_path):
    return lambda: Trials(tmp_path / "journal", "study", Fast().starts(), seed=1)


@pytest.fixture
def told(data):
    """Lines that the search printed."""
    lines = []
    return replace(data, log=lines.append), lines


@pytest.fixture
def faked(monkeypatch):
    """Trials that take no time; those in ``fails`` raise what it holds."""
    asked, fails = [], {}

    def run_trial(data, passes, name, work, percentile):
        asked.append(as_text(passes))
        if error := fails.get(len(asked)):
            raise error
        return candidate(name, 5.0 * len(asked), -0.001 * len(asked)), chain(KEPT)

    monkeypatch.setattr(search_module, "run_trial", run_trial)
    return asked, fails


@pytest.mark.slow
def test_real_trials_are_measured_kept_and_cleaned_up(told, open_trials):
    data, lines = told
    trials = open_trials()
    search(data, trials, Fast(), P50, Limits(trials=3))
    found = trials.candidates()
    assert [c.name for c in found] == ["trial 0", "trial 1", "trial 2"]
    assert found[0].passes == ()
    assert found[0].loss == 0
    assert all(0 < c.latency_ms < 1000 for c in found)
    assert trials.chain("trial 1")["passes"][0]["kind"] == "prune_layers"
    assert {p.name for p in data.work.iterdir() if p.is_dir()} == {"base"}
    assert any(line.startswith("trial 2: pass 1/1 prune_layers") for line in lines)


def test_a_study_goes_on_where_it_stood(told, open_trials, faked):
    data, lines = told
    search(data, open_trials(), Fast(), P50, Limits(trials=3))
    trials = open_trials()
    assert trials.finished == 3
    search(data, trials, Fast(), P50, Limits(trials=5))
    assert [c.name for c in trials.candidates()] == [f"trial {n}" for n in range(5)]
    assert "3 trials of an earlier run count; the search goes on" in lines


def test_the_same_passes_are_not_run_twice(data, open_trials, faked):
    asked, _ = faked
    trials = open_trials()
    search(data, trials, Fast(), P50, Limits(trials=20))  # There are six combinations.
    assert trials.finished == 20
    assert len(asked) == len(set(asked)) <= 6


def test_a_trial_that_was_interrupted_comes_first_again(data, open_trials, faked):
    asked, fails = faked
    fails[2] = KeyboardInterrupt()
    trials = open_trials()
    with pytest.raises(KeyboardInterrupt):
        search(data, trials, Fast(), P50, Limits(trials=3))
    assert trials.finished == 1
    search(data, open_trials(), Fast(), P50, Limits(trials=3))
    assert asked[1] in asked[2:]
    assert open_trials().finished == 3


def test_a_trial_that_fails_is_left_out(told, open_trials, faked):
    data, lines = told
    _, fails = faked
    fails[1] = BuildError("no space left")
    trials = open_trials()
    search(data, trials, Fast(), P50, Limits(trials=2))
    assert "the trial failed and is left out: no space left" in lines
    assert [c.name for c in trials.candidates()] == ["trial 1", "trial 2"]


def test_three_failures_in_a_row_end_the_search(data, open_trials, faked):
    _, fails = faked
    fails.update({n: BuildError(f"failure {n}") for n in (1, 2, 3)})
    with pytest.raises(BuildError, match="failure 3"):
        search(data, open_trials(), Fast(), P50, Limits(trials=9))


def test_no_trial_starts_after_the_time_limit(told, open_trials, faked):
    data, lines = told
    trials = open_trials()
    search(data, trials, Fast(), P50, Limits(minutes=1e-9))
    assert trials.finished == 0
    assert "no other trial starts" in lines[-1]


def test_a_later_trial_starts_from_an_earlier_students_folder(tmp_path):
    passes = (Distil(epochs=1), QuantiseStatic())
    work, other, shared = (tmp_path / name for name in ("work", "other", "shared"))
    for folder in ("base", "1-distil", "2-quantise_static"):
        (work / folder).mkdir(parents=True)
        (work / folder / "model.onnx").write_text(folder)
    keep(shared, work, passes)
    start(shared, other, (Distil(epochs=1), QuantiseDynamic()))
    assert sorted(p.name for p in other.iterdir()) == ["1-distil", "base"]
    assert (other / "1-distil" / "model.onnx").read_text() == "1-distil"
    start(shared, tmp_path / "third", (Distil(epochs=2),))
    assert [p.name for p in (tmp_path / "third").iterdir()] == ["base"]


@pytest.mark.parametrize(
    "ranker",
    [LARGE, Ranker(width=8, layers=1, heads=1), Ranker(kind="lstm", width=64, layers=1, heads=1)],
)
def test_every_start_is_in_the_space_and_the_uncompressed_ranker_comes_first(ranker):
    space = PassSpace(ranker, epochs=10)
    tried = [space.passes(optuna.trial.FixedTrial(s)) for s in space.starts()]
    assert tried[:3] == [(), (QuantiseStatic(),), (QuantiseDynamic(),)]
    kinds = {p.kind for passes in tried for p in passes}
    assert ("prune_heads" in kinds) == (ranker.kind == "transformer")


@given(st.integers(0, 10_000), st.sampled_from([LARGE, Ranker(width=48, layers=3, heads=3)]))
def test_whatever_is_tried_is_valid_and_quantises_last(seed, ranker):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    passes = PassSpace(ranker, epochs=7).passes(study.ask())
    kinds = [p.kind for p in passes]
    assert kinds == sorted(kinds, key=lambda kind: "quantise" in kind)
    for p in passes:
        if isinstance(p, Distil):
            assert Ranker.model_validate(p.student.model_dump()) == p.student
            assert p.student.width < ranker.width
            assert (p.student.width // p.student.heads) % 2 == 0
            assert p.epochs <= 7


POINTS = st.lists(st.tuples(st.floats(1, 100), st.floats(-0.1, 0.1)), min_size=1, max_size=12)


@given(POINTS)
def test_nothing_beats_the_front(points):
    found = [candidate(str(n), ms, change) for n, (ms, change) in enumerate(points)]
    front = pareto_front(found)
    assert front[0].latency_ms == nearest(found).latency_ms == min(c.latency_ms for c in found)
    for c in found:
        assert any(f.latency_ms <= c.latency_ms and f.loss <= c.loss for f in front)
    for f in front:
        assert not any(c.latency_ms < f.latency_ms and c.loss < f.loss for c in found)


def test_the_best_loses_least_of_those_that_meet_the_objective_and_is_faster_of_equals():
    fast, equal = candidate("fast", 5, -0.004), candidate("equal", 7, -0.00401)
    slow, lossy = candidate("slow", 20, 0.0), candidate("lossy", 1, -0.009)
    found = [slow, lossy, equal, fast]
    assert best(found, Objective(99, 10)) is fast
    assert best(found, Objective(99, 30)) is slow
    assert best(found, Objective(99, 0.5)) is None


STUDENT = {"kind": "distil", "student": Ranker(width=32).model_dump(), "epochs": 3}
STATIC = {"kind": "quantise_static", "calibration": "entropy", "keep_float": ["a", 'b"']}


def choice(limit, *passes):
    chosen = candidate("trial 4", 12.0, -0.002, *passes)
    return Choice(Objective(99, limit), 0.01, chosen, limit >= 12, (chosen,))


def test_an_objective_that_nothing_meets_names_the_nearest_and_the_gap(tmp_path):
    line = choice(10, STATIC).line(7)
    assert "none of 7 trials meets p99=10ms within a loss of 1.00%" in line
    assert "nearest is trial 4: p99 12.00 ms, NDCG@10 -0.20%, with quantise_static" in line
    assert "2.00 ms (20%) too slow" in line


def test_only_a_choice_that_meets_the_objective_is_called_best(tmp_path):
    met, missed = choice(20, STATIC), choice(10, STATIC)
    assert "trial 4 of 7 meets p99=20ms" in met.line(7)
    assert write_choice(met, [met.candidate], tmp_path).name == "best.toml"
    assert write_choice(missed, [missed.candidate], tmp_path).name == "nearest.toml"
    assert not (tmp_path / "best.toml").exists()
    assert "does NOT meet" in (tmp_path / "nearest.toml").read_text()


def test_the_front_is_printed_within_100_columns():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(front_table(choice(20, STUDENT, STATIC)))
    text = console.export_text()
    assert "distil 2x32 > quantise_static" in text
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("passes", [(), (STATIC,), (STUDENT, STATIC)])
def test_a_build_takes_the_passes_that_a_search_left(tmp_path, passes):
    config, chosen = tmp_path / "config.toml", tmp_path / "best.toml"
    config.write_text(
        'name = "a"\n[data]\nformat = "csv"\n[compress]\nmin_gain = 0.1\n'
        '[[compress.passes]]\nkind = "fp16"\n'
    )
    chosen.write_text(as_toml(choice(20, *passes)))
    compress = Settings.load(config, passes=chosen).compress
    expected = Settings.parse(
        {**tomllib.loads(config.read_text()), "compress": {"passes": passes}}, origin="test"
    )
    assert compress.passes == expected.compress.passes
    assert (compress.max_quality_loss, compress.min_gain) == (0.01, 0.1)


def test_a_file_without_passes_is_refused(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('name = "a"\n[data]\nformat = "csv"\n')
    with pytest.raises(SettingsError, match=r"expected \[\[compress.passes\]\]"):
        Settings.load(config, passes=config)
