"""One request to a time-stamp authority over HTTP (RFC 3161 section 3.4), with bounds on time and size."""

from __future__ import annotations

import base64
import http.client
import ssl
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from hf_model_signing._util.deadline import in_time
from hf_model_signing.errors import HfSignError, UsageError

if TYPE_CHECKING:
    import requests

SOCKET_TIMEOUT = 10.0  # seconds for one step: to connect, or to send or receive anything
DEADLINE = 30.0  # seconds for all of it, also when the authority sends a byte now and then
_GRANTED = (http.HTTPStatus.OK, http.HTTPStatus.CREATED)  # Sigstore's own authority answers with the latter
_SEQUENCE = b"\x30"  # the first byte of all answers of the protocol, in DER
_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"


def post(url: str, query: bytes, *, limit: int) -> bytes:
    """Return the answer of the authority at `url` to `query`: at most `limit` bytes.

    A user name and a password in the URL are sent as basic authentication. Proxies are those of the environment.
    Raises `UsageError` if `url` is not an http or https URL, `HfSignError` if no answer comes that could be a
    timestamp.
    """
    from hf_model_signing._util.http import TooLongError  # late: only signing with a timestamp needs it

    shown = check_url(url)
    try:
        response = in_time(lambda: _exchange(url, query, limit), DEADLINE)
    except TooLongError as error:
        raise HfSignError(
            f"the time-stamp authority '{shown}' sent more than {limit:,} bytes; a timestamp has a tenth of that"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HfSignError(f"the time-stamp authority '{shown}' could not be asked: {_why(error)}") from error
    return _granted(response, shown)


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


def _exchange(url: str, query: bytes, limit: int) -> requests.Response:
    """Send the query, and receive the whole answer; following a redirect would turn the query into a GET."""
    import requests

    from hf_model_signing._util.http import Bounds, bound

    parts = urlsplit(url)
    target = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    headers = {"Content-Type": _QUERY, "Accept": _REPLY, "Accept-Encoding": "identity", "User-Agent": "hf-sign"}
    with bound(requests.Session(), Bounds(SOCKET_TIMEOUT, SOCKET_TIMEOUT, limit, DEADLINE)) as session:
        # The certificates of the system, not those of `requests`: an authority inside of an organisation may need them.
        paths = ssl.get_default_verify_paths()
        system = paths.cafile or paths.capath or True
        try:
            return session.post(target, data=query, headers={**headers, **_authorization(parts)}, verify=system)
        except requests.TooManyRedirects as error:  # the first one is one too many
            if error.response is None:
                raise
            return error.response


def _granted(response: requests.Response, shown: str) -> bytes:
    """Return the body of an answer that could be a timestamp; raises `HfSignError` for any other."""
    if not response.ok or 300 <= response.status_code < 400:
        raise HfSignError(f"the time-stamp authority '{shown}' {_status(response)}")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower() or "text/plain"
    # Some authorities do not say what they send; what is not a timestamp is noticed when it is parsed.
    if response.status_code not in _GRANTED or (kind != _REPLY and not response.content.startswith(_SEQUENCE)):
        raise HfSignError(
            f"the time-stamp authority '{shown}' answered with HTTP status {response.status_code} and the content type "
            f"{kind!a}; expected 200 and '{_REPLY}'"
        )
    return response.content


def _status(response: requests.Response) -> str:
    target = response.headers.get("Location") if 300 <= response.status_code < 400 else None
    if target is None:
        return f"answered with HTTP status {response.status_code}"
    try:
        shown = _shown(urlsplit(target))[:200]
    except ValueError:
        shown = "nowhere"
    return f"answered with HTTP status {response.status_code} and sends to {shown!a}; name that address if you trust it"


def _why(error: BaseException) -> str:
    import requests

    from hf_model_signing._util.http import causes, is_cut_off, is_not_http, reason_of

    if isinstance(error, requests.Timeout) or any(isinstance(each, TimeoutError) for each in causes(error)):
        return f"it did not answer in time ({SOCKET_TIMEOUT:g} seconds for one step, {DEADLINE:g} for all)"
    if is_cut_off(error):
        return "it closed the connection in the middle of an answer"
    if is_not_http(error):
        return "what it answers is not HTTP"
    return reason_of(error)
