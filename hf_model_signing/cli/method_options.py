"""What each signing method takes on the command line, and how its signer and verifier are made from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli.output import note, printable

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer, Verifier

Values = Mapping[str, Any]


@dataclass(frozen=True)
class MethodOption:
    """An option of a method; the method cannot do without one that is `needed`, and `said` is how to ask for it."""

    names: tuple[str, ...]
    attributes: Mapping[str, Any]
    needed: bool = False
    said: str = ""

    @property
    def name(self) -> str:
        """The key of its value."""
        return self.make().name or ""

    def make(self, *, required: bool = False) -> click.Option:
        """The option, made anew for each command: click fills it in when it is attached to one."""
        return click.Option(list(self.names), required=required, **self.attributes)


@dataclass(frozen=True)
class MethodOptions:
    """One method on the command line: its options for signing and for verifying, and what is made of their values.

    `about` says in a few words who signs. A method without `make_verifier` says `instead` why, and what to do.
    """

    about: str
    sign: tuple[MethodOption, ...]
    signer: Callable[[Values], Signer]
    verify: tuple[MethodOption, ...] = ()
    make_verifier: Callable[[Values], Verifier] | None = None
    instead: str = ""

    def verifier(self, values: Values) -> Verifier:
        """The verifier that the values of the options describe; raises `click.UsageError` when there is none."""
        if self.make_verifier is None:
            raise click.UsageError(f"nothing is verified with this method: {self.instead}")
        return self.make_verifier(values)


def _file(*names: str, help_text: str, needed: bool = False, many: bool = False) -> MethodOption:
    more = {"multiple": True} if many else {}
    return MethodOption(names, {"type": click.Path(), "metavar": "FILE", "help": help_text, **more}, needed)


_PRIVATE_KEY = _file(
    "--private-key",
    needed=True,
    help_text="Private key: PEM, EC P-256, P-384 or P-521. Its password: a prompt, or HF_SIGN_KEY_PASSWORD.",
)
_PASSWORD = MethodOption(
    ("--password",),
    {"metavar": "TEXT", "help": "Password of the private key. Others can see it: HF_SIGN_KEY_PASSWORD is better."},
)
_SIGNING_CERT = _file(
    "--signing-cert",
    "--signing-certificate",
    "signing_cert",
    needed=True,
    help_text="Certificate of the private key: PEM.",
)
_CERT_CHAIN = _file(
    "--cert-chain",
    "--certificate-chain",
    "cert_chain",
    many=True,
    help_text="Certificates that lead from it to a root, each the issuer of the one before: PEM. Repeatable.",
)
_PKCS11_URI = MethodOption(
    ("--pkcs11-uri",),
    {
        "metavar": "URI",
        "help": "Private key in a token: RFC 7512. The PIN: a prompt, HF_SIGN_PKCS11_PIN or pin-source.",
    },
    needed=True,
)
_TSA_URL = MethodOption(
    ("--tsa-url",), {"metavar": "URL", "help": "Put a timestamp of this RFC 3161 authority into the bundle."}
)
_TRUST_CONFIG = _file(
    "--trust-config", help_text="Sigstore instance: its client trust config, JSON.  [default: the public one]"
)
_STAGING = MethodOption(
    ("--use-staging",), {"is_flag": True, "help": "The staging instance of Sigstore, for trying out."}
)
_IDENTITY_TOKEN = MethodOption(
    ("--identity-token",),
    {
        "metavar": "TOKEN",
        "help": "OpenID Connect token, or the file it is in. Others can see it: HF_SIGN_IDENTITY_TOKEN is better.",
    },
)
_AMBIENT = MethodOption(
    ("--use-ambient-credentials",),
    {
        "is_flag": True,
        "help": "Sign as this CI job (GitHub Actions, GitLab CI, Google Cloud, Buildkite, CircleCI), or fail.",
    },
)
_OUT_OF_BAND = MethodOption(
    ("--oauth-force-oob",),
    {"is_flag": True, "help": "Sign in with a browser elsewhere, and type the code that it shows."},
)
_CLIENT_ID = MethodOption(
    ("--client-id",), {"metavar": "TEXT", "help": "OAuth client, the audience of the token.  [default: sigstore]"}
)
_CLIENT_SECRET = MethodOption(
    ("--client-secret",),
    {"metavar": "TEXT", "help": "Its secret, if it has one. Others can see it: HF_SIGN_CLIENT_SECRET is better."},
)
_IDENTITY = MethodOption(
    ("--identity",),
    {"metavar": "NAME", "help": "Who must have signed, exactly: an e-mail, or the address of a workflow."},
)
_IDENTITY_PATTERN = MethodOption(
    ("--identity-pattern",),
    {"metavar": "GLOB", "help": "In place of --identity: a glob over the whole identity, for workflows."},
)
_IDENTITY_PROVIDER = MethodOption(
    ("--identity-provider",),
    {"metavar": "URL", "help": "Who must have vouched for the identity: the OpenID Connect issuer, exactly."},
    needed=True,
    said="--identity with --identity-provider",
)
_OFFLINE = MethodOption(
    ("--offline",), {"is_flag": True, "help": "Do not refresh the trust root: use the copy on this machine."}
)
_TOFU = MethodOption(
    ("--tofu",),
    {"is_flag": True, "help": "Whoever signed it when it is first used here, and nobody else from then on."},
    needed=True,
)
_PUBLIC_KEY = _file("--public-key", needed=True, help_text="Public key of the signer: PEM.")
_ROOT_CERTS = _file(
    "--root-certs",
    "--certificate-chain",
    "--cert-chain",
    "root_certs",
    needed=True,
    many=True,
    help_text="Root certificates that say who may sign: PEM. Repeatable.",
)
_CERT_IDENTITY = MethodOption(
    ("--cert-identity",),
    {"metavar": "NAME", "help": "Who must have signed: the certificate's subject or an alternative name."},
)
_LOG_FINGERPRINTS = MethodOption(
    ("--log-fingerprints",), {"is_flag": True, "help": "Show the SHA-256 of every certificate on stderr."}
)
_TSA_CERTS = _file(
    "--tsa-certs",
    many=True,
    help_text="Certificates of RFC 3161 authorities: judge at the time of the bundle's timestamp, not now. Repeatable.",
)


def _key_signer(values: Values) -> Signer:
    from hf_model_signing.methods.key import KeySigner

    return KeySigner(values["private_key"], password=values["password"], ask=_ask_password, tsa_url=values["tsa_url"])


def _key_verifier(values: Values) -> Verifier:
    from hf_model_signing.methods.key import KeyVerifier

    return KeyVerifier(values["public_key"])


def _certificate_signer(values: Values) -> Signer:
    from hf_model_signing.methods.certificate import CertificateSigner

    return CertificateSigner(
        values["private_key"],
        values["signing_cert"],
        cert_chain=values["cert_chain"],
        password=values["password"],
        ask=_ask_password,
        tsa_url=values["tsa_url"],
    )


def _certificate_verifier(values: Values) -> Verifier:
    from hf_model_signing.methods.certificate import CertificateVerifier

    tell = {"note": note} if values["log_fingerprints"] else {}
    return CertificateVerifier(
        values["root_certs"], identity=values["cert_identity"], tsa_certs=values["tsa_certs"], **tell
    )


def _pkcs11_signer(values: Values) -> Signer:
    from hf_model_signing.methods.pkcs11.signer import Pkcs11Signer

    return Pkcs11Signer(
        values["pkcs11_uri"],
        signing_cert=values.get("signing_cert"),
        cert_chain=values.get("cert_chain", ()),
        ask=_ask,
        tsa_url=values["tsa_url"],
    )


def _sigstore_signer(values: Values) -> Signer:
    from hf_model_signing.methods.sigstore.signer import SigstoreSigner

    quiet_libraries()
    return SigstoreSigner(
        **{option.name: values[option.name] for option in METHOD_OPTIONS["sigstore"].sign}, ask=_ask_code, note=note
    )


def _sigstore_verifier(values: Values) -> Verifier:
    from hf_model_signing.methods.sigstore.verifier import SigstoreVerifier

    quiet_libraries()
    return SigstoreVerifier(
        **{option.name: values[option.name] for option in METHOD_OPTIONS["sigstore"].verify}, note=note
    )


def _skip_signer(values: Values) -> Signer:
    from hf_model_signing.methods.skip import SkipSigner

    return SkipSigner()


def _ask_password() -> str:
    return _ask("Password of the private key")


def _ask(what: str) -> str:
    import sys

    if not sys.stdin.isatty():
        return ""
    secret: str = click.prompt(what, hide_input=True, err=True)
    return secret


def quiet_libraries() -> None:
    """Keep what they log for developers from stderr, where Python puts it when nobody listens."""
    import logging

    for name in ("sigstore", "tuf", "urllib3"):
        logging.getLogger(name).addHandler(logging.NullHandler())


def _ask_code(text: str) -> str:
    """A line of the standard input, which may be a pipe."""
    import sys

    click.echo(printable(text), err=True, nl=False)
    answer = "" if sys.stdin is None else sys.stdin.readline(_LONGEST_CODE)
    if not answer.endswith("\n"):
        click.echo(err=True)  # so that what comes next stands on a line of its own
    return answer


_LONGEST_CODE = 4096  # characters

METHOD_OPTIONS = {
    "sigstore": MethodOptions(
        "Sigstore, the default: a person who signs in, or a CI job; no key to keep.",
        (_IDENTITY_TOKEN, _AMBIENT, _OUT_OF_BAND, _CLIENT_ID, _CLIENT_SECRET, _STAGING, _TRUST_CONFIG),
        _sigstore_signer,
        (_IDENTITY, _IDENTITY_PATTERN, _IDENTITY_PROVIDER, _OFFLINE, _STAGING, _TRUST_CONFIG),
        _sigstore_verifier,
    ),
    "key": MethodOptions(
        "The private key in a file.", (_PRIVATE_KEY, _PASSWORD, _TSA_URL), _key_signer, (_PUBLIC_KEY,), _key_verifier
    ),
    "certificate": MethodOptions(
        "The private key in a file, and a certificate of it.",
        (_PRIVATE_KEY, _PASSWORD, _SIGNING_CERT, _CERT_CHAIN, _TSA_URL),
        _certificate_signer,
        (_ROOT_CERTS, _CERT_IDENTITY, _LOG_FINGERPRINTS, _TSA_CERTS),
        _certificate_verifier,
    ),
    "pkcs11-key": MethodOptions(
        "A private key in a PKCS #11 token.",
        (_PKCS11_URI, _TSA_URL),
        _pkcs11_signer,
        instead="what it signs is verified with the method 'key'",
    ),
    "pkcs11-certificate": MethodOptions(
        "A private key in a PKCS #11 token, and a certificate of it.",
        (_PKCS11_URI, _SIGNING_CERT, _CERT_CHAIN, _TSA_URL),
        _pkcs11_signer,
        instead="what it signs is verified with the method 'certificate'",
    ),
    "skip": MethodOptions(
        "Nobody: the digests without a signature.",
        (),
        _skip_signer,
        instead="it signs nothing, so there is nothing to verify",
    ),
}

# Whom a trust policy may name: the method -> its options there. How one run verifies is no part of a policy.
POLICY_SIGNERS = {
    **{
        method: tuple(option for option in options.verify if option not in (_OFFLINE, _LOG_FINGERPRINTS))
        for method, options in METHOD_OPTIONS.items()
        if options.verify
    },
    "tofu": (_TOFU, _STAGING, _TRUST_CONFIG),
}
