"""Pictures handed to a server on the same machine in shared memory instead of in the request."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from typing import Protocol

from ensembles.contracts import IMAGE, LIMITS
from ensembles.errors import InvalidRequest, RequestError, ServerUnavailable, SettingsError
from serving.messages import BARE, Sent, WireTensor


class Inner(Protocol):
    """A transport that can register regions, too."""

    def infer(
        self, model: str, tensors: Sequence[WireTensor], timeout: float, sent: Sent = BARE
    ) -> tuple[dict[str, bytes], str]:
        """Raise a RequestError when there is no answer."""

    def close(self) -> None:
        """Release connections."""

    def register(self, name: str, size: int, token: str) -> None:
        """Make a region known to the server, or raise a RequestError."""

    def unregister(self, name: str, token: str) -> None:
        """The reverse."""


class SharedPictures:
    """A transport that sends pictures of up to ``LIMITS.image_bytes`` through regions of its own.

    Each request in flight has a region to itself; threads may share one.
    """

    def __init__(self, inner: Inner, token: str) -> None:
        """``token``: the server's control token, which registering asks for."""
        if not token:
            raise SettingsError(
                "shared memory needs the server's control token; start it with "
                "`millirank serve --token-file FILE`, and pass what FILE holds as token="
            )
        self._inner, self._token = inner, token
        self._all: list[SharedMemory] = []
        self._free: list[SharedMemory] = []

    def infer(
        self, model: str, tensors: Sequence[WireTensor], timeout: float, sent: Sent = BARE
    ) -> tuple[dict[str, bytes], str]:
        """As any transport.

        Raises:
            SettingsError: the server is on another machine, or wants another token.
        """
        *others, image = tensors
        if image.spec != IMAGE or len(image.content) > LIMITS.image_bytes:
            return self._inner.infer(model, tensors, timeout, sent)
        region = self._free.pop() if self._free else self._new()
        assert region.buf is not None
        region.buf[: len(image.content)] = image.content
        lent = replace(image, region=region.name)
        try:
            answer = self._inner.infer(model, [*others, lent], timeout, sent)
        except RequestError as e:
            if "find shared memory region" in str(e):  # the server was started again
                self._free.clear()
                raise ServerUnavailable(str(e)) from e
            if isinstance(e, InvalidRequest):
                self._free.append(region)
            # After any other error the server may still read the region: it is not used again.
            raise
        self._free.append(region)
        return answer

    def _new(self) -> SharedMemory:
        name = f"millirank-{secrets.token_hex(16)}"
        region = SharedMemory(name, create=True, size=LIMITS.image_bytes)
        try:
            self._inner.register(name, region.size, self._token)
        except RequestError as e:
            region.close()
            region.unlink()
            if "restricted" in str(e):
                raise SettingsError(f"the server has another control token: {e}") from e
            if "open shared memory region" in str(e):
                raise SettingsError(
                    f"the server cannot open this machine's shared memory ({e}); "
                    "leave shared_memory out for a server on another machine"
                ) from e
            raise
        self._all.append(region)
        return region

    def close(self) -> None:
        """Unregister and remove every region."""
        for region in self._all:
            with contextlib.suppress(RequestError):  # a server that is gone knows no regions
                self._inner.unregister(region.name, self._token)
            region.close()
            region.unlink()
        self._all.clear()
        self._free.clear()
        self._inner.close()
