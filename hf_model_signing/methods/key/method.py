"""The record of the method `key`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hf_model_signing.methods.method import EmbeddedSigner, Facts, Method, Note, Option, Pinning, Prompts, Values

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer, Verifier
    from hf_model_signing.oms.bundle import Bundle

PASSWORD_PROMPT = "Password of the private key"  # noqa: S105 - a prompt, not a password

PRIVATE_KEY = Option(
    ("--private-key",),
    "Private key: PEM, EC P-256, P-384 or P-521. Its password: a prompt, or HF_SIGN_KEY_PASSWORD.",
    "FILE",
    file=True,
    needed=True,
)
PASSWORD = Option(
    ("--password",), "Password of the private key. Others can see it: HF_SIGN_KEY_PASSWORD is better.", "TEXT"
)
TSA_URL = Option(("--tsa-url",), "Put a timestamp of this RFC 3161 authority into the bundle.", "URL")
_PUBLIC_KEY = Option(("--public-key",), "Public key of the signer: PEM.", "FILE", file=True, needed=True)


def _signer(values: Values, prompts: Prompts) -> Signer:
    from hf_model_signing.methods.key.signer import KeySigner

    return KeySigner(
        values["private_key"],
        password=values["password"],
        ask=lambda: prompts.secret(PASSWORD_PROMPT),
        tsa_url=values["tsa_url"],
    )


def _verifier(values: Values, _: Note | None) -> Verifier:
    from hf_model_signing.methods.key.signer import KeyVerifier

    return KeyVerifier(values["public_key"])


def _embedded(bundle: Bundle) -> Verifier:
    from hf_model_signing.methods.key.embedded import key_of
    from hf_model_signing.methods.key.signer import KeyVerifier

    return KeyVerifier(key_of(bundle))


def _finder(_: Values) -> Callable[[Bundle], tuple[Verifier, Facts]]:
    def find(bundle: Bundle) -> tuple[Verifier, Facts]:
        from hf_model_signing.methods.key.embedded import key_of, pinned_key
        from hf_model_signing.methods.key.signer import KeyVerifier

        key = key_of(bundle)
        return KeyVerifier(key), pinned_key(key)

    return find


def describe_pin(pin: Facts) -> str:
    """Describe a pinned key."""
    from hf_model_signing.methods.key.embedded import read_pinned_key
    from hf_model_signing.methods.key.signer import describe_key

    return describe_key(read_pinned_key(pin))


def pinned_fingerprint(pin: Facts) -> str:
    """Return the fingerprint of a pinned key."""
    from hf_model_signing.methods.key.embedded import read_pinned_key
    from hf_model_signing.methods.key.signer import fingerprint

    return fingerprint(read_pinned_key(pin))


def _rows(bundle: Bundle) -> list[tuple[str, str]]:
    return [("key", bundle.material["publicKey"].get("hint") or "in the bundle (an old form)")]


KEY = Method(
    "key",
    "A key pair in files.",
    _signer,
    (PRIVATE_KEY, PASSWORD, TSA_URL),
    _verifier,
    (_PUBLIC_KEY,),
    embedded=EmbeddedSigner(
        "key", _embedded, Pinning(("public_key",), _finder, describe_pin, {"fingerprint": pinned_fingerprint})
    ),
    rows=_rows,
)
