"""A TLS terminator before a server that speaks none: it can show another certificate at any moment."""

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

from qmig.migration import Endpoint


class TlsTerminator:
    """Takes TLS on a port of its own and passes what is in it to `behind`. `url` is where it listens."""

    def __init__(self, behind: Endpoint, files: tuple[Path, Path]) -> None:
        """`files` hold the certificate and its key."""
        self._behind = behind
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._context = _context(files)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def show(self, files: tuple[Path, Path]) -> None:
        """Show this certificate from now on; every connection is cut."""
        with self._lock:
            self._context = _context(files)
            cut, self._open = self._open, set()
        for one in cut:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "TlsTerminator":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        # Closed, it raises.
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            with self._lock:
                context = self._context
            secure = context.wrap_socket(client, server_side=True)
            behind = socket.create_connection((self._behind.host, self._behind.port))
            with self._lock:
                if context is not self._context:
                    secure.close()
                    return
                self._open |= {secure, behind}
            threading.Thread(target=_pass, args=(secure, behind), daemon=True).start()
            _pass(behind, secure)


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _context(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    context.set_alpn_protocols(["h2"])
    return context
