"""What travels sealed: only a process with the fleet's secret can make it, and only such a one can read it."""

import hashlib
import os

from cryptography.fernet import Fernet, InvalidToken

from qmig.errors import TerminalError, UsageError

SECRET_VARIABLE = "QMIG_SECRET_KEY"


def new_secret() -> str:
    """A fresh secret for a fleet."""
    return Fernet.generate_key().decode()


def has_secret() -> bool:
    return bool(os.environ.get(SECRET_VARIABLE))


def secret_name() -> str:
    """A name for this process' secret that anybody may see: its key cannot be computed from it."""
    _fernet()
    return name_of(os.environ[SECRET_VARIABLE])


def name_of(secret: str) -> str:
    """The name of any secret."""
    return hashlib.sha256(b"qmig/" + secret.encode()).hexdigest()[:8]


def seal(text: str) -> str:
    """`text` as a token; UsageError without a usable secret."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(token: str) -> str:
    """The text in `token`; TerminalError where this process' secret did not make it."""
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
