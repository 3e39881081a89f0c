"""An issuer of JSON Web Tokens (RFC 7519): its key, its tokens, and their verification."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

_ALGORITHM = "ES256"
_KEY_ID = "1"


class TokenIssuer:
    """Signs tokens with its own key, a new one for each issuer."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def token(self, claims: Mapping[str, Any]) -> str:
        """Return a token with these claims, valid or not."""
        return jwt.encode(dict(claims), self._key, _ALGORITHM, headers={"kid": _KEY_ID})

    @property
    def keys(self) -> dict[str, Any]:
        """Return the JSON Web Key Set (RFC 7517) with which others verify its tokens."""
        key = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**key, "kid": _KEY_ID, "alg": _ALGORITHM, "use": "sig"}]}

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        """Return the claims of a valid token of this issuer; raises `jwt.InvalidTokenError` for any other."""
        claims: dict[str, Any] = jwt.decode(token, self._key.public_key(), [_ALGORITHM], audience=audience)
        return claims
