"""The registry of signing methods: one line for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hf_model_signing.methods.certificate.method import CERTIFICATE
from hf_model_signing.methods.key.method import KEY
from hf_model_signing.methods.pkcs11.method import PKCS11_CERTIFICATE, PKCS11_KEY
from hf_model_signing.methods.sigstore.method import SIGSTORE
from hf_model_signing.methods.skip.method import SKIP

if TYPE_CHECKING:
    from hf_model_signing.methods.method import EmbeddedSigner, Method
    from hf_model_signing.oms.bundle import Bundle

METHODS: dict[str, Method] = {
    "sigstore": SIGSTORE,
    "key": KEY,
    "certificate": CERTIFICATE,
    "pkcs11-key": PKCS11_KEY,
    "pkcs11-certificate": PKCS11_CERTIFICATE,
    "skip": SKIP,
}
DEFAULT_METHOD = SIGSTORE.name  # if no method is named


def embedded_signers() -> Iterator[tuple[str, EmbeddedSigner]]:
    """Yield the methods whose bundles claim a signer."""
    return ((name, method.embedded) for name, method in METHODS.items() if method.embedded is not None)


def embedded_in(bundle: Bundle) -> tuple[str, EmbeddedSigner] | None:
    """Return the method of a bundle and its claimed signer, or None if it claims none."""
    fitting = [(name, signer) for name, signer in embedded_signers() if signer.form == bundle.method]
    special = [found for found in fitting if found[1].recognizes is not None and found[1].recognizes(bundle)]
    general = [found for found in fitting if found[1].recognizes is None]
    return next(iter([*special, *general]), None)
