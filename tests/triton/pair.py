"""Two servers of one tiny release on one real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ensembles.profiles import Knobs
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from serving.state_copy import copy_with_progress
from tests.redis_server import RedisServer, free_port
from tests.triton.tiny import Tiny, make_release


@dataclass(frozen=True)
class Pair:
    tiny: Tiny
    redis: RedisServer
    servers: tuple[TritonServer, TritonServer]

    @property
    def ports(self) -> tuple[Ports, Ports]:
        first, second = self.servers
        return first.options.ports, second.options.ports


@contextmanager
def pair_in(folder: Path) -> Iterator[Pair]:
    """Both serve until the end of the block; the state of the release is in Redis."""
    # Others use this machine, too: no answer is called degraded since it was slow for a moment.
    knobs = Knobs(instances=1, state_timeout_ms=1000)
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        tiny = make_release(folder / "release", 3, knobs, fused=True)
        copy_with_progress(f"lmdb://{tiny.state}", redis.url)
        options = [
            ServerOptions(
                ports=Ports(free_port(), free_port(), free_port()), state=redis.url, stop_seconds=0
            )
            for _ in range(2)
        ]
        first, second = (
            stack.enter_context(TritonServer(tiny.repository, option)) for option in options
        )
        yield Pair(tiny, redis, (first, second))
