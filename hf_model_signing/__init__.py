"""Sign the models that hubs serve, and get what the signer signed, or nothing.

The names below load their modules when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hf_model_signing._version import __version__ as __version__

if TYPE_CHECKING:
    from hf_model_signing.errors import (
        BundleError,
        GuardWarning,
        HfSignError,
        MismatchError,
        MissingSignatureError,
        ModelError,
        ModelWarning,
        RefusedError,
        SigstoreWarning,
        UsageError,
        VerificationError,
    )
    from hf_model_signing.guarding.downloads import hf_hub_download, snapshot_download
    from hf_model_signing.guarding.guard import guard
    from hf_model_signing.hub.fetch import fetch
    from hf_model_signing.hub.pull import pull
    from hf_model_signing.hub.push import push
    from hf_model_signing.methods.certificate import CertificateSigner, CertificateVerifier
    from hf_model_signing.methods.interface import Signer, Verifier
    from hf_model_signing.methods.key import KeySigner, KeyVerifier
    from hf_model_signing.methods.pkcs11.signer import Pkcs11Signer
    from hf_model_signing.methods.sigstore.signer import SigstoreSigner
    from hf_model_signing.methods.sigstore.verifier import SigstoreVerifier
    from hf_model_signing.methods.skip import SkipSigner
    from hf_model_signing.oms.bundle import Bundle
    from hf_model_signing.policy.trust_policy import Policy
    from hf_model_signing.signing import digest, sign
    from hf_model_signing.verifying import Coverage, Verification, verify
    from hub_adapters.errors import HubError


_HOMES = {
    "hf_model_signing.oms.bundle": ("Bundle",),
    "hf_model_signing.guarding.downloads": ("hf_hub_download", "snapshot_download"),
    "hf_model_signing.errors": (
        "BundleError",
        "GuardWarning",
        "HfSignError",
        "MismatchError",
        "MissingSignatureError",
        "ModelError",
        "ModelWarning",
        "RefusedError",
        "SigstoreWarning",
        "UsageError",
        "VerificationError",
    ),
    "hf_model_signing.hub.fetch": ("fetch",),
    "hf_model_signing.guarding.guard": ("guard",),
    "hf_model_signing.methods.certificate": ("CertificateSigner", "CertificateVerifier"),
    "hf_model_signing.methods.interface": ("Signer", "Verifier"),
    "hf_model_signing.methods.key": ("KeySigner", "KeyVerifier"),
    "hf_model_signing.methods.pkcs11.signer": ("Pkcs11Signer",),
    "hf_model_signing.methods.sigstore.signer": ("SigstoreSigner",),
    "hf_model_signing.methods.sigstore.verifier": ("SigstoreVerifier",),
    "hf_model_signing.methods.skip": ("SkipSigner",),
    "hf_model_signing.policy.trust_policy": ("Policy",),
    "hf_model_signing.hub.pull": ("pull",),
    "hf_model_signing.hub.push": ("push",),
    "hf_model_signing.signing": ("digest", "sign"),
    "hf_model_signing.verifying": ("Coverage", "Verification", "verify"),
    "hub_adapters.errors": ("HubError",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Bundle",
    "BundleError",
    "CertificateSigner",
    "CertificateVerifier",
    "Coverage",
    "GuardWarning",
    "HfSignError",
    "HubError",
    "KeySigner",
    "KeyVerifier",
    "MismatchError",
    "MissingSignatureError",
    "ModelError",
    "ModelWarning",
    "Pkcs11Signer",
    "Policy",
    "RefusedError",
    "Signer",
    "SigstoreSigner",
    "SigstoreVerifier",
    "SigstoreWarning",
    "SkipSigner",
    "UsageError",
    "Verification",
    "VerificationError",
    "Verifier",
    "digest",
    "fetch",
    "guard",
    "hf_hub_download",
    "pull",
    "push",
    "sign",
    "snapshot_download",
    "verify",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value
