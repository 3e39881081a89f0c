"""Identities for the local Sigstore: an OpenID Connect provider, and the endpoint of GitHub Actions."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode

from tests.servers.hub_http import Refused, Reply, Request, json_reply, redirect
from tests.servers.jwt_issuer import TokenIssuer
from tests.servers.sigstore_faults import Route, Routes, Service, Settings

GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
AUDIENCE = "sigstore"
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1])(:\d+)?(/[!-~]*)?")
_SHA = "0123456789abcdef0123456789abcdef01234567"
_WORKFLOW = "acme/model/.github/workflows/release.yml@refs/heads/main"
_WORKFLOW_CLAIMS = {
    "iss": GITHUB_ISSUER,
    "sub": "repo:acme/model:ref:refs/heads/main",
    "aud": AUDIENCE,
    "ref": "refs/heads/main",
    "ref_type": "branch",
    "ref_protected": "true",
    "sha": _SHA,
    "repository": "acme/model",
    "repository_id": "123456789",
    "repository_owner": "acme",
    "repository_owner_id": "987654",
    "repository_visibility": "public",
    "run_id": "1122334455",
    "run_number": "7",
    "run_attempt": "1",
    "actor": "alice",
    "actor_id": "1234",
    "workflow": "Release",
    "workflow_ref": _WORKFLOW,
    "workflow_sha": _SHA,
    "job_workflow_ref": _WORKFLOW,
    "job_workflow_sha": _SHA,
    "event_name": "push",
    "head_ref": "",
    "base_ref": "",
    "runner_environment": "github-hosted",
}


def oauth_error(status: int, message: str, code: str = "") -> Reply:
    """Return an error in the format of RFC 6749, section 5.2."""
    headers = {"WWW-Authenticate": 'Basic realm="sigstore"'} if status == 401 else {}
    named = code or ("server_error" if status >= 500 else "access_denied")
    return json_reply({"error": named, "error_description": message}, status, headers)


@dataclass(frozen=True)
class Grant:
    """A grant of a user to a client, for which the client holds a code or a refresh token."""

    person: str
    client: str
    scope: tuple[str, ...]
    nonce: str = ""
    redirect_uri: str = ""
    challenge: str = ""


class IdentityProvider:
    """Issues identity tokens: after a sign-in, approved at once, and to workflows that know `request_token`."""

    def __init__(self, settings: Settings, issuer: TokenIssuer, url: str) -> None:
        self.request_token = secrets.token_urlsafe(16)
        self._settings = settings
        self._issuer = issuer
        self._url = url
        self._codes: dict[str, Grant] = {}
        self._refresh_tokens: dict[str, Grant] = {}

    @property
    def routes(self) -> Routes:
        """Respond to a request; the faults do not apply to the keys and the sign-in itself."""
        return {
            ("GET", "/keys"): Route(None, lambda request: json_reply(self._issuer.keys), oauth_error),
            ("GET", "/auth"): Route(None, self._authorize, oauth_error),
            ("GET", "/.well-known/openid-configuration"): Route(Service.OIDC, self._discovery, oauth_error, 403),
            ("POST", "/token"): Route(Service.OIDC, self._token, oauth_error),
            ("GET", "/github/token"): Route(Service.OIDC, self._mint, oauth_error, 403),
        }

    def token(self, email: str | None, claims: Mapping[str, Any]) -> str:
        """Return a token of a person; a claim of None is left out."""
        subject = hashlib.sha256((email or "").encode()).hexdigest()[:20]
        person = {"iss": self._url, "sub": subject, "aud": AUDIENCE, "email": email, "email_verified": True}
        return self._signed({**person, **claims})

    def workflow_token(self, claims: Mapping[str, Any]) -> str:
        """Return a token of a workflow of GitHub Actions."""
        start = int(self._settings.clock.timestamp()) - 600
        return self._signed({**_WORKFLOW_CLAIMS, "jti": secrets.token_hex(16), "nbf": start, **claims})

    def _signed(self, claims: Mapping[str, Any]) -> str:
        now = self._settings.clock
        times = {"iat": int(now.timestamp()), "exp": int((now + self._settings.token_lifetime).timestamp())}
        return self._issuer.token({name: value for name, value in {**times, **claims}.items() if value is not None})

    def _discovery(self, request: Request) -> Reply:
        endpoints = {"authorization": "auth", "token": "token"}
        return json_reply(
            {
                "issuer": self._url,
                "jwks_uri": f"{self._url}/keys",
                **{f"{name}_endpoint": f"{self._url}/{path}" for name, path in endpoints.items()},
                "scopes_supported": ["openid", "email", "profile", "offline_access"],
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
                "claims_supported": ["iss", "sub", "aud", "iat", "exp", "email", "email_verified"],
            }
        )

    def _authorize(self, request: Request) -> Reply:
        target = request.argument("redirect_uri")
        if target != OUT_OF_BAND and not _LOOPBACK.fullmatch(target):
            return _page(400, "This redirect_uri is not registered.")
        answer = self._approved(request)
        if target == OUT_OF_BAND:
            return _page(200, answer["code"]) if "code" in answer else _page(403, answer["error"])
        sent = {**answer, "state": request.argument("state")}
        return redirect(302, target + ("&" if "?" in target else "?") + urlencode(sent))

    def _approved(self, request: Request) -> dict[str, str]:
        """Return a new code, or an error of RFC 6749, section 4.1.2.1."""
        person, challenge = self._settings.person, request.argument("code_challenge")
        if request.argument("response_type") != "code":
            return {"error": "unsupported_response_type"}
        if not challenge or request.argument("code_challenge_method") != "S256":
            return {"error": "invalid_request", "error_description": "PKCE with S256 is required"}
        scope = tuple(request.argument("scope").split())
        if "openid" not in scope:
            return {"error": "invalid_scope"}
        if person is None:
            return {"error": "access_denied", "error_description": "nobody signed in"}
        code = secrets.token_urlsafe(16)
        nonce, target = request.argument("nonce"), request.argument("redirect_uri")
        self._codes[code] = Grant(person, request.argument("client_id"), scope, nonce, target, challenge)
        self._settings.count("sign_ins")
        return {"code": code}

    def _token(self, request: Request) -> Reply:
        form = {name: values[0] for name, values in parse_qs(request.body.data.decode("utf-8", "replace")).items()}
        client = self._client(request, form)
        kind = form.get("grant_type", "")
        grants = {"authorization_code": self._redeem, "refresh_token": self._refresh}
        if kind not in grants:
            raise _refused("unsupported_grant_type", f"grant_type {kind!r}")
        grant = grants[kind](form)
        if grant is None or grant.client != client:
            raise _refused("invalid_grant", "The code or token is unknown, used, or not yours.")
        return self._granted(grant)

    def _client(self, request: Request, form: Mapping[str, str]) -> str:
        """Return the name of the client, from HTTP Basic or from the body, if its secret is right."""
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, value = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                client = ""
        wanted = self._settings.client_secret
        if not client or (wanted and wanted not in (secret, unquote_plus(secret))):
            raise Refused(oauth_error(401, "Invalid client credentials.", "invalid_client"))
        return unquote_plus(client)

    def _redeem(self, form: Mapping[str, str]) -> Grant | None:
        """Return the grant of a code (RFC 7636, section 4.6), which is used up even if the verifier is wrong."""
        grant = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if grant and not hmac.compare_digest(challenge, grant.challenge):
            raise _refused("invalid_grant", "Invalid code_verifier.")
        return grant if grant and form.get("redirect_uri") == grant.redirect_uri else None

    def _refresh(self, form: Mapping[str, str]) -> Grant | None:
        """Return the grant of a refresh token, which is used up."""
        grant = self._refresh_tokens.pop(form.get("refresh_token", ""), None)
        return grant if self._settings.refreshes else None

    def _granted(self, grant: Grant) -> Reply:
        token = self.token(grant.person, {"aud": grant.client, "nonce": grant.nonce or None})
        seconds = int(self._settings.token_lifetime.total_seconds())
        answer = {"access_token": token, "id_token": token, "token_type": "bearer", "expires_in": seconds}
        if "offline_access" in grant.scope and self._settings.refreshes:
            answer["refresh_token"] = secrets.token_urlsafe(16)
            self._refresh_tokens[str(answer["refresh_token"])] = grant
        return json_reply(answer, headers={"Cache-Control": "no-store"})

    def _mint(self, request: Request) -> Reply:
        scheme, _, value = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(value.encode(), self.request_token.encode()):
            return json_reply({"message": "Unauthorized"}, 401)
        audience = request.argument("audience", "https://github.com/acme")
        self._settings.count("minted")
        token = self.workflow_token({"aud": audience})
        return json_reply({"count": len(token), "value": token})


def _refused(code: str, message: str) -> Refused:
    return Refused(oauth_error(400, message, code))


def _page(status: int, text: str) -> Reply:
    body = f"{text}\n".encode()
    return Reply(status, {"Content-Type": "text/plain; charset=utf-8"}, [body], len(body))
