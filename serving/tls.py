"""TLS for gRPC: what a server shows and asks for, and what a client trusts and shows.

Triton's HTTP front end has no TLS; ``docker/tls/make_certificates.sh`` makes the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensembles.errors import SettingsError


@dataclass(frozen=True)
class ServerTls:
    """Files in PEM. Triton reads them once, when it starts.

    Attributes:
        cert: the server's certificate, followed by intermediate ones if any.
        key: its private key.
        client_ca: certificates that clients must be signed by; None asks for none.

    Raises:
        SettingsError: a file cannot be read, or is no PEM.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        for file in filter(None, (self.cert, self.key, self.client_ca)):
            read_pem(file)

    @property
    def flags(self) -> tuple[str, ...]:
        """What tritonserver is started with."""
        use = "--grpc-use-ssl-mutual=1" if self.client_ca else "--grpc-use-ssl=1"
        files = [use, f"--grpc-server-cert={self.cert}", f"--grpc-server-key={self.key}"]
        return (*files, f"--grpc-root-cert={self.client_ca}") if self.client_ca else tuple(files)


@dataclass(frozen=True)
class TLS:
    """What a client of gRPC trusts and shows; files in PEM.

    Attributes:
        ca: certificates that the server must be signed by; None: those that gRPC brings along.
        cert: the client's own certificate, for servers that ask for one; with ``key``.

    Raises:
        SettingsError: a file cannot be read or is no PEM, or there is one of cert and key only.
    """

    ca: Path | str | None = None
    cert: Path | str | None = None
    key: Path | str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise SettingsError("a client shows a certificate together with its key; give both")
        self._contents()

    def _contents(self) -> list[bytes | None]:
        return [read_pem(Path(f)) if f else None for f in (self.ca, self.key, self.cert)]

    def credentials(self, grpc: Any) -> Any:
        """For a channel of the module ``grpc``."""
        return grpc.ssl_channel_credentials(*self._contents())


def tls_of(ca: Path | None, cert: Path | None, key: Path | None) -> TLS | None:
    """Of three options of a command line; None where none is given."""
    return TLS(ca, cert, key) if ca or cert or key else None


def server_tls_of(cert: Path | None, key: Path | None, client_ca: Path | None) -> ServerTls | None:
    """Of three options of a command line; None where none is given.

    Raises:
        SettingsError: they are incomplete, or a file is no good.
    """
    if cert and key:
        return ServerTls(cert.resolve(), key.resolve(), client_ca.resolve() if client_ca else None)
    if cert or key or client_ca:
        raise SettingsError("TLS needs --tls-cert and --tls-key; --tls-client-ca comes on top")
    return None


def read_pem(file: Path) -> bytes:
    """The content of a PEM file.

    Raises:
        SettingsError: it cannot be read, or is something else.
    """
    try:
        content = file.read_bytes()
    except OSError as e:
        raise SettingsError(f"cannot read {file} for TLS: {e.strerror}") from e
    if b"-----BEGIN " not in content:
        raise SettingsError(f"expected a PEM file (-----BEGIN ...), got something else: {file}")
    return content
