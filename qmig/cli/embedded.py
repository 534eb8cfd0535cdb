"""`qmig embedded`: a small Qdrant on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.group()
def embedded() -> None:
    """Run a small Qdrant, to try qmig out and for tests."""


@embedded.command()
@click.option("--path", type=click.Path(path_type=Path), required=True, help="Directory for the data.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Serve TLS with this PEM certificate.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The certificate's PEM private key.")
@click.option(
    "--api-key", envvar="QMIG_EMBEDDED_API_KEY", show_envvar=True, help="Refuse calls without this API key."
)
def qdrant(
    path: Path, port: int, host: str, tls_cert: Path | None, tls_key: Path | None, api_key: str | None
) -> None:
    """Run a Qdrant gRPC endpoint, to try qmig out and for tests.

    It stores its collections with Qdrant's own storage engine in a directory, which only one process can use, and
    refuses calls that it does not serve. It is no substitute for a Qdrant server.

    \b
    Example:
      qmig embedded qdrant --path ./qdrant-data --port 6334
    """
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together; give both or neither")
    from qmig.errors import UsageError

    # gRPC would add lines of its own to the one that says what is wrong.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from qmig.embedded.qdrant.server import serve
    except ModuleNotFoundError as error:
        if error.name != "qdrant_edge":
            raise
        raise UsageError("qdrant-edge-py is missing; pip install 'qmig[embedded]'") from error
    serve(path, host, port, api_key, (tls_cert, tls_key) if tls_cert and tls_key else None)
