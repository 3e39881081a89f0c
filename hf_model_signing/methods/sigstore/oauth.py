"""Signing in as a person: the authorization code flow of OAuth 2.0 with PKCE (RFC 6749, RFC 7636, RFC 8252).

It replaces sigstore-python's own flow, which waits for ever if the browser does not return, uses no refresh token, and
puts the client secret into the URL that the browser opens.
"""

# Why: docs/decisions/004-oauth-flow.md

from __future__ import annotations

import base64
import contextlib
import hashlib
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from hf_model_signing._util.text import show
from hf_model_signing.errors import HfSignError, ServiceError, SignInError, UsageError
from hf_model_signing.methods.sigstore.browser import open_browser, private_page
from hf_model_signing.methods.sigstore.http import ask_service
from hf_model_signing.methods.sigstore.oidc_tokens import Token, TokenSource, parse_token

ONCE_IN = 3600.0  # seconds between two sign-ins of a person
PATIENCE = 120.0  # seconds for a person to sign in in the browser; as cosign

_OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
_CALLBACK = "/auth/callback"
_OTHER_WAYS = "sign with an identity token, or with --oauth-force-oob where there is no browser"
_PAGE = b"<!doctype html><title>hf-sign</title><p>%s You can close this page and go back to hf-sign."


@dataclass(frozen=True)
class Client:
    """The client registration at the issuer; with `out_of_band`, no browser of this machine is used."""

    client_id: str
    secret: str = ""
    out_of_band: bool = False


class SignIn(TokenSource):
    """Tokens of a person who signs in, at most once an hour; a refresh token of the issuer is used in between.

    `issuer` is the URL of the OpenID Connect issuer, which is contacted immediately; `note` receives messages for the
    user. `ask` shows a text and returns the answer of the person; without it, only the browser of this machine can be
    used.
    """

    def __init__(
        self, issuer: str, client: Client, note: Callable[[str], None], ask: Callable[[str], str] | None
    ) -> None:
        self._client, self._note, self._ask = client, note, ask
        self._token: Token | None = None
        self._refresh_token: str | None = None
        self._asked: float | None = None
        self._provider = _Provider.discover(issuer)

    def token(self) -> Token:
        """Return the token while it is valid, or a refreshed one, or that of a new sign-in."""
        if self._token is None or not self._token.lasts():
            self._token = self._renewed() or self._signed_in()
        return self._token

    def ask_again(self) -> None:
        """Allow another sign-in when it is needed, however recent the last one was."""
        self._asked = None

    def _renewed(self) -> Token | None:
        if self._refresh_token is None:
            return None
        try:
            form = {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
            return self._taken(self._provider.exchange(self._client, form))
        except ServiceError as error:
            if not error.said:
                raise  # the issuer did not answer
            self._refresh_token = None  # it was revoked, so the person signs in again
            return None

    def _signed_in(self) -> Token:
        since = None if self._asked is None else _clock() - self._asked
        if since is not None and since < ONCE_IN:
            raise SignInError(
                f"you were asked to sign in {since / 60:.0f} minutes ago, what came of it is good no more, and nobody "
                f"is asked twice an hour: run the command again to sign what is left, or {_OTHER_WAYS}"
            )
        self._asked = _clock()
        return self._taken(_Flow(self._provider, self._client, self._note, self._ask).run())

    def _taken(self, answers: Mapping[str, Any]) -> Token:
        # The issuer of the public instance returns the same token under both names, some private ones only under one.
        text = answers.get("id_token") or answers.get("access_token")
        if not isinstance(text, str):
            raise HfSignError("the issuer gave no identity token after the sign-in; no signature was written")
        refresh = answers.get("refresh_token")
        self._refresh_token = refresh if isinstance(refresh, str) else self._refresh_token
        return parse_token(text, self._client.client_id, "the identity token that the issuer gave")


@dataclass(frozen=True)
class _Provider:
    """The metadata of an issuer (OpenID Connect Discovery 1.0)."""

    url: str
    authorization: str
    tokens: str
    renews: bool

    @classmethod
    def discover(cls, url: str) -> _Provider:
        document = ask_service(
            f"the OpenID Connect issuer at '{url}'", f"{url.rstrip('/')}/.well-known/openid-configuration"
        )
        ends = [document.get(name) for name in ("authorization_endpoint", "token_endpoint")]
        if not all(_is_address(end, url) for end in ends):
            raise HfSignError(
                f"the OpenID Connect issuer at '{url}' names no addresses to sign in at; no signature was written"
            )
        scopes = document.get("scopes_supported")
        return cls(url, str(ends[0]), str(ends[1]), isinstance(scopes, list) and "offline_access" in scopes)

    @property
    def scope(self) -> str:
        return "openid email offline_access" if self.renews else "openid email"

    def exchange(self, client: Client, form: dict[str, str]) -> dict[str, Any]:
        """Return the answer of the token endpoint; raises `HfSignError` with its error message."""
        who = f"the OpenID Connect issuer at '{self.url}'"
        try:
            return ask_service(who, self.tokens, form=form, login=(client.client_id, client.secret))
        except ServiceError as error:
            if error.said.get("error") == "invalid_client":
                raise UsageError(
                    f"{who} does not know the client '{show(client.client_id)}', or its secret is another: check "
                    "--client-id and HF_SIGN_CLIENT_SECRET"
                ) from None
            raise


class _Flow:
    """One sign-in."""

    def __init__(
        self, provider: _Provider, client: Client, note: Callable[[str], None], ask: Callable[[str], str] | None
    ) -> None:
        self._provider, self._client, self._note, self._ask = provider, client, note, ask
        self._verifier, self._state = secrets.token_urlsafe(48), secrets.token_urlsafe(32)

    def run(self) -> dict[str, Any]:
        """Run the sign-in and return the answer of the token endpoint."""
        if not self._client.out_of_band:
            with _Callback(self._state) as callback:
                address = self._address(callback.url)
                self._note(f"opening your browser for you to sign in; if it shows nothing, go to\n\n    {address}\n")
                with private_page(address) as page:
                    if callback.open(page):
                        return self._redeem(self._code(callback), callback.url)
            self._note("there is no browser here to open")
        return self._redeem(self._typed_code(), _OUT_OF_BAND)

    def _address(self, redirect: str) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self._verifier.encode("ascii")).digest())
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "scope": self._provider.scope,
            "redirect_uri": redirect,
            "state": self._state,
            "code_challenge": challenge.rstrip(b"=").decode("ascii"),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(self._provider.authorization).query else "?"
        return f"{self._provider.authorization}{joint}{urlencode(query)}"

    def _code(self, callback: _Callback) -> str:
        values = callback.wait(PATIENCE)
        if values is None:
            raise SignInError(
                f"nobody signed in within {PATIENCE / 60:g} minutes (was the browser closed?), so no signature was "
                f"written: run the command again, or {_OTHER_WAYS}"
            )
        if "code" not in values:
            said = ": ".join(values[name] for name in ("error", "error_description") if name in values)
            raise SignInError(
                f"the sign-in was refused by {self._provider.url} ({show(said) or 'no reason given'}); no signature "
                "was written"
            )
        return values["code"]

    def _typed_code(self) -> str:
        if self._ask is None:
            raise UsageError(
                "there is no browser here to sign in with, and nobody to ask for a code: give an identity token, or a "
                "way to `ask`"
            )
        address = self._address(_OUT_OF_BAND)
        code = self._ask(
            f"Go to the following link in a browser:\n\n    {address}\n\nEnter verification code: "
        ).strip()
        if not code:
            raise SignInError(
                "no verification code was entered, so no signature was written; without a person to ask, sign with "
                "--use-ambient-credentials or --identity-token"
            )
        return code

    def _redeem(self, code: str, redirect: str) -> dict[str, Any]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect}
        return self._provider.exchange(self._client, {**form, "code_verifier": self._verifier})


