"""TLS to a server: which certificates to trust, and what a failed handshake means."""

import os
import ssl
from collections.abc import Sequence
from threading import Lock
from typing import Any

import grpc
from cryptography import x509

from qmig.errors import QmigError, TerminalError, TransientError
from qmig.migration import Endpoint

ChannelOptions = Sequence[tuple[str, Any]]

#: Seconds to fetch a server's certificate.
FETCH_TIMEOUT = 10.0
#: Parts of gRPC's errors for a failed handshake (1.70 to 1.82).
HANDSHAKE_FAILED = "handshake failed"
OTHER_NAME = "Hostname Verification Check failed"
EXPIRED = "certificate has expired"


def open_channel(endpoint: Endpoint, role: str, skip_verification: bool, options: ChannelOptions) -> Any:
    """Open a channel to `endpoint`. It connects with its first call."""
    if not endpoint.tls:
        return grpc.insecure_channel(endpoint.address, options)
    if skip_verification:
        return FollowingChannel(endpoint, role, options)
    return grpc.secure_channel(endpoint.address, grpc.ssl_channel_credentials(trusted_roots(endpoint)), options)


def trusted_roots(endpoint: Endpoint) -> bytes | None:
    """Read the certificates to trust: the endpoint's own, else those in $SSL_CERT_FILE or OpenSSL's default file.

    None means gRPC's built-in set. TerminalError where $SSL_CERT_FILE holds no certificates.
    """
    if endpoint.ca_cert is not None:
        return endpoint.ca_cert.encode()
    path = ssl.get_default_verify_paths().cafile
    named = os.environ.get("SSL_CERT_FILE")
    if named and path != named:
        raise TerminalError(f"$SSL_CERT_FILE {named}: no such file; name a PEM file of certificates or unset it")
    if path is None:
        return None
    if named:
        try:
            ssl.create_default_context(cafile=named)
        except OSError as error:
            raise TerminalError(
                f"$SSL_CERT_FILE {named}: {error}; name a PEM file of certificates or unset it"
            ) from None
    with open(path, "rb") as file:
        return file.read()


def fault(details: str) -> str | None:
    """The fault of a server's certificate by gRPC's error; None where the error is about something else."""
    if OTHER_NAME in details:
        return "it is for another name"
    if HANDSHAKE_FAILED not in details:
        return None
    reason = details.removesuffix(": OK").rpartition(": ")[2]
    return reason if "certificate" in reason else None


def explanation(endpoint: Endpoint, role: str, reason: str, skip_verification: bool) -> str:
    """Explain in one line what is wrong with a certificate, and what to do about it."""
    where = f"{role} {endpoint.url}"
    if not skip_verification:
        return (
            f"{where}: its certificate is not trusted: {reason}; give its authority's with --{role}-ca-cert or "
            "$SSL_CERT_FILE, renew it there, or give --skip-tls-verification"
        )
    if reason == EXPIRED:
        return f"{where}: its {reason}, which --skip-tls-verification does not get past; renew it there"
    return f"{where}: it shows another certificate than before, which is being fetched"


def no_tls(endpoint: Endpoint, role: str) -> str:
    """Explain that a server does not speak TLS."""
    return f"{role} {endpoint.url}: no TLS there; give the URL as http://{endpoint.address}"


class FollowingChannel:
    """A channel that trusts any certificate of the server, and follows it to a new one.

    gRPC cannot skip verification, so the server's own certificate is fetched and made the trusted root.
    """

    def __init__(self, endpoint: Endpoint, role: str, options: ChannelOptions) -> None:
        self._endpoint = endpoint
        self._role = role
        self._options = options
        self._lock = Lock()
        self._certificate = ""
        self._channel: grpc.Channel | None = None

    def unary_unary(self, *arguments: Any, **settings: Any) -> "_Method":
        """The method that `grpc.Channel` has under this name."""
        return _Method(self, arguments, settings)

    def current(self) -> grpc.Channel:
        """The channel for the next call; TransientError where no certificate comes, TerminalError without TLS."""
        with self._lock:
            if self._channel is None:
                self._open(self._fetched())
            assert self._channel is not None
            return self._channel

    def follow(self, failed: grpc.Channel) -> None:
        """Open a new channel after a failed handshake on `failed`, if the server has a new certificate."""
        with self._lock:
            if failed is not self._channel:
                return
            try:
                certificate = self._fetched()
            except QmigError:
                # The call has failed with an error of its own, and is retried.
                return
            if certificate != self._certificate:
                # The old channel stays open: calls of other threads may still be under way on it.
                self._open(certificate)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()

    def _open(self, certificate: str) -> None:
        options = list(self._options)
        if name := _certificate_name(certificate):
            options.append(("grpc.ssl_target_name_override", name))
        credentials = grpc.ssl_channel_credentials(certificate.encode())
        self._channel = grpc.secure_channel(self._endpoint.address, credentials, options)
        self._certificate = certificate

    def _fetched(self) -> str:
        address = (self._endpoint.host, self._endpoint.port)
        try:
            return ssl.get_server_certificate(address, timeout=FETCH_TIMEOUT)
        except ssl.SSLError:
            raise TerminalError(no_tls(self._endpoint, self._role)) from None
        except (OSError, ValueError) as error:
            raise TransientError(
                f"{self._role} {self._endpoint.url}: no certificate could be fetched: {error}; start the server or "
                f"check --{self._role}-url"
            ) from None


class _Method:
    """One method of the server behind a `FollowingChannel`."""

    def __init__(self, channel: FollowingChannel, arguments: tuple[Any, ...], settings: dict[str, Any]) -> None:
        self._following = channel
        self._arguments = arguments
        self._settings = settings
        self._made: tuple[grpc.Channel | None, Any] = (None, None)

    def __call__(self, request: Any, **settings: Any) -> Any:
        channel = self._following.current()
        made_on, method = self._made
        if made_on is not channel:
            method = channel.unary_unary(*self._arguments, **self._settings)
            self._made = (channel, method)
        try:
            return method(request, **settings)
        except grpc.RpcError as error:
            if fault(error.details() or ""):
                self._following.follow(channel)
            raise


def _certificate_name(pem: str) -> str | None:
    """A name from the certificate itself, for the check of names that cannot be switched off."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    # A wildcard matches names below it, but not its own text.
    dns = [name.replace("*", "any", 1) for name in names.get_values_for_type(x509.DNSName)]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return next(iter(dns + addresses), None)
