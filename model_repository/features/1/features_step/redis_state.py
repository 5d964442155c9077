"""User state in Redis: of several servers. Without it, requests are answered degraded.

While Redis does not answer, no request waits for it: batches are told so at once, and a thread
looks after a pause whether it is back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from .redis_line import Line
from .stored import Stored, keeps, nothing, unpack

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0
"""Seconds before the next look; each fruitless one doubles the pause."""
START_SECONDS = 2.0
"""A starting server waits so long for Redis, and then goes on without it."""


class Logger(Protocol):
    """What is used of Triton's."""

    def log_warn(self, message: str) -> None: ...
    def log_info(self, message: str) -> None: ...


class Pauses:
    """How long to wait before the next look at a Redis that was lost."""

    def __init__(self) -> None:
        self._taken = 0

    def reset(self) -> None:
        """A batch was read."""
        self._taken = 0

    def take(self, *, hasty: bool = False) -> float:
        """Seconds; ``hasty``: none, where the last batch was read."""
        self._taken += 1
        if hasty and self._taken == 1:
            return 0.0
        doubled: float = FIRST_PAUSE * 2.0 ** min(self._taken - 1, 10)
        return min(doubled, LONGEST_PAUSE)


class RedisState:
    """Reads the events of users, in one round trip a batch, within a time limit."""

    there = True

    def __init__(
        self,
        connect: Callable[[], Line],
        logger: Logger | None,
        where: str,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """Connect; if that fails, go on without.

        Args:
            connect: opens a line.
            where: what messages call the state; no secret in it.
            wait: for an event, at most so many seconds; whether it came.
        """
        self._connect = connect
        self._logger = logger
        self._where = where
        self._wait = wait
        self._line: Line | None = None
        self._well = True
        self._pauses, self._pause = Pauses(), 0.0
        self._reason = "it does not answer"
        self._lost, self._over, self._looked = (threading.Event() for _ in range(3))
        self._lost.set()
        self._thread = threading.Thread(target=self._look_after, daemon=True)
        self._thread.start()
        self._looked.wait(START_SECONDS)
        if self._line is None:
            self._complain()

    def read(self, users: Sequence[bytes]) -> Stored:
        """Events of all users; all of them ``degraded`` where Redis does not answer in time."""
        if self._line is None:
            return nothing(len(users), degraded=True)
        try:
            found = unpack(self._line.values([u if keeps(u) else b"" for u in users]))
        except Exception as e:  # noqa: BLE001 - whatever it is, the request has an answer
            self._lose(e)
            return nothing(len(users), degraded=True)
        self._pauses.reset()
        if not self._well:
            self._well = True
            if self._logger:
                self._logger.log_info(f"the user state {self._where} is read again")
        return found

    def _lose(self, error: Exception) -> None:
        assert self._line is not None
        self._line.close()
        self._line = None
        self._reason = _reason(error)
        # A line that was closed is opened again at once: Redis was restarted, or the line lay idle
        # for too long. One that is slow would only be slow again.
        self._pause = self._pauses.take(hasty=not isinstance(error, _timeouts()))
        self._complain()
        self._lost.set()

    def _complain(self) -> None:
        well, self._well = self._well, False
        if well and self._logger:
            self._logger.log_warn(
                f"the user state {self._where} cannot be read ({self._reason}); until it can, "
                "answers come from what requests carry and from popularity"
            )

    def _look_after(self) -> None:
        """Open a line whenever there is none."""
        while not self._over.is_set():
            self._lost.wait()
            if self._wait(self._over, self._pause):
                return
            try:
                line = self._open()
            except Exception as e:  # noqa: BLE001
                self._reason, self._pause = _reason(e), self._pauses.take()
            else:
                self._lost.clear()
                self._line = line
            self._looked.set()

    def _open(self) -> Line:
        line = self._connect()
        try:
            line.values([b""])  # the question of every batch, in the time that it has
        except BaseException:
            line.close()
            raise
        return line

    def close(self) -> None:
        """Hang up, and look no more."""
        self._over.set()
        self._lost.set()
        self._thread.join(timeout=2)
        if self._line is not None:
            self._line.close()
            self._line = None


def _timeouts() -> tuple[type[Exception], ...]:
    from redis.exceptions import TimeoutError as RedisTimeout

    return (TimeoutError, RedisTimeout)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
