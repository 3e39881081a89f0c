"""Recovery of keys from a signature, checked with the library that made it."""

from __future__ import annotations

import os
from math import isqrt

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hf_model_signing.crypto.ecdsa import algorithm_of
from hf_model_signing.crypto.ecdsa_recovery import _FIELDS, _curve, recover_keys

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]
each_curve = pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)


@each_curve
def test_signers_key_is_among_the_few_that_fit(curve: ec.EllipticCurve) -> None:
    for _ in range(8):
        key, message = ec.generate_private_key(curve), os.urandom(40)
        signature = key.sign(message, algorithm_of(key))
        found = list(recover_keys(signature, message))
        assert key.public_key() in found
        assert 2 <= len(found) <= 12
        for each in found:
            each.verify(signature, message, algorithm_of(each))


@each_curve
def test_other_message_does_not_lead_to_the_key(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    assert key.public_key() not in list(recover_keys(key.sign(b"one", algorithm_of(key)), b"other"))


@each_curve
def test_point_whose_abscissa_is_above_the_order(curve: ec.EllipticCurve) -> None:
    """Only one signature in 2^128 has such a point, so the test starts with the point and computes the key."""
    own = _curve(curve.name)
    x = next(x for x in range(own.order + 1, own.field) if own._y_of(x) is not None)
    signature = encode_dss_signature(x - own.order, 12345)
    found = list(recover_keys(signature, b"message"))
    on_curve = [key for key in found if key.curve.name == curve.name]
    assert len(on_curve) == (4 if own._y_of(x - own.order) is not None else 2)
    for key in on_curve:
        key.verify(signature, b"message", algorithm_of(key))


@each_curve
def test_numbers_that_no_signature_has(curve: ec.EllipticCurve) -> None:
    own = _curve(curve.name)
    for r, s in ((0, 1), (1, 0), (own.order, 1), (1, own.order)):
        assert list(own.candidates(r, s, 7)) == []


@each_curve
def test_key_at_infinity_is_no_candidate(curve: ec.EllipticCurve) -> None:
    """R is the hash times the base point, and s is 1: one of the two candidates would be the point at infinity."""
    own = _curve(curve.name)
    number = 5
    point = own._times(number, own.base)
    assert point is not None
    assert len(list(own.candidates(point[0] % own.order, 1, number))) % 2 == 1


@pytest.mark.parametrize("signature", [b"", b"\x30", b"\x30\x00", bytes(70)])
def test_malformed_signature_has_no_keys(signature: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        list(recover_keys(signature, b"message"))


@pytest.mark.parametrize("name", _FIELDS)
def test_numbers_of_the_curves(name: str) -> None:
    own = _curve(name)
    assert own._times(own.order, own.base) is None
    assert abs(own.field + 1 - own.order) <= 2 * isqrt(own.field) + 1  # Hasse: no other multiple of it fits
    assert own.field % 4 == 3
    assert own.order < own.field
    key = ec.derive_private_key(98765, own.named()).public_key().public_numbers()
    assert own._times(98765, own.base) == (key.x, key.y)
    assert own._y_of(key.x) in (key.y, own.field - key.y)


def test_candidates_that_fit_are_no_proof() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(b"message", algorithm_of(key))
    other = next(each for each in recover_keys(signature, b"message") if each != key.public_key())
    with pytest.raises(InvalidSignature):
        other.verify(key.sign(b"another", algorithm_of(key)), b"another", algorithm_of(key))
