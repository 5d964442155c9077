"""The same users for Locust's own command line and web page.

MILLIRANK_REPOSITORY=build/movielens/repository \
    locust -f loadtest/locustfile.py GrpcUser --host grpc://127.0.0.1:8001

``BinaryHttpUser`` wants ``--host http://127.0.0.1:8000``. Name one of the two classes.
MILLIRANK_ENSEMBLE=recommend_visual sends pictures, too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from locust import events

from ensembles.errors import LoadTestError
from ensembles.recommend import RECOMMEND
from loadtest.users import BinaryHttpUser, GrpcUser

__all__ = ["BinaryHttpUser", "GrpcUser"]


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Any, **_: Any) -> None:
    """Draw users of the release, and connect the chosen class to the host."""
    repository = os.environ.get("MILLIRANK_REPOSITORY")
    address = urlsplit(environment.host or "")
    if not repository or len(environment.user_classes) != 1 or not address.port:
        raise LoadTestError(
            "set MILLIRANK_REPOSITORY, name GrpcUser or BinaryHttpUser, and give --host with a port"
        )
    (user,) = environment.user_classes
    ensemble = os.environ.get("MILLIRANK_ENSEMBLE", RECOMMEND.name)
    user.ready(address.hostname, address.port, Path(repository), ensemble, seed=42)
