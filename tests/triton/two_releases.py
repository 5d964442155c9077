"""A tiny release that answers, and copies of it beside it, good ones and bad ones."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from ensembles.fuse import FUSED
from ensembles.profiles import Knobs
from ensembles.recommend import chains
from ensembles.render import write_configs
from serving.manifest import write_manifest
from serving.version_folders import configs_folder, make_current, models_of, precompile
from tests.triton.held_out import hold_out_first_answers
from tests.triton.tiny import CANDIDATES, HISTORY, KNOBS, Tiny, make_release

KNOBS_OF_COPIES = replace(
    KNOBS, instances=1, fuse_steps=True, history=HISTORY, candidates=CANDIDATES
)
SLOW = """
import time
_score = Scorer.score
def _slowly(self, tensors):
    time.sleep(0.2)
    return _score(self, tensors)
Scorer.score = _slowly
"""
WORSE = """
_answer = answer
def answer(requests, **more):
    answers = _answer(requests, **more)
    return [{**one, "item_id": one["item_id"][:, ::-1].copy()} for one in answers]
"""
BROKEN = """
import itertools
_unbroken, _turns = answer, itertools.count(1)
def answer(requests, **more):
    if next(_turns) > 50:  # after the warm-up
        raise ValueError("broken on purpose")
    return _unbroken(requests, **more)
"""
SPOILED = {
    "slow": ("ranker_step/scorer.py", SLOW),
    "worse": ("policy_step/service.py", WORSE),
    "broken": ("policy_step/service.py", BROKEN),
}


def make_first(folder: Path) -> Tiny:
    """Release 1 is current; the item held out of each user is the first of its answer."""
    tiny = make_release(folder, 1, knobs=replace(KNOBS, instances=1), fused=True)
    hold_out_first_answers(tiny, 1)
    _describe(tiny.repository, 1, KNOBS_OF_COPIES)
    make_current(tiny.repository, 1)
    return tiny


def add_copy(repository: Path, release: int, spoiled: str = "", knobs: Knobs | None = None) -> None:
    """The same files once more, one of them spoiled."""
    for model in models_of(repository, 1):
        shutil.copytree(
            repository / model / "1",
            repository / model / str(release),
            ignore=shutil.ignore_patterns("__pycache__", "configs", "manifest.json"),
        )
    if spoiled:
        file, code = SPOILED[spoiled]
        with (repository / FUSED / str(release) / file).open("a") as opened:
            opened.write(code)
    _describe(repository, release, knobs or KNOBS_OF_COPIES)


def _describe(repository: Path, release: int, knobs: Knobs) -> None:
    pipelines = chains(lookup=False, visual=False)
    write_configs(configs_folder(repository, release), pipelines, release, knobs)
    write_manifest(repository, release, {})
    precompile(repository, release)
