"""API keys travel sealed: what a task carries can be opened only with the fleet's secret."""

import json
import os
from dataclasses import asdict, dataclass

from cryptography.fernet import Fernet, InvalidToken

from qmig.errors import TerminalError, UsageError

SECRET_VARIABLE = "QMIG_SECRET_KEY"


@dataclass(frozen=True)
class Credentials:
    """What opens both ends; its representation shows nothing."""

    source_api_key: str | None = None
    target_api_key: str | None = None
    source_username: str | None = None
    source_password: str | None = None

    def __repr__(self) -> str:
        return "Credentials(***)"

    def __bool__(self) -> bool:
        return any(asdict(self).values())


def new_secret() -> str:
    """A fresh secret for a fleet."""
    return Fernet.generate_key().decode()


def seal(credentials: Credentials) -> str | None:
    """The credentials as a token, or None where there are none; UsageError without a usable secret."""
    if not credentials:
        return None
    return _fernet().encrypt(json.dumps(asdict(credentials)).encode()).decode()


def unseal(token: str | None) -> Credentials:
    """The credentials in `token`; TerminalError where this worker's secret does not open it."""
    if token is None:
        return Credentials()
    try:
        return Credentials(**json.loads(_fernet().decrypt(token.encode())))
    except InvalidToken:
        raise TerminalError(
            f"this worker's ${SECRET_VARIABLE} does not open the migration's credentials; "
            "give every worker and the coordinator the same secret"
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
