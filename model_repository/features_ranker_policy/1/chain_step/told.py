"""What is told of single requests, for the log and for traces; nothing unless it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .request_log import RequestLog
from .spans import StageSpans
from .stages import Passed


class Told:
    """One batch after the other, each told of after it was answered."""

    def __init__(self, log: RequestLog | None, spans: StageSpans | None) -> None:
        self._log, self._spans = log, spans

    @classmethod
    def from_environment(cls, model: str, release: str) -> Told:
        """As the environment asks for: see ``RequestLog`` and ``StageSpans``."""
        log = RequestLog.from_environment({"source": model, "release": int(release)})
        return cls(log, StageSpans.from_environment("millirank"))

    def found(self, answers: Sequence[Any]) -> None:
        """What the features step made of each request of the batch."""
        if self._log is not None:
            self._log.found(answers)

    def batch(
        self, requests: Sequence[Any], answers: Sequence[Any], passed: Sequence[Passed]
    ) -> None:
        """The batch is answered; ``passed`` are the stages that it went through."""
        if self._log is not None:
            self._log.batch(requests, answers, passed)
        if self._spans is not None:
            self._spans.batch(requests, passed)

    def close(self) -> None:
        """Send what is left."""
        if self._spans is not None:
            self._spans.close()
