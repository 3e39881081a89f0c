"""From an ECDSA signature to the few public keys that may have made it (SEC 1, version 2.0, section 4.1.6).

Everything here is public, so nothing depends on how long it takes. What is found is no more than a candidate: verify
the signature with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hf_model_signing.crypto.ecdsa import CURVES

_Point = tuple[int, int] | None  # None is the point at infinity

# SEC 2, version 2.0, section 2: the curve -> its field and the order of its base point; the cofactor is 1, and `a` is
# -3 for all of them.
_FIELDS: dict[str, tuple[type[ec.EllipticCurve], int, int]] = {
    "secp256r1": (
        ec.SECP256R1,
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551,
    ),
    "secp384r1": (
        ec.SECP384R1,
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        (2**192 - 1) << 192 | 0xC7634D81_F4372DDF_581A0DB2_48B0A77A_ECEC196A_CCC52973,
    ),
    "secp521r1": (
        ec.SECP521R1,
        2**521 - 1,
        (2**265 - 6) << 256 | 0x51868783_BF2F966B_7FCC0148_F709A5D0_3BB5C9B8_899C47AE_BB6FB71E_91386409,
    ),
}


def recover_keys(signature: bytes, message: bytes) -> Iterator[ec.EllipticCurvePublicKey]:
    """The keys, of any curve of the registry, with which a signature (DER) over `message` is valid.

    On each curve they are two, or four where the number of the signature stands for two points. Raises `ValueError`
    for what is no signature.
    """
    r, s = decode_dss_signature(signature)
    for name, (_, algorithm) in CURVES.items():
        digest = hashes.Hash(algorithm)
        digest.update(message)
        hashed = digest.finalize()
        curve = _curve(name)
        number = int.from_bytes(hashed, "big")  # no hash is longer than the order of its curve
        for x, y in _candidates(curve, r, s, number):
            yield ec.EllipticCurvePublicNumbers(x, y, curve.named()).public_key()


@dataclass(frozen=True)
class _Curve:
    """y² = x³ - 3x + b over the integers modulo `field`, which is 3 modulo 4."""

    named: type[ec.EllipticCurve]
    field: int
    order: int
    base: tuple[int, int]

    def candidates(self, r: int, s: int, number: int) -> Iterator[tuple[int, int]]:
        """The points Q with which (r, s) is a signature of the hash `number`: r⁻¹ (sR - number G) for each R."""
        if not (0 < r < self.order and 0 < s < self.order):
            return
        inverse = pow(r, -1, self.order)
        fixed = self._times(-number * inverse % self.order, self.base)
        for x in range(r, self.field, self.order):  # r is the abscissa of R modulo the order, which is the smaller one
            y = self._ordinate(x)
            moving = self._times(s * inverse % self.order, (x, y)) if y is not None else None
            if moving is None:
                continue
            for found in (self._sum(fixed, moving), self._sum(fixed, (moving[0], -moving[1] % self.field))):
                if found is not None:
                    yield found

    def _ordinate(self, x: int) -> int | None:
        """One y with which x is on the curve; the other is its negative."""
        square = self._right_side(x)
        y = pow(square, (self.field + 1) // 4, self.field)
        return y if y * y % self.field == square else None

    def _right_side(self, x: int) -> int:
        # b is what the base point leaves.
        at_x, at_base = x**3 - 3 * x, self.base[0] ** 3 - 3 * self.base[0]
        return (at_x + self.base[1] ** 2 - at_base) % self.field

    def _times(self, factor: int, point: _Point) -> _Point:
        total: _Point = None
        while factor:
            if factor & 1:
                total = self._sum(total, point)
            point, factor = self._sum(point, point), factor >> 1
        return total

    def _sum(self, one: _Point, other: _Point) -> _Point:
        if one is None or other is None:
            return one or other
        if one[0] != other[0]:
            slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, self.field)
        elif one == other:  # y is never 0: the order of the group is odd
            slope = 3 * (one[0] ** 2 - 1) * pow(2 * one[1], -1, self.field)
        else:
            return None
        x = (slope * slope - one[0] - other[0]) % self.field
        return x, (slope * (one[0] - x) - one[1]) % self.field


@lru_cache(maxsize=64)  # one signature is looked at several times, and this is slow
def _candidates(curve: _Curve, r: int, s: int, number: int) -> tuple[tuple[int, int], ...]:
    return tuple(curve.candidates(r, s, number))


@cache
def _curve(name: str) -> _Curve:
    kind, field, order = _FIELDS[name]
    base = ec.derive_private_key(1, kind()).public_key().public_numbers()
    return _Curve(kind, field, order, (base.x, base.y))
