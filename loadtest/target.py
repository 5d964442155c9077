"""The server that a load goes to: one of our own, or one that runs already."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ensembles.errors import LoadTestError
from ensembles.recommend import RECOMMEND
from serving.ports import Ports
from serving.repository import current_release


@dataclass(frozen=True)
class Target:
    """Where a server listens.

    Attributes:
        pid: of its process, to watch its memory; 0 where it is not ours.
        token: for its control interfaces; ``""`` where it is not ours.
    """

    host: str
    ports: Ports
    pid: int = 0
    token: str = ""

    @classmethod
    def parse(cls, host: str, ports: str) -> Self:
        """A host name or address, and ``HTTP,GRPC,METRICS``.

        Raises:
            LoadTestError: they are something else.
        """
        numbers = ports.split(",")
        if not host or ":" in host or len(numbers) != 3 or not all(n.isdecimal() for n in numbers):
            raise LoadTestError(
                "expected a host as in --server server.example and the ports of HTTP, gRPC and "
                f"metrics as in --ports 8000,8001,8002; got {host!r} and {ports!r}"
            )
        return cls(host, Ports(*map(int, numbers)))

    def check_serves(self, repository: Path) -> None:
        """Compare the release that is served with that of ``repository``, which users come from.

        Raises:
            LoadTestError: nobody answers, or it is another release.
        """
        release = current_release(repository)
        url = f"http://{self.host}:{self.ports.http}/v2/models/{RECOMMEND.name}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                served = json.loads(answer.read())["versions"]
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise LoadTestError(f"expected a server of ours at {url}, got: {e!r}") from e
        if str(release) not in served:
            raise LoadTestError(
                f"{self.host} serves release {', '.join(served)}, but users and held-out items "
                f"would come from release {release} of {repository}; name the repository served"
            )
