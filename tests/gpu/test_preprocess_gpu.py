"""The pipeline of the gpu profile, compared with the processor's. Skipped where there is no GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serving.engine.device import find_gpu
from tests.damaged_images import whole
from tests.unit.model_repository.preprocess_step import LIMITS, STEP, encoded, open_in


def test_the_gpu_sees_what_the_processor_sees(tmp_path: Path) -> None:
    if find_gpu() is None:
        pytest.skip("no GPU")
    on_processor = open_in(tmp_path)
    on_gpu = STEP.Preprocessor.open(tmp_path, LIMITS, device=0)
    files = encoded(*whole(12))
    found = np.stack(on_gpu.pixels([*files, files[0][:99], *files])[:12])
    assert np.abs(found - np.stack(on_processor.pixels(files))).mean() < 0.02