class _Callback:
    """The local server to which the issuer redirects the browser.

    Only a request with the right `state` counts: any local program, and any page in the browser, can send others.
    """

    def __init__(self, state: str) -> None:
        self._state = state
        self._answers: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="sign-in", daemon=True)

    def __enter__(self) -> _Callback:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The redirect URL; issuers allow native programs `localhost` with any port."""
        return f"http://localhost:{self._server.server_port}{_CALLBACK}"

    def open(self, address: str) -> bool:
        """Open the browser in a thread, because some block until they are closed; return false if there is none."""
        opened: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=lambda: opened.put(open_browser(address)), name="browser", daemon=True).start()
        end = time.monotonic() + PATIENCE
        while self._answers.empty() and time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                return opened.get(timeout=0.05)
        return True

    def wait(self, seconds: float) -> dict[str, str] | None:
        """Return the parameters of the redirect, or None."""
        with contextlib.suppress(queue.Empty):
            return self._answers.get(timeout=seconds)
        return None

    def take(self, path: str) -> tuple[int, bytes]:
        """Handle a request of the browser; return the status and the text of the answer."""
        try:
            parts = urlsplit(path)
        except ValueError:
            return 400, b"That is no address."
        values = {name: texts[0] for name, texts in parse_qs(parts.query).items()}
        if parts.path != _CALLBACK:
            return 404, b"There is nothing here."
        if not secrets.compare_digest(values.get("state", "").encode(), self._state.encode()):
            return 400, b"This answer belongs to another sign-in."
        self._answers.put(values)
        return 200, b"Thank you." if "code" in values else b"You were not signed in."

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self.take

        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0  # seconds; browsers open connections without a request

            def do_GET(self) -> None:
                status, words = take(self.path)
                body = _PAGE % words
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing: the path contains the code."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a closed connection."""


def _is_address(end: object, issuer: str) -> bool:
    """Return true for a usable URL of an issuer; an issuer with https must not refer to http."""
    if not isinstance(end, str) or not (end.isascii() and end.isprintable()) or set(' "<>\\^`{|}') & set(end):
        return False
    try:
        parts = urlsplit(end)
        _ = parts.port
    except ValueError:
        return False
    schemes = ("https",) if issuer.startswith("https:") else ("http", "https")
    return parts.scheme in schemes and bool(parts.hostname)


def _clock() -> float:
    return time.monotonic()
