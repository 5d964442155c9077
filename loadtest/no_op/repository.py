"""A repository whose ``recommend`` takes the public request and does nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from ensembles.pipeline import Pipeline
from ensembles.profiles import Knobs
from ensembles.recommend import PREPROCESS, RECOMMEND
from ensembles.render import write_configs

# A step that every profile places and that is never joined with others; its name says nothing.
_STEP = replace(PREPROCESS, inputs=RECOMMEND.inputs, outputs=RECOMMEND.outputs, spare_inputs=())
_NO_OP = Pipeline(
    name=RECOMMEND.name, inputs=RECOMMEND.inputs, outputs=RECOMMEND.outputs, steps=(_STEP,)
)


def write_no_op(folder: Path) -> Path:
    """Write the repository to ``folder``, which comes back."""
    write_configs(folder, (_NO_OP,), 1, Knobs(fuse_steps=False, record=None))
    (folder / RECOMMEND.name / "1").mkdir()
    (folder / _STEP.name / "1").mkdir()
    shutil.copy(Path(__file__).with_name("model.py"), folder / _STEP.name / "1")
    return folder
