"""One timestamp: every defect is rejected, each with its own message."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from asn1crypto import cms, core, tsp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from hf_model_signing.errors import VerificationError
from hf_model_signing.timestamps.rfc3161 import verified_time
from hf_model_signing.timestamps.token import Token, decode, open_response
from tests.certificates import CODE_SIGNING, LONG_AGO, TIME_STAMPING, Leaf, self_signed
from tests.servers.tsa import Tsa
from tests.servers.tsa_tokens import Recipe, mint, query

MESSAGE = b"the bytes of a signature"
THEN = datetime(2024, 2, 29, 12, 30, 1, tzinfo=timezone.utc)
Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def tsa() -> Tsa:
    """An authority without a server."""
    with Tsa() as tsa:
        return tsa


def opened(recipe: Recipe) -> Token:
    return open_response(decode(mint(query(MESSAGE), recipe, THEN)))


def check(recipe: Recipe, *more: x509.Certificate) -> None:
    """Run all checks that need no trust."""
    token = opened(recipe)
    token.check_imprint(MESSAGE)
    token.check_signer(token.signer(more))


def put(name: str, value: object) -> Change:
    """Set a field of the only SignerInfo."""
    return lambda signed: signed["signer_infos"][0].__setitem__(name, value)


def drop(kind: str) -> Change:
    """Remove a signed attribute."""
    return lambda attributes: attributes.__setitem__(slice(None), [a for a in attributes if a[0] != kind])


def test_valid_one_is_opened(tsa: Tsa) -> None:
    check(tsa.recipe)
    token = opened(tsa.recipe)
    assert (token.time, token.nonce, token.signer()) == (THEN, 1234, tsa.signer.cert)


def _two_signers(signed: dict[str, Any]) -> None:
    signed["signer_infos"] = [signed["signer_infos"][0], signed["signer_infos"][0].copy()]
    signed["signer_infos"][1]["version"] = "v3"


def _later(signed: dict[str, Any]) -> None:
    content = bytes(signed["encap_content_info"]["content"])
    signed["encap_content_info"]["content"] = core.ParsableOctetString(content.replace(b"20240229", b"20230228"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_two_signers, "has 2 signers; it must have one"),
        (lambda signed: signed.__setitem__("signer_infos", []), "has 0 signers; it must have one"),
        (put("signed_attrs", None), "has no signed attributes"),
        (
            put("digest_algorithm", {"algorithm": "sha1"}),
            r"signed with a hash that is not accepted: 1\.3\.14\.3\.2\.26",
        ),
        (put("digest_algorithm", {"algorithm": "sha512"}), "was altered: its content is not what was signed"),
        (
            put("signature_algorithm", {"algorithm": "sha512_ecdsa"}),
            "does not fit its digest: 1.2.840",
        ),
        (put("signature_algorithm", {"algorithm": "sha256_rsa"}), "has a signature that does not fit its key: 1.2.840"),
        (
            put("signature_algorithm", {"algorithm": "ed25519"}),
            "has a signature that does not fit its key: 1.3.101.112",
        ),
        (put("signature", b"none"), "was altered, or another key than its certificate's signed it"),
        (_later, "was altered: its content is not what was signed"),
    ],
)
def test_spoilt_cms_is_refused(tsa: Tsa, spoil: Change, message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        check(replace(tsa.recipe, spoil=spoil))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("content_type"), "does not say that it is for a timestamp"),
        (lambda found: found.__setitem__(0, ("content_type", "data")), "does not say that it is for a timestamp"),
        (drop("message_digest"), "was altered: its content is not what was signed"),
        (lambda found: found.__setitem__(1, ("message_digest", bytes(32))), "its content is not what was signed"),
        (drop("signing_certificate_v2"), "does not say which certificate it belongs to"),
        (
            lambda found: found.append(("message_digest", bytes(32))),
            r"more than one value for the signed attribute 1\.2\.840\.113549\.1\.9\.4",
        ),
    ],
)
def test_signed_attributes_must_be_right(tsa: Tsa, change: Change, message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        check(replace(tsa.recipe, attributes=change))


def test_attribute_with_two_values_is_refused(tsa: Tsa) -> None:
    def double(signed: dict[str, Any]) -> None:
        attribute = signed["signer_infos"][0]["signed_attrs"][0]
        attribute["values"] = cms.SetOfContentType([*attribute["values"], "data"])

    with pytest.raises(VerificationError, match="more than one value for the signed attribute"):
        check(replace(tsa.recipe, spoil=double))


@pytest.mark.parametrize("binding", ["v1", "v2", "sha384", "sha512"])
def test_binding_to_another_certificate_is_refused(tsa: Tsa, binding: str) -> None:
    check(replace(tsa.recipe, binding=binding))
    other = tsa._issue(key=tsa.signer.key)  # renewed: the same key, the same name
    with pytest.raises(VerificationError, match="belongs to another certificate than the one named"):
        check(replace(tsa.recipe, binding=binding, bound_to=other))


def test_binding_must_be_right_both_ways(tsa: Tsa) -> None:
    other = hashlib.sha1(b"other", usedforsecurity=False).digest()
    also = ("signing_certificate", tsp.SigningCertificate({"certs": [{"cert_hash": other}]}))
    with pytest.raises(VerificationError, match="belongs to another certificate than the one named"):
        check(replace(tsa.recipe, attributes=lambda found: found.append(also)))


def test_binding_by_a_broken_hash_is_refused(tsa: Tsa) -> None:
    with pytest.raises(VerificationError, match=r"names its certificate by a hash that is not accepted: 1\.2\.840"):
        check(replace(tsa.recipe, binding="md5"))


def test_signed_by_another_key(tsa: Tsa) -> None:
    named = replace(tsa.signer, key=tsa._issue().key)
    with pytest.raises(VerificationError, match="was altered, or another key than its certificate's signed it"):
        check(replace(tsa.recipe, signer=named))


def test_short_rsa_key_is_refused(tsa: Tsa) -> None:
    short = tsa._issue(key=rsa.generate_private_key(65537, 1024))
    with pytest.raises(VerificationError, match="signed with an RSA key of less than 2048 bits"):
        check(replace(tsa.recipe, signer=short))


def test_algorithm_of_another_kind_of_key_is_refused(tsa: Tsa) -> None:
    signer = tsa._issue(key=rsa.generate_private_key(65537, 2048))
    check(replace(tsa.recipe, signer=signer))
    with pytest.raises(VerificationError, match="has a signature that does not fit its key: 1.2.840.10045"):
        check(replace(tsa.recipe, signer=signer, spoil=put("signature_algorithm", {"algorithm": "sha256_ecdsa"})))


def test_other_kind_of_key_is_refused(tsa: Tsa) -> None:
    edwards = tsa._issue(key=ed25519.Ed25519PrivateKey.generate())
    mixed = Leaf(tsa.signer.key, edwards.cert)
    with pytest.raises(VerificationError, match="has a signature that does not fit its key"):
        check(replace(tsa.recipe, signer=mixed))


def test_other_version_is_refused(tsa: Tsa) -> None:
    with pytest.raises(VerificationError, match="has the version 2; expected 1"):
        check(replace(tsa.recipe, info=lambda fields: fields.update(version=2)))


def test_other_content_than_a_timestamp_is_refused(tsa: Tsa) -> None:
    def rename(signed: dict[str, Any]) -> None:
        signed["encap_content_info"]["content_type"] = "data"

    with pytest.raises(VerificationError, match="could not be checked, .* malformed .*Malformed TimestampToken"):
        check(replace(tsa.recipe, spoil=rename))


def test_many_certificates_are_refused(tsa: Tsa) -> None:
    others = [tsa._issue() for _ in range(15)]
    check(replace(tsa.recipe, embed=others))
    with pytest.raises(VerificationError, match="carries 17 certificates; 16 is most"):
        check(replace(tsa.recipe, embed=[*others, tsa.root]))


def test_certificate_may_come_from_elsewhere(tsa: Tsa) -> None:
    bare = replace(tsa.recipe, with_signer=False, embed=())
    check(bare, tsa.signer.cert)
    with pytest.raises(VerificationError, match="comes without the certificate of its signer"):
        check(bare, tsa.intermediate.cert)


def test_ambiguous_certificates_are_refused(tsa: Tsa) -> None:
    twin = tsa._issue(serial=tsa.signer.cert.serial_number)
    with pytest.raises(VerificationError, match="comes with several certificates of the same name and number"):
        check(replace(tsa.recipe, embed=[twin]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eku": ()}, "has no usage time-stamping"),
        ({"eku": (CODE_SIGNING,)}, "has no usage time-stamping"),
        ({"eku": (TIME_STAMPING, CODE_SIGNING)}, "does not have time-stamping as its only and critical usage"),
        ({"eku_critical": False}, "does not have time-stamping as its only and critical usage"),
        ({"key_usage": ("digital_signature", "key_cert_sign")}, "is not for signatures alone"),
        ({"key_usage": ("key_agreement",)}, "is not for signatures alone"),
        (
            {"not_before": THEN + timedelta(seconds=1)},
            r"was not valid at 2024-02-29 12:30:01\+00:00, when the timestamp",
        ),
        ({"not_after": THEN}, r"was made: it is valid from .* to 2024-02-29 12:30:01\+00:00"),
    ],
)
def test_certificate_must_be_fit(tsa: Tsa, changes: dict[str, Any], message: str) -> None:
    signer = tsa._issue(**changes)
    with pytest.raises(VerificationError, match=f"certificate 'O=T,CN=TSA'.* {message}"):
        check(replace(tsa.recipe, signer=signer))


@pytest.mark.parametrize(
    "changes",
    [
        {"not_before": THEN, "not_after": THEN + timedelta(seconds=1)},
        {"key_usage": ("content_commitment",)},
        {"key_usage": ("digital_signature", "content_commitment")},
        {"key_usage": ()},
    ],
)
def test_certificate_that_is_fit(tsa: Tsa, changes: dict[str, Any]) -> None:
    token = mint(query(MESSAGE), replace(tsa.recipe, signer=tsa._issue(**changes)), THEN)
    assert verified_time([token], MESSAGE, [tsa.root.cert]) == THEN


def test_fraction_of_a_second_is_cut_off(tsa: Tsa) -> None:
    fraction = THEN + timedelta(milliseconds=999)
    token = mint(query(MESSAGE), replace(tsa.recipe, info=lambda fields: fields.update(gen_time=fraction)), THEN)
    assert verified_time([token], MESSAGE, [tsa.root.cert]) == THEN


def test_self_signed_signer_is_its_own_anchor(tsa: Tsa) -> None:
    alone = self_signed("TSA", eku=(TIME_STAMPING,), eku_critical=True, not_before=LONG_AGO)
    check(Recipe(alone))
