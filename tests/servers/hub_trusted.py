"""The token endpoint of the local hub: trusted publishers exchange an id token for a token of the hub (RFC 8693)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.servers.hub_access import Core, Exchange, Token, route
from tests.servers.hub_http import Refused, Reply, json_reply
from tests.servers.hub_store import RepoKey

if TYPE_CHECKING:
    from tests.servers.jwt_issuer import TokenIssuer

_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_EXPECTED = {
    "grant_type": ("urn:ietf:params:oauth:grant-type:token-exchange", "unsupported_grant_type"),
    "subject_token_type": ("urn:ietf:params:oauth:token-type:id_token", "invalid_request"),
}


@dataclass(frozen=True)
class Publisher:
    """A trusted publisher of one repository: the jobs of a repository elsewhere, as their issuer states."""

    key: RepoKey
    issuer: TokenIssuer
    repository: str

    @property
    def resource(self) -> str:
        """Return the request of a job for a token for the repository."""
        return f"{self.key.prefix}{self.key.id}"


def _exchange(exchange: Exchange) -> Reply:
    core, asked = exchange.core, exchange.request.body.json()
    for name, (value, code) in _EXPECTED.items():
        if asked.get(name) != value:
            raise _refused(400, code, f"{name} must be {value}")
    publisher = _publisher(core, str(asked.get("subject_token")), str(asked.get("resource")))
    return json_reply(
        {
            "access_token": _new_token(core, publisher),
            "issued_token_type": _ACCESS_TOKEN,
            "token_type": "bearer",
            "expires_in": core.token_lifetime,
            "scope": "repo.write",
        }
    )


def _publisher(core: Core, subject_token: str, resource: str) -> Publisher:
    """Return the publisher that matches the id token, for the requested repository."""
    proved = list(_proved(core, subject_token))
    if not proved:
        raise _refused(401, "invalid_grant", "The id token is not valid: its issuer, its audience or its time is wrong")
    for publisher, claims in proved:
        if publisher.resource == resource and publisher.repository == claims.get("repository"):
            return publisher
    raise _refused(403, "access_denied", f"No trusted publisher of {resource} matches the claims of the id token")


def _proved(core: Core, subject_token: str) -> Iterator[tuple[Publisher, dict[str, Any]]]:
    """Yield the publishers whose issuer made the id token for this hub, if it is valid now, with its claims."""
    if not core.publishers:
        return
    from jwt import InvalidTokenError  # late: a hub without publishers does not need the library

    for publisher in core.publishers:
        try:
            claims = publisher.issuer.claims(subject_token, core.url)
        except InvalidTokenError:
            continue
        if "exp" in claims:
            yield publisher, claims


def _new_token(core: Core, publisher: Publisher) -> str:
    name = f"hf_jwt_{secrets.token_urlsafe(24)}"
    expires = time.monotonic() + core.token_lifetime
    user = f"trusted-publisher:{publisher.repository}"
    core.tokens[name] = Token(name, user, frozenset(), "write", only=publisher.key, expires=expires)
    return name


def _refused(status: int, code: str, description: str) -> Refused:
    return Refused(json_reply({"error": code, "error_description": description}, status))


ROUTES = [route("POST", r"/oauth/token", _exchange)]
