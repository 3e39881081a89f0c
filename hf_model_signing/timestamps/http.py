"""One question to a time-stamp authority over HTTP (RFC 3161 section 3.4), with bounds on time and size."""

from __future__ import annotations

import base64
import http.client
import time
import urllib.error
import urllib.request
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit

from hf_model_signing._util.deadline import in_time
from hf_model_signing.errors import HfSignError, UsageError

SOCKET_TIMEOUT = 10.0  # seconds for one step: to connect, or to send or receive anything
DEADLINE = 30.0  # seconds for all of it, also when the authority sends a byte now and then
_GRANTED = (http.HTTPStatus.OK, http.HTTPStatus.CREATED)  # the latter is what Sigstore's own authority answers
_SEQUENCE = b"\x30"  # with which all answers of the protocol begin, in DER
_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"


def post(url: str, query: bytes, *, limit: int) -> bytes:
    """Return the answer of the authority at `url` to `query`: at most `limit` bytes.

    A user name and a password in the URL are sent as basic authentication. Proxies are those of the environment.
    Raises `UsageError` for what is no http or https URL, `HfSignError` when no answer comes that could be a timestamp.
    """
    shown = check_url(url)
    parts = urlsplit(url)
    headers = {"Content-Type": _QUERY, "Accept": _REPLY, "User-Agent": "hf-sign", **_authorization(parts)}
    host = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(parts._replace(netloc=host, fragment="").geturl(), query, headers)  # noqa: S310
    try:
        return in_time(lambda: _exchange(request, shown, limit), DEADLINE)
    except urllib.error.HTTPError as error:
        error.close()
        raise HfSignError(f"the time-stamp authority '{shown}' {_status(error)}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HfSignError(f"the time-stamp authority '{shown}' could not be asked: {_why(error)}") from error


def check_url(url: str) -> str:
    """Return `url` as it may be shown, without user, query and fragment; raises `UsageError` if it is not an URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    plain = url.isascii() and url.isprintable() and " " not in url
    plain = plain and "@" not in parts.path  # a slash in a password ends the host early
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        # Not quoted: there may be a password in it.
        raise UsageError(
            "the URL of the time-stamp authority is not one that starts with http:// or https:// and a host"
        )
    return _shown(parts)


def _shown(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _authorization(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode('ascii')}"}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect ends in the error of its status: following one would turn the question into a GET."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        """Follow nothing."""


def _exchange(request: urllib.request.Request, shown: str, limit: int) -> bytes:
    end = time.monotonic() + DEADLINE
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=SOCKET_TIMEOUT) as answer:
        data = b""
        while piece := answer.read1(limit + 1 - len(data)):
            data += piece
            if len(data) > limit:
                raise HfSignError(f"the time-stamp authority '{shown}' sent more than {limit:,} bytes; a timestamp has "
                                  "a tenth of that")  # fmt: skip
            if time.monotonic() > end:
                raise TimeoutError
        kind = answer.headers.get_content_type()
        # Some authorities do not say what they send; what is no timestamp is noticed when it is read.
        if answer.status not in _GRANTED or (kind != _REPLY and not data.startswith(_SEQUENCE)):
            raise HfSignError(f"the time-stamp authority '{shown}' answered with HTTP status {answer.status} and the "
                              f"content type {kind!a}; expected 200 and '{_REPLY}'")  # fmt: skip
    return data


def _status(error: urllib.error.HTTPError) -> str:
    target = error.headers.get("Location") if 300 <= error.code < 400 else None
    if target is None:
        return f"answered with HTTP status {error.code}"
    try:
        shown = _shown(urlsplit(target))[:200]
    except ValueError:
        shown = "nowhere"
    return f"answered with HTTP status {error.code} and sends to {shown!a}; name that address if you trust it"


def _why(error: BaseException) -> str:
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f"it did not answer in time ({SOCKET_TIMEOUT:g} seconds for one step, {DEADLINE:g} for all)"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return "what it answers is not HTTP"
    return getattr(error, "strerror", None) or str(error)
