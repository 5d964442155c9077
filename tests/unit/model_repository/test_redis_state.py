"""Redis that is down, slow, wrong or back: requests are answered, and never wait for it twice."""

from __future__ import annotations

import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.redis_server import RedisServer, free_port


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
def said() -> list[str]:
    return []


def logger(said: list[str]) -> Any:
    return SimpleNamespace(
        log_warn=lambda line: said.append(f"warn: {line}"),
        log_info=lambda line: said.append(f"info: {line}"),
    )


def put(features: ModuleType, server: RedisServer, user: str, events: int) -> None:
    when = np.arange(events)
    with features.redis_users.RedisUsers(server.url) as users:
        users.merge([features.stored.pack((user, when.astype(np.uint64), when))])


def wait_for(state: Any, users: list[bytes]) -> Any:
    """Read until it works."""
    deadline = time.monotonic() + 20
    while (found := state.read(users)).degraded.any():
        assert time.monotonic() < deadline, "it did not come back in time"
        time.sleep(0.02)
    return found


def test_stopped_and_back(features: ModuleType, redis: RedisServer, said: list[str]) -> None:
    put(features, redis, "u", 3)
    state = features.open_state(redis.url, Path("/"), "1000", logger(said))
    assert state.there
    assert state.read([b"u", b"x"]).counts.tolist() == [3, 0]
    redis.kill()
    for _ in range(50):
        lost = state.read([b"u", b"x"])
        assert lost.degraded.tolist() == [True, True]
        assert lost.counts.tolist() == [0, 0]
    redis.start()
    put(features, redis, "u", 4)
    assert wait_for(state, [b"u"]).counts.tolist() == [4]
    state.read([b"u"])
    state.close()
    warned, informed = said  # a line for each change, none for a request
    assert warned.startswith("warn: the user state redis://127.0.0.1:")
    assert "is read again" in informed


def test_a_restart_between_batches_costs_one(
    features: ModuleType, redis: RedisServer, said: list[str]
) -> None:
    state = features.open_state(redis.url, Path("/"), "1000", logger(said))
    state._wait = lambda event, seconds: pytest.fail("no pause") if seconds else event.is_set()
    redis.kill()
    redis.start()
    assert state.read([b"u"]).degraded.all()
    assert not wait_for(state, [b"u"]).degraded.any()
    state.close()


def test_down_from_the_start(features: ModuleType, redis: RedisServer, said: list[str]) -> None:
    redis.kill()
    state = features.open_state(redis.url, Path("/"), "1000", logger(said))
    assert state.read([b"u"]).degraded.all()
    assert "Connection refused" in said[0]
    redis.start()
    wait_for(state, [b"u"])
    assert len(said) == 2
    state.close()


def test_a_frozen_redis_is_given_up_on_in_time(
    features: ModuleType, redis: RedisServer, said: list[str]
) -> None:
    put(features, redis, "u", 3)
    state = features.open_state(redis.url, Path("/"), "300", logger(said))
    pauses: queue.Queue[float] = queue.Queue()
    held = threading.Event()

    def wait(over: threading.Event, seconds: float) -> bool:
        pauses.put(seconds)
        held.wait(20)
        return over.is_set()

    state._wait = wait
    assert not wait_for(state, [b"u"]).degraded.any()
    redis.freeze()
    assert state.read([b"u"]).degraded.all()
    line = said[-1]
    assert "Timeout" in line
    state._open = lambda: pytest.fail("no request waits while the look is due")
    for _ in range(1000):
        assert state.read([b"u"]).degraded.all()
    assert said[-1] is line
    assert pauses.get(timeout=20) == features.redis_state.FIRST_PAUSE
    redis.thaw()
    del state._open
    held.set()
    assert wait_for(state, [b"u"]).counts.tolist() == [3]
    state.close()


class Trickle:
    """Answers with one byte every few milliseconds, so that no single wait is long."""

    def __init__(self) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.stopped = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        line, _ = self._door.accept()
        with self._door, line:
            line.recv(4096)
            line.sendall(b"*1\r\n$-1\r\n")
            line.recv(4096)
            line.sendall(b"*1\r\n$1000000\r\n")
            while not self.stopped.wait(0.005):
                try:
                    line.sendall(b"x")
                except OSError:
                    return


def test_the_limit_is_that_of_the_whole_answer(features: ModuleType) -> None:
    trickle = Trickle()
    line = features.redis_line.Line({"host": "127.0.0.1", "port": trickle.port}, 0.1)
    assert line.values([b"u"]) == [b""]
    with pytest.raises(Exception, match="Timeout"):
        line.values([b"u"])
    assert not trickle.stopped.is_set()  # it would have gone on for more than an hour
    trickle.stopped.set()
    line.close()


def test_an_error_of_redis(features: ModuleType, redis: RedisServer, said: list[str]) -> None:
    state = features.open_state(redis.url, Path("/"), "1000", logger(said))
    redis.command("ACL", "SETUSER", "default", "-mget")
    assert state.read([b"u"]).degraded.all()
    assert "no permissions" in said[-1]
    redis.command("ACL", "SETUSER", "default", "+mget")
    wait_for(state, [b"u"])
    state.close()


