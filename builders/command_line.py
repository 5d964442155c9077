"""The command line, for the manifest of what it makes."""

from __future__ import annotations

import shlex
import sys


def command_line() -> str:
    """The command that makes a release again, as a person types it."""
    return shlex.join(["millirank", *sys.argv[1:]])
