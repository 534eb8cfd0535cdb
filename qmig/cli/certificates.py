"""Files of certificates that a command is given: read at once, for their text is what travels."""

from pathlib import Path

import click

from qmig.errors import UsageError

# Characters of a file of trusted certificates: some twenty of them.
MAX_CA_CERT = 32_768


def read_certificates(_: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """The certificates in the PEM file at `path`, as text, and nothing else that is in it, such as a key.

    UsageError where there are none.
    """
    if path is None:
        return None
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    name = parameter.opts[0]
    try:
        found = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{name} {path}: {error.strerror}; name a PEM file of certificates") from None
    except ValueError:
        raise UsageError(f"{name} {path}: no PEM certificate in it; name a PEM file of certificates") from None
    text = "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in found)
    if len(text) > MAX_CA_CERT:
        raise UsageError(
            f"{name} {path}: {len(text):,} characters, and it travels with every task; name a file with the "
            f"certificate of the server's authority alone, {MAX_CA_CERT:,} characters at most"
        )
    return text
