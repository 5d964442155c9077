"""Traces of a run, joined with what the client saw of the same requests.

A request's id is the line of the script that it is, and a line is sent again when the script is
over: which of its answers a trace belongs to, the moments tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembles.fuse import FUSED
from ensembles.profiles import CPU
from loadtest.budget import Budget
from loadtest.spent import Spent, StepSpent, Traced
from loadtest.traces import Trace, read_traces
from loadtest.tracing import Tracing


@dataclass(frozen=True)
class Seen:
    """An answer as the client saw it; ``due_ns`` on the monotonic clock."""

    request_id: str
    due_ns: int
    ms: float


class StageLog:
    """When each batch of the joined model went from stage to stage.

    Args:
        moments: [batches, stages + 1] ns of the monotonic clock, ascending in each row.
    """

    def __init__(self, moments: NDArray[np.int64]) -> None:
        self._moments = moments[np.argsort(moments[:, 0], kind="stable")]

    @classmethod
    def read(cls, file: Path) -> StageLog:
        """A file as the joined model writes it; one without a line where there is none."""
        width = len(CPU.fused) + 1
        lines = file.read_text(encoding="ascii").splitlines() if file.is_file() else []
        rows = [row for row in (line.split() for line in lines) if len(row) == width]
        return cls(np.array(rows, np.int64).reshape(-1, width))

    def __len__(self) -> int:
        return len(self._moments)

    def within(self, start: int, end: int) -> list[int]:
        """The longest batch between two moments; empty where there is none.

        Another instance's batch that lies between them, too, is shorter than the one that they
        are the moments of.
        """
        first, last = np.searchsorted(self._moments[:, 0], [start, end]).tolist()
        rows = self._moments[first:last]
        rows = rows[rows[:, -1] <= end]
        if not len(rows):
            return []
        longest: list[int] = rows[np.argmax(rows[:, -1] - rows[:, 0])].tolist()
        return longest


def traced(tracing: Tracing, seen: Sequence[Seen], budgets: Mapping[str, Budget]) -> Traced | None:
    """What the traces say of the answers; None where none belongs to one, or there is no budget.

    Raises:
        LoadTestError: the traces cannot be read.
    """
    if tracing.otlp or not budgets:
        return None
    log = StageLog.read(Path(tracing.stage_log))
    work = {step.name: step.busy_ms for b in budgets.values() for step in b.chain.steps}
    spent = join(read_traces(tracing.files), seen, log, work)
    return Traced.of(tracing.every, spent, stages_measured=len(log) > 0)


def join(
    traces: Mapping[int, Trace], seen: Sequence[Seen], log: StageLog, work: Mapping[str, float]
) -> list[Spent]:
    """Where the time of each traced answer went.

    Args:
        work: means by step; where the log knows nothing of a batch of the joined model, its time
            is split in the same proportion.
    """
    answers, steps = defaultdict(list), defaultdict(list)
    for answer in seen:
        answers[answer.request_id].append(answer)
    for trace in traces.values():
        if trace.parent is not None:
            steps[trace.parent].append(trace)
    found = []
    for number, whole in traces.items():
        asked = sorted(steps[number], key=lambda step: step.ns.get("REQUEST_START", 0))
        end = whole.ns.get("INFER_RESPONSE_COMPLETE", 0)
        if not asked or not all({"REQUEST_START", "COMPUTE_START"} <= set(s.ns) for s in asked):
            continue  # cut off, or failed on its way
        start = asked[0].ns["REQUEST_START"]
        for answer in answers[whole.request_id]:
            due = answer.due_ns
            if due <= start < end <= due + answer.ms * 1e6:
                spans = [span for s in _spans(asked, end) for span in _apart(*s, log, work)]
                arriving_ms = (start - due) / 1e6
                inside_ms = sum(span.queue_ms + span.work_ms for span in spans)
                found.append(
                    Spent(
                        about=f"{whole.model}, line {whole.request_id}",
                        requests=1,
                        client_ms=answer.ms,
                        arriving_ms=arriving_ms,
                        steps=tuple(spans),
                        leaving_ms=answer.ms - arriving_ms - inside_ms,
                    )
                )
    return found


def _spans(asked: Sequence[Trace], end: int) -> list[tuple[str, int, int, int]]:
    """Name of each step, when it was asked and began, and when the next one was asked."""
    ends = [*(step.ns["REQUEST_START"] for step in asked[1:]), end]
    return [
        (step.model, step.ns["REQUEST_START"], step.ns["COMPUTE_START"], done)
        for step, done in zip(asked, ends, strict=True)
    ]


def _apart(
    name: str, asked: int, began: int, done: int, log: StageLog, work: Mapping[str, float]
) -> list[StepSpent]:
    """A step, or the stages of the joined model.

    With their own moments at hand, the way from Triton to Python counts as waiting, and the way
    back as getting back to the client.
    """
    if name != FUSED:
        return [StepSpent(name, (began - asked) / 1e6, (done - began) / 1e6)]
    moments: list[float] = [*log.within(began, done)]
    if not moments:
        shares = np.cumsum([0.0, *(work[stage] for stage in CPU.fused)])
        moments = (began + shares / shares[-1] * (done - began)).tolist()
    spans = [(b - a) / 1e6 for a, b in pairwise(moments)]
    waits = [(moments[0] - asked) / 1e6, *[0.0] * (len(spans) - 1)]
    return [StepSpent(*of) for of in zip(CPU.fused, waits, spans, strict=True)]
