"""The command ``compress``: train, search, and leave the choice where a build can take it."""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

from builders.compress.interface import CompressionData
from builders.compress.report import write_report
from builders.compress.result import ChainResult
from builders.compress.search.choice import Choice, front_table, write_choice
from builders.compress.search.front import best, nearest, pareto_front
from builders.compress.search.search import search
from builders.compress.search.slo import Limits, Wish
from builders.compress.search.space import PassSpace
from builders.compress.search.study import Trials
from builders.dataset.dataset import Dataset
from builders.flow import STAGES
from builders.ranker.weights import load_ranker
from builders.settings import Settings
from builders.stages import Log, build_lock, run_stages
from ensembles.errors import BuildError

FOLDER = "search"
_STAGES = ("dataset", "retrieval", "train")
_CODE = ("*.py", "search/space.py", "search/trial.py", "../export/*.py")
"""Source that the figures of a trial depend on, relative to this room."""
_ROUNDS = 3
"""Trials measure with so many times fewer rounds than a build, which measures again."""


def run_search(
    settings: Settings, folder: Path, wish: Wish, limits: Limits, command: str, log: Log
) -> Choice:
    """Search in ``folder/search`` for passes that meet ``wish``.

    Args:
        command: what searches again, for the report.
        log: prints one line.

    Raises:
        MillirankError: whatever stages and trials raise.
        KeyboardInterrupt: after what was found so far is written.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with build_lock(folder):
        stages = [stage for stage in STAGES if stage.name in _STAGES]
        outputs = run_stages(stages, settings, folder / "stages", log)
        settings = _for_trials(settings, wish)
        name = _study_name(settings, wish, outputs["train"].name)
        log(
            f"objective {wish.objective} of the ranker alone (M) at batch 1 in ONNX Runtime with "
            f"{settings.serving.ranker_threads} thread(s); a load test measures end to end"
        )
        _warn_when_busy(log)
        data = CompressionData(
            dataset=Dataset.load(outputs["dataset"]),
            settings=settings,
            tables=outputs["retrieval"] / "tables",
            teacher=load_ranker(outputs["train"]),
            work=_shared(folder / FOLDER, name),
            log=log,
        )
        space = PassSpace(data.teacher.settings, settings.compress.search_epochs)
        journal = folder / FOLDER / "studies.journal"
        trials = Trials(journal, name, space.starts(), settings.train.seed)
        try:
            search(data, trials, space, wish.objective, limits)
        except KeyboardInterrupt:
            log("interrupted; the same command goes on with the trial that was under way")
            if trials.finished:
                _conclude(trials, wish, settings, folder / FOLDER, command, log)
            raise
        return _conclude(trials, wish, settings, folder / FOLDER, command, log)


def _warn_when_busy(log: Log) -> None:
    """Percentiles of single requests are the first that other work on the machine spoils."""
    waiting, cores = os.getloadavg()[0], os.cpu_count() or 1
    if waiting > cores:
        log(
            f"this machine is busy (load {waiting:.1f} on {cores} cores): high percentiles will "
            "be those of the other work; search on an idle machine"
        )


def _for_trials(settings: Settings, wish: Wish) -> Settings:
    rounds = max(10, settings.compress.rounds // _ROUNDS)
    changed = {"max_quality_loss": wish.max_quality_loss, "rounds": rounds, "passes": ()}
    compress = settings.compress.model_copy(update=changed)
    return settings.model_copy(update={"compress": compress})


def _study_name(settings: Settings, wish: Wish, train: str) -> str:
    """Another one as soon as anything changes that a trial depends on."""
    read = settings.model_dump(mode="json", include={"compress", "export", "retrieval", "serving"})
    digest = sha256(json.dumps([train, read, wish.objective.name], sort_keys=True).encode())
    room = Path(__file__).resolve().parents[1]
    for pattern in _CODE:
        for path in sorted(room.glob(pattern)):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"study-{digest.hexdigest()[:16]}"


def _shared(folder: Path, name: str) -> Path:
    """The folder of this study; what studies of other settings left is removed."""
    for other in folder.glob("study-*"):
        if other.name != name:
            shutil.rmtree(other)
    shared = folder / name
    shared.mkdir(parents=True, exist_ok=True)
    return shared


def _conclude(
    trials: Trials, wish: Wish, settings: Settings, folder: Path, command: str, log: Log
) -> Choice:
    """Choose, write and print."""
    from rich.console import Console

    candidates = trials.candidates()
    if not candidates:
        raise BuildError("no trial finished; give the search more --minutes or --trials")
    chosen = best(candidates, wish.objective)
    choice = Choice(
        objective=wish.objective,
        max_quality_loss=wish.max_quality_loss,
        candidate=chosen or nearest(candidates),
        met=chosen is not None,
        front=tuple(pareto_front(candidates)),
    )
    Console().print(front_table(choice))
    log(choice.line(trials.finished))
    path = write_choice(choice, candidates, folder)
    about = {
        "name": settings.name,
        "objective": f"{wish.objective}, at most {wish.max_quality_loss:.2%} of NDCG@10 lost",
        "found": choice.line(trials.finished),
        "command": command,
    }
    chain = ChainResult.from_json(trials.chain(choice.candidate.name))
    page = write_report(chain, about, folder, front=candidates)
    log(f"{path} holds its passes: millirank build CONFIG --passes {path}; report: {page}")
    return choice
