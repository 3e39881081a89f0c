"""The signer and the verifier of the method `certificate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from cryptography import x509

from hf_model_signing._util.notes import ignore
from hf_model_signing._util.paths import StrPath, several
from hf_model_signing._util.text import show
from hf_model_signing.crypto.certificates import (
    MAX_CHAIN,
    CertificateError,
    SigningCertificate,
    check_may_sign,
    embedded_certificate,
    fingerprint_of,
    has_identity,
    identities,
    limits_names,
    load_certificates,
    name_of,
)
from hf_model_signing.crypto.ecdsa import algorithm_of, verify_ecdsa
from hf_model_signing.crypto.path_validation import check_path
from hf_model_signing.errors import BundleError, UsageError, VerificationError
from hf_model_signing.methods.interface import DirectSigner, Introduction, MethodVerifier, SignerFound
from hf_model_signing.methods.key.signer import load_private_key
from hf_model_signing.oms.bundle import Bundle

Roots = Iterable[StrPath | x509.Certificate]


class CertificateSigner(DirectSigner):
    """Signs with the private key in a PEM file, and puts its certificate and the chain into the bundle.

    `signing_cert` and `cert_chain` are PEM files; in the chain each certificate issued the one before. The password is
    found as in `KeySigner`; `tsa_url` is an RFC 3161 authority that timestamps each signature. Raises `UsageError` for
    an unusable file, for a certificate of another key, and for a certificate that is expired, not yet valid, not for
    signing, or out of order.
    """

    method = "certificate"

    def __init__(
        self,
        private_key: StrPath,
        signing_cert: StrPath,
        *,
        cert_chain: Iterable[StrPath] = (),
        password: str | bytes | None = None,
        ask: Callable[[], str | None] | None = None,
        tsa_url: str | None = None,
    ) -> None:
        self._key = load_private_key(private_key, password, ask)
        self._certificate = SigningCertificate.load(signing_cert, cert_chain, self._key.public_key())
        self._use_authority(tsa_url)

    def verifier(self) -> CertificateVerifier:
        """Return the verifier that trusts this certificate alone."""
        return CertificateVerifier([self._certificate.leaf])

    def describe(self) -> str:
        """Describe the certificate by its subject and its fingerprint."""
        return self._certificate.describe()

    def introduce(self, signed: Bundle | None = None) -> Introduction:
        """Introduce the certificate and an identity in it."""
        return introduce_certificate(self._certificate)

    def _material(self) -> Mapping[str, Any]:
        return self._certificate.material()

    def _signature(self, message: bytes) -> bytes:
        return self._key.sign(message, algorithm_of(self._key))


class CertificateVerifier(MethodVerifier):
    """Accepts signatures with a certificate that chains to one of `root_certs`: PEM files or loaded certificates.

    `identity`, if given, must be the subject or an alternative name of the certificate (see `has_identity`). The
    certificates must be valid now. With `tsa_certs`, the roots of RFC 3161 authorities, they must be valid at the time
    of a timestamp in the bundle, and a bundle without one is rejected. `note` receives the SHA-256 of every certificate
    involved. Raises `UsageError` without a root, or for an unusable file.
    """

    method = "certificate"

    def __init__(
        self,
        root_certs: Roots,
        *,
        identity: str | None = None,
        tsa_certs: Roots = (),
        note: Callable[[str], None] | None = None,
    ) -> None:
        self._roots = _load(root_certs)
        if not self._roots:
            raise UsageError(
                "no root certificate is given: name the authority that you trust to say who may sign a model "
                "(the root certificates of the web say nothing about that)"
            )
        if identity == "":
            raise UsageError("the identity to expect is empty")
        self._identity = identity
        self._tsa_certs = _load(tsa_certs)
        self._note = note or ignore
        self._tell("root", [*self._roots, *self._tsa_certs])

    def describe(self) -> str:
        """Describe the expected identity and the fingerprints of the roots."""
        whose = f"'{show(self._identity)}'" if self._identity else "any certificate"
        return f"{whose} below the root certificate {', '.join(fingerprint_of(root) for root in self._roots)}"

    def _verify_signature(self, bundle: Bundle) -> SignerFound:
        leaf, *others = _certificates(bundle)
        self._tell("bundle's", [leaf, *others])
        try:
            key = check_may_sign(leaf)
            check_path(leaf, others, self._roots, self._time_of(bundle))
        except CertificateError as error:
            raise VerificationError(f"{error}{self._hint(bundle)}") from error
        self._check_identity(leaf, others)
        verify_ecdsa(key, bundle)
        return SignerFound(SigningCertificate(leaf, ()).describe())

    def _check_identity(self, leaf: x509.Certificate, others: Iterable[x509.Certificate]) -> None:
        limited = any(map(limits_names, (*others, *self._roots)))
        if self._identity is not None and not has_identity(leaf, self._identity, limited=limited):
            kinds = identities(leaf, limited=limited)
            names = ", ".join(f"{kind} '{show(name)}'" for kind, values in kinds.items() for name in values)
            raise VerificationError(f"the model was signed by {names}, not by '{show(self._identity)}'")

    def _time_of(self, bundle: Bundle) -> datetime:
        if not self._tsa_certs:
            return datetime.now(timezone.utc)
        from hf_model_signing.timestamps.rfc3161 import timestamps_of, verified_time

        return verified_time(timestamps_of(bundle.material), bundle.signature, self._tsa_certs)

    def _hint(self, bundle: Bundle) -> str:
        if self._tsa_certs or "timestampVerificationData" not in bundle.material:
            return ""
        return "; the bundle has a timestamp, which --tsa-certs would check, to judge the certificates at that time"

    def _tell(self, which: str, certificates: Iterable[x509.Certificate]) -> None:
        for certificate in certificates:
            self._note(f"{which} certificate '{name_of(certificate)}': SHA-256 {fingerprint_of(certificate)}")


def introduce_certificate(certificate: SigningCertificate) -> Introduction:
    """Introduce the holder of a certificate; the name of the root certificate file is a placeholder."""
    named = identities(certificate.leaf, limited=True)
    kinds = [kind for kind in ("e-mail", "URI", "DNS", "subject") if kind in named]
    names = [name for kind in kinds for name in named[kind] if has_identity(certificate.leaf, name, limited=True)]
    whom = ("--cert-identity", names[0]) if names else ()
    return Introduction(certificate.describe(), ("certificate", "--root-certs", "ROOT_CERTS.pem", *whom))


def _load(certificates: Roots) -> list[x509.Certificate]:
    given: tuple[StrPath | x509.Certificate, ...] = several(certificates)
    loaded = [[item] if isinstance(item, x509.Certificate) else load_certificates(item) for item in given]
    return [certificate for some in loaded for certificate in some]


def _certificates(bundle: Bundle) -> list[x509.Certificate]:
    """Return the certificates of a bundle, the leaf first; raises `BundleError` for malformed ones."""
    raw = bundle.material["x509CertificateChain"]["certificates"]
    if len(raw) > MAX_CHAIN:
        raise BundleError(f"the bundle has {len(raw)} certificates, more than the {MAX_CHAIN} that are accepted")
    return [embedded_certificate(item) for item in raw]
