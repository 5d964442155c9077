"""Finds, in a server's log, the lines that say why it does not work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

# "E1124 08:30:00.123456 4711 model_lifecycle.cc:641] text", quoted or not.
_ERROR = re.compile(r"^(?:[EF]\d{4} [\d:.]+ \d+ [\w.]+:\d+\]|guard:) (?P<text>.*)$")
NOISE = re.compile(
    r"CUDA driver version is insufficient|CudaDriverHelper|pinned system memory|NVML|DCGM"
    r"|^Signal \(15\) received|Exit timeout expired|^[+|]"
    # What `serving.drain` brings about on purpose, and a model that is loaded out of no folder.
    r"|failed to load 'draining'|model_config_content_name_ is empty"
)
"""What every server without a GPU says, whether it works or not, one that is stopped, and tables
of settings."""
# A Python traceback behind a message, written as one line.
_TRACE = re.compile(r"(\\n)+At:\\n.*$|(\\n)+$")
# Both repeat what another line says about the model at fault.
_ECHO = re.compile(
    r"ERROR: Failed to create instance|Invalid argument: ensemble '?\w+'? (depends|cont)"
)
_LINES = 20


def explain(log: Path | Sequence[str], start: int = 0) -> str:
    """Error lines of ``log`` without repetition, or its last lines where there are none.

    Args:
        log: a file, or lines of it.
        start: bytes at the beginning of the file that another server wrote.
    """
    try:
        lines = _read(log, start) if isinstance(log, Path) else log
    except OSError as e:
        return f"  (the server's log cannot be read: {e})"
    lines = [line for line in lines if line.strip() and not NOISE.search(line)]
    errors = [_TRACE.sub("", m["text"].strip().strip('"')) for m in map(_ERROR.match, lines) if m]
    causes = [text for text in errors if not _ECHO.match(text)]
    found = list(dict.fromkeys(causes or errors)) or lines[-_LINES:]
    return "\n".join(f"  {line}" for line in found[:_LINES]) or "  (the server wrote nothing)"


def _read(log: Path, start: int) -> list[str]:
    return log.read_bytes()[start:].decode(errors="replace").splitlines()
