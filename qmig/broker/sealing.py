"""Authenticated encryption with the fleet's secret (Fernet)."""

import hashlib
import os

from cryptography.fernet import Fernet, InvalidToken

from qmig.errors import TerminalError, UsageError

#: The environment variable with the fleet's secret.
SECRET_VARIABLE = "QMIG_SECRET_KEY"


def new_secret() -> str:
    """Make a new secret."""
    return Fernet.generate_key().decode()


def has_secret() -> bool:
    """Whether this process has a secret."""
    return bool(os.environ.get(SECRET_VARIABLE))


def secret_name() -> str:
    """The public name of this process' secret; UsageError if the secret is unusable."""
    _fernet()
    return name_of(os.environ[SECRET_VARIABLE])


def name_of(secret: str) -> str:
    """The public name of a secret, from which the secret cannot be computed."""
    return hashlib.sha256(b"qmig/" + secret.encode()).hexdigest()[:8]


def seal(text: str) -> str:
    """Encrypt a text as a token; UsageError without a usable secret."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(token: str) -> str:
    """Decrypt a token; TerminalError if another secret made it, or none."""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken:
        raise TerminalError(
            f"a task was refused: it was not sealed with this worker's ${SECRET_VARIABLE}; give every worker and the "
            "coordinator the same secret"
        ) from None


def _fernet() -> Fernet:
    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        raise UsageError(
            f"credentials travel sealed, and ${SECRET_VARIABLE} is not set; make one with `qmig secret` "
            "and give it to the coordinator and to every worker"
        )
    try:
        return Fernet(secret.encode())
    except ValueError:
        raise UsageError(f"${SECRET_VARIABLE} is not a key made by `qmig secret`; make a new one") from None
