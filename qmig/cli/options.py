"""Options that several commands share, with the dotted spellings of qdrant/migration as further names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from qmig.errors import UsageError
from qmig.migration import DEFAULT_LEDGER
from qmig.sources.kind import SourceKind

Function = TypeVar("Function", bound=Callable[..., Any])

#: Characters in a file of trusted certificates: about twenty certificates.
MAX_CA_CERT_CHARACTERS = 32_768


def apply(command: Callable[..., None], *decorators: Callable[[Any], Any]) -> Callable[..., None]:
    """Decorate a command with options, in the order of the help."""
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


class Option(click.Option):
    """An option whose dotted names work, but are left out of the help."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        every = self.opts
        self.opts = [name for name in every if "." not in name]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = every


def option(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """Make an `Option`, with the arguments of `click.option`."""
    return click.option(*names, cls=Option, **settings)


def switch(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """Make a flag that also takes `=true` and `=false`, as those of qdrant/migration do."""
    return option(*names, is_flag=False, flag_value="true", default=False, type=bool, metavar="", **settings)


def api_key_option(role: str, *names: str, help: str) -> Callable[[Function], Function]:
    """Make the option for the API key of source or target, with further names."""
    return option(
        f"--{role}-api-key",
        *names,
        f"{role}_api_key",
        envvar=f"{role.upper()}_API_KEY",
        show_envvar=True,
        metavar="KEY",
        help=help,
    )


def _read_certificates(_: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Read the certificates of a PEM file as text, without anything else in it, such as a private key.

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
    if len(text) > MAX_CA_CERT_CHARACTERS:
        raise UsageError(
            f"{name} {path}: {len(text):,} characters, and it travels with every task; name a file with the "
            f"certificate of the server's authority alone, {MAX_CA_CERT_CHARACTERS:,} characters at most"
        )
    return text


def ca_cert_option(role: str) -> Callable[[Function], Function]:
    """Make the option for the certificates to trust at source or target; its value is their text."""
    return option(
        f"--{role}-ca-cert",
        f"{role}_ca_cert",
        metavar="FILE",
        callback=_read_certificates,
        help=f"PEM file of certificates to trust at the {role}, instead of this machine's. Workers get them with "
        "their tasks.",
    )


def user_options(*, dotted: str | None = None) -> list[Callable[[Function], Function]]:
    """Make the options for a user of the source, in the order of the help."""
    password = _names("password", dotted)
    return [
        option(*_names("username", dotted), metavar="NAME", help="User of the source."),
        option(
            *password, envvar="SOURCE_PASSWORD", show_envvar=True, metavar="PASSWORD", help="Password of this user."
        ),
    ]


def _names(name: str, dotted: str | None) -> list[str]:
    """The spellings of an option of the source, and the name of its value."""
    return [f"--source-{name}", *([f"--{dotted}.{name}"] if dotted else []), f"source_{name.replace('-', '_')}"]


def source_options(kind: SourceKind) -> list[Callable[[Function], Function]]:
    """Make the options for the connection to a source of this kind, in the order of the help."""
    form, dotted = kind.url, kind.dotted
    url_help = f"{form.name} of the source, {' or '.join(form.examples)}."
    found = [
        option(*_names("url", dotted), required=True, metavar="URL", help=url_help),
        option(*_names("collection", dotted), required=True, metavar="NAME", help="Collection to read."),
    ]
    if kind.api_key_help is not None:
        found.append(api_key_option("source", *_names("api-key", dotted)[1:-1], help=kind.api_key_help))
    if kind.has_users:
        found += user_options(dotted=dotted)
    if any(form.schemes.values()):
        found.append(ca_cert_option("source"))
    return found


def _target_options(required: bool) -> Callable[[Function], Function]:
    decorators = (
        option(
            "--migration-offsets-collection-name",
            "--migration.offsets-collection",
            "ledger",
            default=DEFAULT_LEDGER,
            show_default=True,
            metavar="NAME",
            help="The ledger: the collection in the target that keeps plans and offsets.",
        ),
        api_key_option("target", "--target.api-key", "--qdrant.api-key", help="API key of the target."),
        ca_cert_option("target"),
        option(
            "--target-url",
            "--target.url",
            "--qdrant.url",
            "target_url",
            envvar="QMIG_TARGET_URL",
            show_envvar=True,
            required=required,
            metavar="URL",
            help="gRPC URL of the target, http://host:6334 or https://…",
        ),
    )

    def decorate(command: Function) -> Function:
        for decorator in decorators:
            command = decorator(command)
        return command

    return decorate


# Where the ledger is.
target_options = _target_options(required=True)
optional_target_options = _target_options(required=False)


def _broker_option(required: bool) -> Callable[[Function], Function]:
    return option(
        "--broker-url",
        "broker_url",
        envvar="QMIG_BROKER_URL",
        show_envvar=True,
        required=required,
        metavar="URL",
        help="URL of the broker: redis://[user:password@]host:6379/0, rediss://…, redis+socket:///path or "
        "sentinel://host:26379/0?master_name=NAME.",
    )


broker_option = _broker_option(required=False)
required_broker_option = _broker_option(required=True)


quiet_option = option("--quiet", "quiet", is_flag=True, help="Show only warnings, and the summary at the end.")
workers_option = option(
    "--workers",
    "--migration.num-workers",
    "workers",
    type=click.IntRange(1),
    metavar="N",
    help="Workers on this machine if no broker is given. One per core by default.",
)
