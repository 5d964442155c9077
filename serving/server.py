"""A running tritonserver as a context manager."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Self

from ensembles.errors import ServerError
from serving import guard
from serving.binary import find_installation
from serving.options import ServerOptions, command_line
from serving.ports import listens
from serving.repository import models_to_load
from serving.server_log import explain
from serving.server_output import FollowedOutput

__all__ = ["ServerOptions", "TritonServer"]

_POLL_SECONDS = 0.05
_PORT_RACES = 3


class TritonServer:
    """Starts tritonserver on a model repository, and stops it with everything it started.

    ``with TritonServer(repository) as server: ...`` returns when every model is ready.

    Attributes:
        token: the secret that ``CONTROL_INTERFACES`` ask for.
        ports: where the server listens, once started.
        log: file that holds the server's output.
    """

    def __init__(self, repository: Path, options: ServerOptions | None = None) -> None:
        self.repository = Path(repository).resolve()
        self.options = options or ServerOptions()
        self.token = self.options.token or secrets.token_urlsafe(24)
        self.ports = self.options.ports
        self._staging = Path()
        self._shm_prefix = ""
        self._guard: subprocess.Popen[str] | None = None
        self.log = Path()
        self._log_start = 0
        self._followed: FollowedOutput | None = None
        self.pid = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def http(self) -> str:
        """``host:port`` of the HTTP front end."""
        return self._address(self.ports.http, self.options.http_address)

    @property
    def grpc(self) -> str:
        """``host:port`` of the gRPC front end."""
        return self._address(self.ports.grpc, self.options.host)

    @property
    def metrics(self) -> str:
        """``host:port`` of the Prometheus metrics."""
        return self._address(self.ports.metrics, self.options.host)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Models that are loaded by name; ``*`` is all."""
        return self.options.models or models_to_load(self.repository)

    def _address(self, port: int, host: str) -> str:
        # A server that listens everywhere is reached here.
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
        host = everywhere.get(host, host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Start, and wait until every model is ready.

        Raises:
            ServerError: the repository is no folder, a port is taken, a model does not load
                (with the server's own words), or loading takes too long.
            MissingExtra: there is no tritonserver.
        """
        if self._guard is not None:
            raise ServerError("the server was started already; stop it before starting it again")
        if not self.repository.is_dir():
            raise ServerError(
                f"expected a model repository, but {self.repository} is no folder; "
                "build one with 'millirank build'"
            )
        for left in reversed(range(_PORT_RACES)):
            try:
                self._launch()
                self._wait_until_ready()
            except ServerError as e:
                self.stop()
                # Somebody took a free port between its choice and the server's start.
                raced = self.options.ports.any_free and "already in use" in str(e)
                if not (raced and left):
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def _launch(self) -> None:
        self.ports = self.options.ports.settle(self.options.host)
        self._staging = Path(tempfile.mkdtemp(prefix="millirank-server-"))
        self._shm_prefix = f"millirank_{os.getpid()}_{secrets.token_hex(4)}_"
        self.log = self.options.log or self._staging / "server.log"
        installation = find_installation(self._staging)
        options = replace(self.options, ports=self.ports, token=self.token)
        command = command_line(self.repository, options, installation, self._shm_prefix)
        environment = installation.environment()
        if self.options.state:
            environment["MILLIRANK_STATE"] = self.options.state
        if self.options.stage_log:
            environment["MILLIRANK_STAGE_LOG"] = self.options.stage_log
        environment |= self.options.environment
        prefix = [
            *(sys.executable, "-I", guard.__file__),
            *(str(os.getpid()), str(self.options.stop_seconds + 5)),
            *(self._shm_prefix, str(self._staging)),
        ]
        with self.log.open("ab") as file:
            self._log_start = file.tell()
            # A session of its own: Ctrl-C in the terminal is for the owner, who stops the server.
            self._guard = subprocess.Popen(
                prefix + command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if self.options.told else file,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        if self.options.told:
            assert self._guard.stderr is not None
            self._followed = FollowedOutput(self._guard.stderr, self.options.told)
        assert self._guard.stdout is not None
        self.pid = int(self._guard.stdout.readline() or 0)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.options.ready_seconds
        # The metrics come some 40 ms after the rest.
        while not (self.ready() and listens(self.metrics)):
            if not self.alive():
                raise ServerError(f"tritonserver did not start:\n{self.errors()}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"tritonserver was not ready within {self.options.ready_seconds:g} s:\n"
                    f"{self.errors()}"
                )
            time.sleep(_POLL_SECONDS)

    def errors(self) -> str:
        """The server's own error lines, or its last lines where it wrote none."""
        return explain(self._followed.lines() if self._followed else self.log, self._log_start)

    def ready(self) -> bool:
        """Whether every loaded model answers."""
        connection = http.client.HTTPConnection(self.http, timeout=2)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200 and self.alive()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._guard is not None and self._guard.poll() is None

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the server's end; its exit status, or None when ``timeout`` came first."""
        if self._guard is None:
            raise ServerError("the server was not started; call start() before wait()")
        try:
            return self._guard.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Stop the server and everything it started; without effect when it does not run."""
        runner, self._guard = self._guard, None
        if runner is not None:
            runner.terminate()
            try:
                runner.wait(self.options.stop_seconds + 15)
            except subprocess.TimeoutExpired:
                runner.kill()
                runner.wait()
            if runner.returncode < 0:  # killed before it could clean up
                self._clean_up_for_guard()
            assert runner.stdout is not None
            runner.stdout.close()
        if self._followed is not None:
            self._followed.finish()
            self._followed = None
        if self._staging != Path():
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = Path()

    def _clean_up_for_guard(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # ours to reap where we are PID 1
                while True:
                    os.waitpid(-self.pid, 0)
        guard.remove_shared_memory(self._shm_prefix)
