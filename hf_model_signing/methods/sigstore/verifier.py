"""The verifiers of the method `sigstore`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from hf_model_signing._util.paths import StrPath
from hf_model_signing.crypto.certificates import embedded_certificate
from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.interface import MethodVerifier, SignerFound
from hf_model_signing.methods.sigstore.claims import ClaimConditions
from hf_model_signing.methods.sigstore.identity import CertificateIdentity, IdentityPolicy
from hf_model_signing.methods.sigstore.instance import Instance, warn
from hf_model_signing.methods.sigstore.oidc_tokens import now
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.timestamps.rfc3161 import MAX_CLOCK_DIFFERENCE

if TYPE_CHECKING:
    from cryptography import x509


class InstanceVerifier(MethodVerifier):
    """Accepts the signatures of the identities that `expected` names, on one Sigstore instance.

    The certificate must also have the claims of `conditions`.
    """

    method = "sigstore"

    def __init__(self, expected: IdentityPolicy, instance: Instance, conditions: ClaimConditions | None = None) -> None:
        self._expected, self._instance = expected, instance
        self._conditions = conditions or ClaimConditions()

    def describe(self) -> str:
        """Describe the expected identity, its issuer, and the expected claims."""
        return ", ".join(filter(None, (str(self._expected), str(self._conditions))))

    def excludes(self, bundle: Bundle) -> bool:
        """Exclude certificates of other identities or with other claims."""
        if super().excludes(bundle):
            return True
        try:
            self._check_holder(signing_certificate(bundle))
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - `verify` rejects a malformed certificate, too
            return True
        return False

    def _verify_signature(self, bundle: Bundle) -> SignerFound:
        from sigstore.models import Bundle as SigstoreBundle
        from sigstore.verify import Verifier as SigstoreChecks

        from hf_model_signing.methods.sigstore.bundle_checks import check_entries, check_leaf, in_service, proven_times
        from hf_model_signing.methods.sigstore.error_messages import explain

        certificate, trusted, holder = signing_certificate(bundle), self._instance.trusted_root, _Noted()
        check_entries(bundle.material)
        check_leaf(certificate)
        try:
            theirs = SigstoreBundle.from_json(bundle.to_bytes())
            times = proven_times(theirs, trusted)
            root = in_service(trusted, theirs, times)
            _, payload = SigstoreChecks(trusted_root=root).verify_dsse(theirs, holder)
        except MemoryError:
            raise
        except Exception as error:  # the edge of a verifier: an untrusted bundle can raise anything in the library
            ours = isinstance(error, VerificationError)
            reason = str(error) if ours else explain(error, bundle.material, certificate)
            raise VerificationError(f"the signature is not verified: {reason}{self._instance.hint(reason)}") from error
        if payload != bundle.payload:
            raise VerificationError("the signature is not verified: it is over another content")
        _check_clock(times)
        # Last, so that a message never names a signer that was not verified.
        noted = self._check_holder(holder.certificate)
        return SignerFound(str(noted), noted.facts)

    def _check_holder(self, certificate: x509.Certificate) -> CertificateIdentity:
        """Return the identity in a certificate; raises `VerificationError` unless it, and the claims, are expected."""
        found = CertificateIdentity.of(certificate)
        self._expected.check(found)
        self._conditions.check(certificate)
        return found


class SigstoreVerifier(InstanceVerifier):
    """Accepts the signatures of one identity: `identity` exactly, or a match of the glob `identity_pattern`.

    No wildcard of the pattern matches an `@`. `identity_provider` is the exact OpenID Connect issuer. `repository`,
    `ref`, `workflow`, `trigger` and `runner_environment` are claims that the certificate must have besides: the
    repository (`ORG/NAME` or its URL), the full reference, the file or the name of the workflow, the event, and the
    kind of machine. The trust root is refreshed from the instance; if that
    fails, the local copy is used, and `note` receives a message. `offline` uses the local copy and makes no request.
    The log entry, its inclusion proof and the SCT of the certificate are always checked. Raises `UsageError` without
    an identity and its issuer, or for an unusable trust config.
    """

    def __init__(
        self,
        identity: str | None = None,
        identity_provider: str | None = None,
        *,
        identity_pattern: str | None = None,
        repository: str | None = None,
        ref: str | None = None,
        workflow: str | None = None,
        trigger: str | None = None,
        runner_environment: str | None = None,
        offline: bool = False,
        use_staging: bool = False,
        trust_config: StrPath | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        identities = () if identity is None else (identity,)
        expected = IdentityPolicy((identity_provider or "",), identities, identity_pattern)
        conditions = ClaimConditions(repository, ref, workflow, trigger, runner_environment)
        super().__init__(expected, Instance(trust_config, use_staging, offline, note or warn), conditions)


class _Noted:
    """The identity policy for sigstore-python: it only remembers the certificate that was verified."""

    certificate: x509.Certificate

    def verify(self, cert: x509.Certificate) -> None:
        """Remember the certificate; raises `VerificationError` if it has no identity."""
        CertificateIdentity.of(cert)
        self.certificate = cert


def _check_clock(times: Iterable[datetime]) -> None:
    latest, clock = max(times, default=now()), now()
    if latest - clock > MAX_CLOCK_DIFFERENCE:
        raise VerificationError(
            f"the signature is from the future: it was made at {latest:%Y-%m-%d %H:%M:%S} UTC, and this machine's "
            f"clock says {clock:%Y-%m-%d %H:%M:%S} UTC; if that is wrong, set the clock"
        )


def signing_certificate(bundle: Bundle) -> x509.Certificate:
    """Return the certificate of a Sigstore bundle; raises `BundleError` for a malformed one."""
    return embedded_certificate(bundle.material["certificate"], "the signing certificate")
