"""Certificates for TLS endpoints: from an authority of one's own, or self-signed."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# How long a certificate is valid from now on.
DAYS = 30

Issuer = tuple[x509.Name, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True)
class Authority:
    """Signs certificates; `file` is its own one."""

    issuer: Issuer
    file: Path

    @classmethod
    def new(cls, directory: Path) -> "Authority":
        name, key = _name("qmig tests"), ec.generate_private_key(ec.SECP256R1())
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "authority.pem"
        certificate = _certificate(name, key, (name, key), [], DAYS, is_authority=True)
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls((name, key), file)

    def issue(self, directory: Path, *names: str, days: int = DAYS) -> tuple[Path, Path]:
        """Files of a certificate for these names and addresses, and of its key; `days` below 0 have expired."""
        return _write(directory, self.issuer, names, days)


def self_signed(directory: Path, *names: str, days: int = DAYS) -> tuple[Path, Path]:
    """Files of a certificate that nobody else vouches for, and of its key; `days` below 0 have expired."""
    return _write(directory, None, names, days)


def _write(directory: Path, issuer: Issuer | None, names: tuple[str, ...], days: int) -> tuple[Path, Path]:
    directory.mkdir(parents=True, exist_ok=True)
    name, key = _name(names[0]), ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(name, key, issuer or (name, key), list(names), days)
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _certificate(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: Issuer,
    names: list[str],
    days: int,
    is_authority: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=365))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(one) for one in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(issuer[1], hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
