from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.shared_memory import SharedMemory

import pytest

from ensembles.errors import DeadlineExceeded, RequestError, ServerUnavailable, SettingsError
from serving.messages import BARE, Request, Sent, WireTensor, encode
from serving.shared_memory import SharedPictures

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
TENSORS = encode([Request("u", image=PICTURE)])


class Server:
    """Reads what a request points to; fails as told."""

    def __init__(self) -> None:
        self.regions: list[str] = []
        self.read: list[bytes] = []
        self.asked: list[str] = []
        self.fails: RequestError | None = None
        self.closed = False

    def infer(
        self, model: str, tensors: Sequence[WireTensor], timeout: float, sent: Sent = BARE
    ) -> tuple[dict[str, bytes], str]:
        image = tensors[-1]
        self.asked.append(image.region)
        if image.region:
            memory = SharedMemory(image.region)
            assert memory.buf is not None
            self.read.append(bytes(memory.buf[: len(image.content)]))
            memory.close()
        if self.fails:
            raise self.fails
        return {}, "3"

    def register(self, name: str, size: int, token: str) -> None:
        assert token == "secret"
        if self.fails:
            raise self.fails
        self.regions.append(name)

    def unregister(self, name: str, token: str) -> None:
        if self.fails:
            raise self.fails
        self.regions.remove(name)

    def close(self) -> None:
        self.closed = True


def test_the_server_reads_the_picture_and_one_region_is_used_again() -> None:
    server = Server()
    transport = SharedPictures(server, "secret")
    for _ in range(3):
        assert transport.infer("recommend_visual", TENSORS, 1.0) == ({}, "3")
    assert server.read == [PICTURE] * 3
    assert len(set(server.asked)) == len(server.regions) == 1
    transport.close()
    assert server.regions == []
    assert server.closed


def test_without_a_picture_nothing_is_shared() -> None:
    server = Server()
    transport = SharedPictures(server, "secret")
    transport.infer("recommend", encode([Request("u")]), 1.0)
    assert server.asked == [""]
    transport.close()


def test_a_region_is_not_used_again_after_a_missed_deadline() -> None:
    server = Server()
    transport = SharedPictures(server, "secret")
    transport.infer("recommend_visual", TENSORS, 1.0)
    server.fails = DeadlineExceeded("late")
    with pytest.raises(DeadlineExceeded):
        transport.infer("recommend_visual", TENSORS, 1.0)
    server.fails = None
    transport.infer("recommend_visual", TENSORS, 1.0)
    assert server.asked[0] == server.asked[1] != server.asked[2]
    transport.close()
    assert server.regions == []


@pytest.mark.parametrize(
    ("said", "error", "sentence"),
    [
        ("This API is restricted, expecting header", SettingsError, "another control token"),
        ("Unable to open shared memory region", SettingsError, "another machine"),
        ("connection refused", ServerUnavailable, "refused"),
    ],
)
def test_a_region_that_cannot_be_registered(
    said: str, error: type[Exception], sentence: str
) -> None:
    server = Server()
    server.fails = ServerUnavailable(said)
    transport = SharedPictures(server, "secret")
    with pytest.raises(error, match=sentence):
        transport.infer("recommend_visual", TENSORS, 1.0)
    assert server.asked == []
    transport.close()


def test_a_server_that_is_gone_leaves_nothing_behind() -> None:
    server = Server()
    transport = SharedPictures(server, "secret")
    transport.infer("recommend_visual", TENSORS, 1.0)
    (name,) = server.regions
    server.fails = ServerUnavailable("gone")
    transport.close()
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


def test_a_token_is_needed() -> None:
    with pytest.raises(SettingsError, match="--token-file"):
        SharedPictures(Server(), "")
