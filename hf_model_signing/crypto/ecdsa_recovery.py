"""Recovery of the public keys that could have made an ECDSA signature (SEC 1, version 2.0, section 4.1.6).

All inputs are public, so the arithmetic need not run in constant time. The results are candidates: verify the signature
with them.
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

# SEC 2, version 2.0, section 2: curve -> prime of the field, order of the base point. For all of them the cofactor is 1
# and the coefficient a is -3.
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
    """Yield the keys, on any curve of the registry, for which a DER signature over `message` is valid.

    There are two for each curve, or four in the rare case that r belongs to two x coordinates. Raises `ValueError` for
    a malformed signature.
    """
    r, s = decode_dss_signature(signature)
    for name, (_, algorithm) in CURVES.items():
        digest = hashes.Hash(algorithm)
        digest.update(message)
        hashed = digest.finalize()
        curve = _curve(name)
        number = int.from_bytes(hashed, "big")  # not truncated: no hash is longer than the order of its curve
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
        """Yield the points Q = r⁻¹ (sR - number G), for which (r, s) is a signature of the hash `number`."""
        if not (0 < r < self.order and 0 < s < self.order):
            return
        inverse = pow(r, -1, self.order)
        fixed = self._times(-number * inverse % self.order, self.base)
        for x in range(
            r, self.field, self.order
        ):  # r is the x coordinate of R modulo the order, which is below `field`
            y = self._y_of(x)
            moving = self._times(s * inverse % self.order, (x, y)) if y is not None else None
            if moving is None:
                continue
            for found in (self._sum(fixed, moving), self._sum(fixed, (moving[0], -moving[1] % self.field))):
                if found is not None:
                    yield found

    def _y_of(self, x: int) -> int | None:
        """Return one y for which (x, y) is on the curve, or None; the other is its negative."""
        square = self._right_side(x)
        y = pow(square, (self.field + 1) // 4, self.field)
        return y if y * y % self.field == square else None

    def _right_side(self, x: int) -> int:
        # b is computed from the base point, which is on the curve: b = y² - (x³ - 3x).
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


@lru_cache(maxsize=64)  # slow, and called several times for one signature
def _candidates(curve: _Curve, r: int, s: int, number: int) -> tuple[tuple[int, int], ...]:
    return tuple(curve.candidates(r, s, number))


@cache
def _curve(name: str) -> _Curve:
    kind, field, order = _FIELDS[name]
    base = ec.derive_private_key(1, kind()).public_key().public_numbers()
    return _Curve(kind, field, order, (base.x, base.y))
