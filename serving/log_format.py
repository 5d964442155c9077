"""The output of ``millirank serve``, one line an event: text for people, JSON for machines.

In JSON every line has ``time`` (ISO 8601, UTC), ``level``, ``source`` and ``message``.
"""

from __future__ import annotations

import json
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import click

from ensembles.errors import MillirankError
from serving.server_log import NOISE

LogFormat = Literal["text", "json"]
Write = Callable[[str], None]
REQUEST = '{"event": "request"'
"""What a line of the request log begins with; see ``chain_step/request_log.py``."""
# "I1124 08:30:00.123456 4711 model_lifecycle.cc:641] "text"", in UTC, quoted or not.
_TRITON = re.compile(
    r"(?P<level>[IWEF])(?P<time>\d{4} \d\d:\d\d:\d\d\.\d+) \d+ (?P<file>[\w.]+:\d+)\] (?P<text>.*)",
    re.DOTALL,
)
_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "error"}
_DECORATION = re.compile(r"^[+|]|^\s*$|^I\d{4} [^\]]+\] *$")
"""Tables of settings, and the empty lines around them."""


def event(source: str, level: str, message: str, **more: Any) -> dict[str, Any]:
    """An event of this moment."""
    return {"time": _text(_now()), "level": level, "source": source, "message": message, **more}


def parsed(line: str) -> dict[str, Any] | None:
    """An event of a line that tritonserver, its steps or its guard wrote; None of decoration.

    What every server without a GPU complains of is no warning here.
    """
    if line.startswith(REQUEST):
        try:
            return dict(json.loads(line))
        except ValueError:  # cut off by a process that ended
            return event("server", "warning", line)
    if _DECORATION.search(line):
        return None
    found = _TRITON.match(line)
    if found is None:
        if line.startswith("guard: "):
            return event("guard", "error", line.removeprefix("guard: "))
        return event("server", "info" if NOISE.search(line) else "warning", line)
    level = "info" if NOISE.search(line) else _LEVELS[found["level"]]
    told = event("tritonserver", level, _unquoted(found["text"]), file=found["file"])
    return told | {"time": _text(_moment(found["time"]))}


class Output:
    """Where the lines of a server in the foreground go.

    As text: what ``millirank`` says itself, requests that are logged, and from the server its
    warnings and errors. As JSON: everything.
    """

    def __init__(self, form: LogFormat, write: Write) -> None:
        self._json, self._take = form == "json", write
        self._lock = threading.Lock()  # the server's lines come in a thread of their own

    def say(self, message: str) -> None:
        """A word of ``millirank`` itself."""
        self._own("info", message)

    @contextmanager
    def with_errors(self) -> Iterator[None]:
        """In JSON an error that ends the command is a line, too.

        Raises:
            Exit: instead of such an error.
        """
        try:
            yield
        except (MillirankError, OSError, ValueError, RuntimeError, TypeError, LookupError) as e:
            if not self._json:
                raise
            ours = isinstance(e, MillirankError)
            self._own("error", str(e) if ours else traceback.format_exc())
            raise click.exceptions.Exit(1) from e

    def _own(self, level: str, message: str) -> None:
        self._write(_json(event("millirank", level, message)) if self._json else message)

    def _write(self, line: str) -> None:
        with self._lock:
            self._take(line)

    def pass_on(self, line: str) -> None:
        """A line of the server."""
        told = parsed(line)
        if told is None:
            return
        if self._json:
            self._write(_json(told))
        elif told["level"] != "info" or "event" in told:
            self._write(line)


def _json(told: Mapping[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False)


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text, strict=False)) if text.startswith('"') else text
    except ValueError:
        return text.strip('"')


def _now() -> datetime:
    return datetime.now(UTC)


def _moment(text: str) -> datetime:
    """A moment without its year, which is the one that makes it nearest to now."""
    now = _now()
    try:
        found = datetime.strptime(f"{now.year}{text}+0000", "%Y%m%d %H:%M:%S.%f%z")
    except ValueError:  # the 29th of February, read in another year
        return now
    for year in (-1, 1):
        if abs(found - now) > timedelta(days=182):
            found = found.replace(year=now.year + year)
    return found


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