def test_another_type_under_a_users_key(features: ModuleType, redis: RedisServer) -> None:
    put(features, redis, "u", 2)
    redis.command("HSET", "millirank:user:hash", "a", "b")
    state = features.open_state(redis.url, Path("/"), "1000", None)
    assert state.read([b"hash", b"u"]).counts.tolist() == [0, 2]
    state.close()


def test_pauses_grow_and_start_anew(features: ModuleType) -> None:
    pauses = features.redis_state.Pauses()
    assert [pauses.take() for _ in range(5)] == [0.25, 0.5, 1.0, 2.0, 2.0]
    assert [pauses.take() for _ in range(5000)][-1] == 2.0
    pauses.reset()
    assert [pauses.take(hasty=True) for _ in range(3)] == [0.0, 0.5, 1.0]


def test_closing_while_redis_is_away(features: ModuleType) -> None:
    state = features.open_state(f"redis://127.0.0.1:{free_port()}/0", Path("/"), "20", None)
    state.close()
    assert not state._thread.is_alive()


def test_writers_at_the_same_time_lose_nothing(features: ModuleType, redis: RedisServer) -> None:
    def write(writer: int) -> None:
        for n in range(20):
            event = np.array([100 * writer + n])
            user = features.stored.pack(("u", event.astype(np.uint64), event))
            with features.redis_users.RedisUsers(redis.url) as users:
                users.merge([user])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    state = features.open_state(redis.url, Path("/"), "1000", None)
    assert state.read([b"u"]).counts.tolist() == [80]
    state.close()


def test_redis_that_goes_away_while_it_is_written(features: ModuleType, redis: RedisServer) -> None:
    put(features, redis, "u", 1)
    with features.redis_users.RedisUsers(redis.url) as users:
        user = next(users.all())
        redis.kill()
        with pytest.raises(ValueError, match="cannot be written"):
            users.merge([user])
        with pytest.raises(ValueError, match="cannot be read"):
            list(users.all())


def test_password_from_a_file(
    features: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    secret = tmp_path / "password"
    monkeypatch.setenv("MILLIRANK_STATE_PASSWORD_FILE", str(secret))
    with pytest.raises(ValueError, match="cannot be read"):
        features.open_state("redis://127.0.0.1/0", Path("/"), "20", None)
    secret.write_text("\n")
    with pytest.raises(ValueError, match="empty; write the password"):
        features.open_state("redis://127.0.0.1/0", Path("/"), "20", None)
    secret.write_text("s3cret\n")
    server = RedisServer(tmp_path)
    server._flags = ("--requirepass", "s3cret")
    with server:
        state = features.open_state(server.url, Path("/"), "1000", logger(said))
        assert not state.read([b"u"]).degraded.any()
        state.close()
        put(features, server, "u", 1)
        secret.write_text("wrong")
        state = features.open_state(
            server.url.replace("//", "//:other@"), Path("/"), "1000", logger(said)
        )
        assert state.read([b"u"]).degraded.all()
        state.close()
    assert "password" in said[-1]
    assert "wrong" not in said[-1]
    assert "other" not in said[-1]


def test_over_tls(features: ModuleType, tmp_path: Path, said: list[str]) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed (Debian: apt-get install openssl)")
    key, certificate, port = tmp_path / "key.pem", tmp_path / "cert.pem", free_port()
    words = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=redis"
    command = [openssl, *words.split(), "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    flags = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-key-file", str(key)]
    flags += ["--tls-cert-file", str(certificate), "--tls-ca-cert-file", str(certificate)]
    with RedisServer(tmp_path, *flags) as server:
        put(features, server, "u", 3)
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        state = features.open_state(url, Path("/"), "1000", None)
        assert state.read([b"u"]).counts.tolist() == [3]
        state.close()
        with features.redis_users.RedisUsers(url) as users:
            assert users.count() == 1
        stranger = features.open_state(url.partition("?")[0], Path("/"), "1000", logger(said))
        assert stranger.read([b"u"]).degraded.all()
        assert "certificate" in said[0].lower()
        stranger.close()


@pytest.mark.parametrize(
    "url",
    ["redis://", "redis:///1", "redis://h:x/0", "redis://h:6379/a", "redis://h/0?socket_timeout=9"],
)
def test_urls_that_are_wrong(features: ModuleType, url: str) -> None:
    with pytest.raises(ValueError, match="such as 'redis://host:6379/0'"):
        features.open_state(url, Path("/"), "20", None)


def test_messages_never_show_a_password(features: ModuleType) -> None:
    with pytest.raises(ValueError, match="special characters") as caught:
        features.open_state("redis://:pa/ss@h:1/x", Path("/"), "20", None)
    assert "pa" not in str(caught.value).replace("password", "")
    assert features.redis_line.shown("rediss://u:p@h:1/2?ssl_ca_certs=x") == "rediss://h:1/2"


@pytest.mark.parametrize("timeout", ["", "0", "-1", "1.5", "x"])
def test_time_limits_that_are_wrong(features: ModuleType, timeout: str) -> None:
    with pytest.raises(ValueError, match="state_timeout_ms is a whole number"):
        features.open_state("redis://h/0", Path("/"), timeout, None)


def test_without_the_package(features: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "redis.connection", None)
    with pytest.raises(ValueError, match="needs the package redis"):
        features.open_state("redis://h/0", Path("/"), "20", None)
