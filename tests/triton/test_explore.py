"""A release that explores, on the real server: what is shown is logged with its chance."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ensembles.fuse import FUSED
from ensembles.profiles import Knobs
from ensembles.record import Recording
from ensembles.step_code import load_step
from serving.async_client import AsyncClient
from serving.client import Client, Recommendation, Request
from serving.event_export import export_events
from serving.server import ServerOptions, TritonServer
from tests.triton.conftest import FREE
from tests.triton.scraped import wait_until
from tests.triton.test_answers import REQUESTS, expected
from tests.triton.tiny import Tiny, make_release
from tests.unit.model_repository.test_explore import POOL, SHARE, write_plan


@pytest.fixture(scope="module")
def exploring(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    knobs = Knobs(record=Recording(impressions=1.0))
    tiny = make_release(tmp_path_factory.mktemp("exploring"), 3, knobs, fused=True)
    write_plan(tiny.repository / FUSED / "3" / "tables")
    return tiny


@pytest.fixture(scope="module")
def running(exploring: Tiny) -> Iterator[TritonServer]:
    with TritonServer(exploring.repository, ServerOptions(ports=FREE)) as server:
        yield server


def exported(state: Path, out: Path, count: int) -> list[dict[str, Any]]:
    """Rows of the log, as soon as there are so many."""
    import pyarrow.parquet as pq

    deadline, found = time.monotonic() + 20, 0
    while found < count:
        assert time.monotonic() < deadline, "what was shown is not logged"
        found += export_events(f"lmdb://{state}", out)
    rows = [pq.read_table(path).to_pylist() for path in out.glob("*.parquet")]
    return [row for some in rows for row in some]


def explored_slots(server: TritonServer) -> float:
    """What the server's counter stands at."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics") as answer:
        text = answer.read().decode()
    found = re.search(r'^millirank_explored_slots_total{release="3"} (.+)$', text, re.M)
    return float(found[1]) if found else 0.0


async def test_what_is_shown_is_logged_with_its_chance(
    running: TritonServer, exploring: Tiny, tmp_path: Path
) -> None:
    """The same request is answered the same by every process, protocol and client."""
    answers: list[Recommendation] = []
    async with AsyncClient(running.grpc) as twin:
        with Client(running.grpc) as client, Client(running.http, "http") as other:
            for n in range(40):
                asked, name = Request("user-1", k=5), f"request-{n}"
                answers.append(client.recommend(asked, request_id=name))
                over_http = other.recommend(asked, request_id=name)
                again = await twin.recommend(asked, request_id=name)
                assert over_http.items == again.items == answers[-1].items
                assert again.request_id == name
            alone = client.recommend(Request("user-1", k=5), request_id="")
    rows = exported(exploring.state, tmp_path / "out", 200)
    assert len(rows) == 200  # each slot once, though each request was sent three times
    assert {a.request_id for a in answers} == {row["request_id"] for row in rows}
    ids = {exploring.item_ids[n] for n in POOL}
    given_away = [row for row in rows if row["explored"]]
    assert 20 < len(given_away) < 80
    assert {row["item_id"] for row in given_away} <= ids
    first = {(row["explored"], row["propensity"]) for row in rows if row["position"] == 1}
    assert (False, 1 - SHARE) in first
    ((_, chance),) = first - {(False, 1 - SHARE)}  # the same for every item that is explored
    assert SHARE / len(POOL) <= chance <= SHARE
    assert all(0 < row["propensity"] <= 1 for row in rows)
    wait_until(lambda: explored_slots(running) == 3 * len(given_away))
    assert alone.request_id == ""


def test_who_does_not_explore_is_answered_as_ever(running: TritonServer, exploring: Tiny) -> None:
    folder = exploring.repository / "features" / "3"
    tables = load_step(folder).Tables.load(folder / "tables")
    with Client(running.grpc) as client:
        for request in REQUESTS.values():
            items = list(client.recommend(request, request_id="").items)
            assert items == expected(exploring, tables, request)[0]
            if request.candidates:
                assert list(client.recommend(request).items) == items
