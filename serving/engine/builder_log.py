"""What TensorRT says while it builds: a log file, its errors, and lines of progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TextIO

from serving.engine.layers import is_layer

Log = Callable[[str], None]

_QUIET_SECONDS = 2.0
"""Progress is printed no more often."""


def builder_log(trt: Any, file: TextIO) -> Any:
    """An ``ILogger`` that writes ``file`` and keeps ``errors`` and ``layers``, lists of lines.

    Detailed messages go by the thousand; of these only the descriptions of layers are kept.
    """

    class BuilderLog(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []
            self.layers: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            lines = message.splitlines()
            if severity in {trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR}:
                self.errors.append(message.strip())
            if severity == trt.ILogger.VERBOSE:
                lines = [line for line in lines if is_layer(line)]
                self.layers += lines
            file.writelines(f"{severity.name} {line}\n" for line in lines)

    return BuilderLog()


def progress_monitor(trt: Any, log: Log) -> Any:
    """An ``IProgressMonitor`` that prints where a long build stands."""

    class Progress(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps: dict[str, int] = {}
            self.said = time.monotonic()

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            del parent
            self.steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            now = time.monotonic()
            if now - self.said >= _QUIET_SECONDS:
                self.said = now
                log(f"engine: {phase.lower()}, step {step + 1} of {self.steps.get(phase, '?')}")
            return True

        def phase_finish(self, phase: str) -> None:
            del phase

    return Progress()
