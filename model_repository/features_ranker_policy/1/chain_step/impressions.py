"""What was shown to whom, into the event log: of a share of the requests, after they are answered.

The model ``record`` stores them, so one process writes; a thread hands them over. Where it is
behind, or the store is full, they are dropped: no answer waits for what is only counted later.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]
Shown = tuple[NDArray[Any], Mapping[str, NDArray[Any]], str]
"""User ids, the answer's tensors [rows, slots] and the id of one request."""

WAITING = 256
_ROWS = 128
"""Of one request to ``record``."""
_EXPLORED = {"propensity": np.float32, "explored": np.bool_}
"""What the answers of a release that explores have beside items and scores."""


class Impressions:
    """A thread that records what was shown.

    Args:
        share: of the requests, 0 to 1, chosen by their ids; without an id nothing could refer to
            them, so none is recorded.
        release: that answers.
        send: stores the tensors of one request to ``record``; whether that went well.
        dropped: is told how many requests were not recorded.
    """

    def __init__(
        self,
        share: float,
        release: int,
        send: Callable[[Tensors], bool],
        dropped: Callable[[int], None],
    ) -> None:
        self._below, self._release = share * 2**32, release
        self._send, self._dropped = send, dropped
        self._waiting: queue.Queue[Shown | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, daemon=True)
        if share:
            self._thread.start()

    def batch(self, requests: Sequence[Any], answers: Sequence[Any]) -> None:
        """The batch is answered."""
        if not self._below:
            return
        for request, answer in zip(requests, answers, strict=True):
            request_id = str(request.request_id())
            chosen = request_id and crc32(request_id.encode()) < self._below
            if isinstance(answer, Exception) or not chosen:
                continue
            users = next(t.as_numpy() for t in request.inputs() if t.name() == "user_id")
            try:
                self._waiting.put_nowait((users.ravel(), answer, request_id))
            except queue.Full:
                self._dropped(1)

    def _run(self) -> None:
        while (shown := self._waiting.get()) is not None:
            # One after the other: what follows a failure is not tried.
            if not all(self._send(tensors) for tensors in rows_of(*shown, self._release)):
                self._dropped(1)

    def close(self) -> None:
        """End soon; what is waiting may be lost."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join(timeout=2)


def rows_of(
    users: NDArray[Any], answer: Mapping[str, NDArray[Any]], request_id: str, release: int
) -> Iterator[Tensors]:
    """One row a slot that is used, as ``record`` takes them."""
    rows, slots = np.nonzero(answer["item_id"] != b"")
    cold = (answer["history"][:, -1] == 0) & ~answer["degraded"][:, 0]
    for start in range(0, len(rows), _ROWS):
        row, slot = rows[start : start + _ROWS], slots[start : start + _ROWS]
        # With the release: while one is tried, each answers some rows, and counts them from 0.
        own = f"{request_id}-{release}"
        ids = [f"{own}-{r}-{s + 1}".encode() for r, s in zip(row, slot, strict=True)]
        yield {
            "user_id": _column(users[row], np.object_),
            "item_id": _column(answer["item_id"][row, slot], np.object_),
            "event": _column([b"impression"] * len(row), np.object_),
            "event_id": _column(ids, np.object_),
            "request_id": _column([request_id.encode()] * len(row), np.object_),
            "position": _column(slot + 1, np.int32),
            "release": _column([release] * len(row), np.int32),
            "score": _column(answer["score"][row, slot], np.float32),
            "cold_start": _column(cold[row], np.bool_),
            **{n: _column(answer[n][row, slot], k) for n, k in _EXPLORED.items() if n in answer},
        }


def stored(backend: Any, tensors: Mapping[str, NDArray[Any]]) -> bool:
    """Ask the model ``record``; ``backend`` is the module ``triton_python_backend_utils``."""
    request = backend.InferenceRequest(
        model_name="record",
        inputs=[backend.Tensor(name, tensor) for name, tensor in tensors.items()],
        requested_output_names=["accepted"],
    )
    return not request.exec().has_error()


def _column(values: Sequence[Any] | NDArray[Any], kind: Any) -> NDArray[Any]:
    return np.array(values, kind)[:, None]
