"""The package's client of Redis, for writers, who have time."""

from __future__ import annotations

from typing import Any

from .redis_line import options_of

Failures = tuple[type[Exception], ...]


def client_of(url: str, seconds: float) -> tuple[Any, Failures]:
    """A client that connects when first used, and what it raises where Redis does not answer.

    Args:
        seconds: for one command. One that failed is sent once more, so all that is done with it
            may be done twice.

    Raises:
        ValueError: the URL is wrong.
    """
    options = options_of(url)
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client: Any = redis.Redis(
        **{k: v for k, v in options.items() if k != "connection_class"},
        ssl=url.startswith("rediss:"),
        socket_timeout=seconds,
        retry=Retry(NoBackoff(), 1),
        protocol=2,
    )
    return client, (redis.RedisError, OSError)
