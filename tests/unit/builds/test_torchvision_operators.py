"""Libraries that import torchvision can be imported, whatever PyTorch it was compiled for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_lightning_and_timm_can_be_imported() -> None:
    """In a process of its own, which has imported neither before."""
    program = "import builders, sys; import lightning, timm; print('torchvision' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (run.stdout.strip(), run.stderr) == ("True", "")
