"""The registry of signing methods: one line for each.

A record is loaded when it is first looked up, so that a command does not pay for the methods that it does not use.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hf_model_signing.methods.method import EmbeddedSigner, Method
    from hf_model_signing.oms.bundle import Bundle

# The name of each method, and the module and the name of its record.
RECORDS = {
    "sigstore": "hf_model_signing.methods.sigstore.method:SIGSTORE",
    "key": "hf_model_signing.methods.key.method:KEY",
    "certificate": "hf_model_signing.methods.certificate.method:CERTIFICATE",
    "pkcs11-key": "hf_model_signing.methods.pkcs11.method:PKCS11_KEY",
    "pkcs11-certificate": "hf_model_signing.methods.pkcs11.method:PKCS11_CERTIFICATE",
    "skip": "hf_model_signing.methods.skip.method:SKIP",
}
DEFAULT_METHOD = "sigstore"  # if no method is named


class _Methods(Mapping[str, "Method"]):
    """The records of the methods, by name."""

    def __getitem__(self, name: str) -> Method:
        module, _, record = RECORDS[name].partition(":")
        return cast("Method", getattr(importlib.import_module(module), record))

    def __iter__(self) -> Iterator[str]:
        return iter(RECORDS)

    def __len__(self) -> int:
        return len(RECORDS)

    def __contains__(self, name: object) -> bool:
        return name in RECORDS  # the inherited one loads the record


METHODS: Mapping[str, Method] = _Methods()


def embedded_signers() -> Iterator[tuple[str, EmbeddedSigner]]:
    """Yield the methods whose bundles claim a signer."""
    return ((name, method.embedded) for name, method in METHODS.items() if method.embedded is not None)


def embedded_in(bundle: Bundle) -> tuple[str, EmbeddedSigner] | None:
    """Return the method of a bundle and its claimed signer, or None if it claims none."""
    fitting = [(name, signer) for name, signer in embedded_signers() if signer.form == bundle.method]
    special = [found for found in fitting if found[1].recognizes is not None and found[1].recognizes(bundle)]
    general = [found for found in fitting if found[1].recognizes is None]
    return next(iter([*special, *general]), None)
