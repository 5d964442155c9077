"""How long an event takes to be durable, beside the disk, and how soon an answer knows of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from loadtest.traffic import holdout_users
from serving.async_client import AsyncClient
from serving.client import Client, Event, Request
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.benchmarks.after_an_event import change, copy_of_state, show

REPOSITORY = os.environ.get("MILLIRANK_BENCH_RECORD", "")
RATE, SECONDS, WARM_UP = 200, 30.0, 3.0
SYNCS, TURNS = 1000, 500

pytestmark = pytest.mark.skipif(not REPOSITORY, reason="make bench-record")


@pytest.fixture(scope="module")
def folder() -> Path:
    return copy_of_state(Path(REPOSITORY), "bench-record")


def test_the_disk_alone(folder: Path) -> None:
    """LMDB syncs twice a transaction: its pages, then the page that makes them count."""
    path, seconds = folder / "sync", list[float]()
    with path.open("wb") as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            file.flush()
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - start)
    path.unlink()
    show("one fdatasync of 4 KiB", seconds)


def test_record_and_recommend(folder: Path) -> None:
    users = holdout_users(Path(REPOSITORY))
    options = ServerOptions(ports=Ports(0, 0, 0), state=f"lmdb://{folder}")
    with TritonServer(Path(REPOSITORY), options) as server:
        asyncio.run(at_a_rate(server.grpc, users))
        changed(server.grpc)
    shutil.rmtree(folder)


async def at_a_rate(address: str, users: list[str]) -> None:
    """Events are sent when they are due, whether earlier ones are answered or not."""
    late, seconds = list[float](), list[float]()

    async def send(client: AsyncClient, turn: int, due: float) -> None:
        user = users[turn * 7919 % len(users)]
        await client.record(Event(user, str(turn % 1000 + 1), "click"))
        if turn >= RATE * WARM_UP:
            seconds.append(time.perf_counter() - due)

    async with AsyncClient(address) as client, asyncio.TaskGroup() as tasks:
        start = time.perf_counter()
        for turn in range(round(RATE * (WARM_UP + SECONDS))):
            due = start + turn / RATE
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            late.append(time.perf_counter() - due)
            tasks.create_task(send(client, turn, due))
    show(f"record at {RATE} events/s, from when each was due", seconds)
    show("of that, the sender's own delay", late)


def changed(address: str) -> None:
    """A new user takes the first item each time: the next answer must not hold it."""
    seconds, seen = list[float](), 0
    with Client(address) as client:
        for turn in range(TURNS):
            user = f"bench-{turn}"
            shown = client.recommend(Request(user))
            event = Event.answering(shown, user, shown.items[0], "click")
            found = change(client, shown, [event])
            seconds.append(found.seconds)
            seen += found.saw
    print(f"\n{seen} of {TURNS} requests saw the event that was acknowledged before")
    show("from the acknowledgement to the changed answer", seconds)
    assert seen == TURNS
