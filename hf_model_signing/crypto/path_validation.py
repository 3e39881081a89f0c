"""Validation of the path from a signing certificate to a trusted root (RFC 5280, section 6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store
from cryptography.x509.verification import VerificationError as PathError

from hf_model_signing._util.text import show
from hf_model_signing.crypto.certificates import CertificateError, check_valid_at, has_issued, name_of

# Text around the reason in the messages of the path validator.
_NOISE = re.compile(
    r"validation failed: |candidates exhausted: |Python extension validator failed: \w+: |: Algo.*", re.S
)
# The types of names for which the path validator enforces name constraints.
_CHECKED_NAMES = (x509.DNSName, x509.IPAddress, x509.RFC822Name)


def check_path(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
    *,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
) -> None:
    """Raise `CertificateError` unless a path of `others` leads from `leaf` to one of `roots` at the time `at`.

    `cryptography` checks what RFC 5280, section 6.1, demands: signatures, validity, basic constraints, path lengths,
    key usages, name constraints. An authority whose extended key usage does not include `purpose` is not used.
    """
    builder = PolicyBuilder().store(Store(list(roots))).time(at)
    policies = builder.extension_policies(ca_policy=_authority_policy(purpose), ee_policy=ExtensionPolicy.permit_all())
    try:
        policies.build_client_verifier().verify(leaf, list(others))
    except PathError as error:
        raise CertificateError(_why_no_path(leaf, others, roots, at, str(error))) from error


def _authority_policy(purpose: x509.ObjectIdentifier) -> ExtensionPolicy:
    def is_one(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
        if not constraints.ca:
            raise ValueError("it is not the certificate of an authority")

    def may_issue(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
        if usage is not None and not usage.key_cert_sign:
            raise ValueError("its key usage does not allow it to sign certificates")

    def is_for_it(_: Policy, __: x509.Certificate, purposes: x509.ExtendedKeyUsage | None) -> None:
        if purposes is not None and not {purpose, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*purposes}:
            raise ValueError("its extended key usage limits it to other purposes")

    def can_be_checked(_: Policy, __: x509.Certificate, limits: x509.NameConstraints | None) -> None:
        names = [*(limits.permitted_subtrees or ()), *(limits.excluded_subtrees or ())] if limits else []
        if not all(isinstance(name, _CHECKED_NAMES) for name in names):
            raise ValueError("it limits names of a kind that is not checked")

    policy = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, is_one)
    policy = policy.may_be_present(x509.NameConstraints, Criticality.AGNOSTIC, can_be_checked)
    policy = policy.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, may_issue)
    return policy.may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, is_for_it)


def _why_no_path(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
    reason: str,
) -> str:
    """Return the reason for users; the library reports most failures as "candidates exhausted"."""
    try:
        for certificate in _ancestry(leaf, (*others, *roots)):
            check_valid_at(certificate, at)
    except CertificateError as error:
        return str(error)
    issuers = [certificate for certificate in (*others, *roots) if certificate.subject == leaf.issuer]
    known = {root.subject for root in roots}
    if not issuers or not any(certificate.issuer in known for certificate in (leaf, *others)):
        return f"the certificate '{name_of(leaf)}' does not lead to any of the root certificates given"
    short = _NOISE.sub("", reason.split(" (encountered")[0])
    return f"the certificate '{name_of(leaf)}' does not lead to any of the root certificates given: {show(short)}"


def _ancestry(leaf: x509.Certificate, known: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Return the leaf and every known certificate that issued one of these, directly or not."""
    family = [leaf]
    for certificate in family:  # grows during the loop; each certificate is added once
        for issuer in known:
            if issuer not in family and has_issued(issuer, certificate):
                family.append(issuer)
    return family
