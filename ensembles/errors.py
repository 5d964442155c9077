"""The one exception tree. Every message says what was expected, what came, and what to do.

MillirankError
├── ContractError          a chain, tensor or config that does not fit together
├── SettingsError          a TOML file or an option with a wrong value
├── DataError              source data that cannot be read, or holds nothing usable
├── BuildError             a build stage that cannot go on
│   └── VerificationError  a result outside its declared tolerance
├── ReleaseError           a repository or release that is missing, altered or incomplete
├── ServerError            a server that does not start, or died
├── RequestError           a request that got no answer
│   ├── InvalidRequest     the request itself is at fault; sending it again cannot help
│   ├── DeadlineExceeded   no answer within the caller's deadline
│   ├── RateLimited        more events of one user than the server takes; send them later
│   └── ServerUnavailable  nobody answered, or the server is overloaded
├── LoadTestError          a load test that could not be carried out
└── MissingExtra           an optional part that is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MillirankError(Exception):
    """Base of everything that millirank raises on purpose."""


class ContractError(MillirankError):
    """A chain, tensor or configuration that does not fit together."""


class SettingsError(MillirankError):
    """A TOML file or an option holds a wrong value."""


class DataError(MillirankError):
    """Source data cannot be read, or holds nothing usable."""


class BuildError(MillirankError):
    """A build stage cannot go on."""


class VerificationError(BuildError):
    """A result lies outside its declared tolerance."""


class ReleaseError(MillirankError):
    """A repository or a release is missing, altered or incomplete."""


class ServerError(MillirankError):
    """The server does not start, or died."""


class RequestError(MillirankError):
    """A request got no answer."""


class InvalidRequest(RequestError):
    """The request itself is at fault; sending it again cannot help."""


class DeadlineExceeded(RequestError):
    """No answer came within the caller's deadline."""


class RateLimited(RequestError):
    """More events of one user than the server takes in a minute; none of the request is stored."""


class ServerUnavailable(RequestError):
    """Nobody answered, or the server is overloaded."""


class LoadTestError(MillirankError):
    """A load test could not be carried out."""


class MissingExtra(MillirankError):
    """An optional part is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; it belongs to the extra '{extra}': "
            f"pip install -c constraints.txt -e '.[{extra}]'"
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the nearest known name, or ``""`` when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
