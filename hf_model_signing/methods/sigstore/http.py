"""Bounds on what the services of a Sigstore instance can do to us over HTTP, and what went wrong there in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter

from hf_model_signing._util.deadline import in_time
from hf_model_signing._util.text import show
from hf_model_signing.errors import HfSignError, ServiceError

_T = TypeVar("_T")

PATIENCE = 60.0  # seconds for one answer; a log of version 2 answers once the entry is in, which takes some seconds
_STEP = (10.0, 30.0)  # seconds to connect, and from one piece of an answer to the next
_MAX_ANSWER = 16 * 1024 * 1024  # bytes; the largest, of a log, have some KB, or 200 when it keeps the statement
_LONGEST = 400  # characters of what is said of a service, and of what it says itself
_SHORTEST_SECRET = 6  # characters; a shorter word may stand in a sentence by chance
# JSON Web Tokens start with a brace in Base64.
_LIKE_TOKENS = r"eyJ[\w-]{5,}(?:\.[\w-]*)*|(?i:bearer) [\w.~+/=-]+"


class BoundedAdapter(HTTPAdapter):
    """Gives every request a timeout, and every answer a largest size; sigstore-python has neither."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Send as the base class does, within the bounds."""
        kwargs["timeout"] = kwargs.get("timeout") or _STEP
        response = super().send(request, *args, **kwargs)
        response.raw = _Bounded(response.raw)
        return response


class _Bounded:
    """The body of an answer up to a limit."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - whichever class of urllib3
        self._raw, self._left = raw, _MAX_ANSWER

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._raw, name)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:  # noqa: ANN401
        """The pieces; what comes after the limit is not read."""
        for piece in self._raw.stream(*args, **kwargs):
            self._left -= len(piece)
            if self._left < 0:
                raise _TooLongError
            yield piece


class _TooLongError(requests.RequestException):
    """An answer has more bytes than any that makes sense."""


def bound(session: requests.Session) -> requests.Session:
    """Put the bounds on all that `session` asks, and have it send nothing anywhere else; returns it."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, BoundedAdapter())
    session.max_redirects = 0
    session.auth = _as_it_is
    return session


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Log in as the request says: without this, ~/.netrc would replace what is in it."""
    return request


def ask_service(
    who: str, url: str, *, form: Mapping[str, str] | None = None, login: tuple[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object that a service answers to a question, or to a form that is posted to it.

    Raises `ServiceError`, in which `who` names the service.
    """

    def ask() -> dict[str, Any]:
        with bound(requests.Session()) as session:
            response = session.get(url) if form is None else session.post(url, data=form, auth=login)
            response.raise_for_status()
            document = response.json()
        if not isinstance(document, dict):
            raise ValueError("it is not an object")
        return document

    return with_service(who, ask, secrets=(*(form or {}).values(), *(login or ())))


def with_service(who: str, work: Callable[[], _T], *, more: float = 0, secrets: Iterable[str] = ()) -> _T:
    """The result of `work`, which asks a service and has some `more` seconds than others for it.

    Raises `ServiceError`, in which `who` names the service. Nothing of a request is quoted, and of what the service
    says nothing that is one of the `secrets` or looks like a token: services repeat what they were sent.
    """
    patience = PATIENCE + more
    try:
        return in_time(work, patience)
    except HfSignError:
        raise
    except Exception as error:  # noqa: BLE001 - sigstore-python lets through whatever an answer makes libraries raise
        what = _without(secrets, _what_happened(error, patience))
        # From None: a traceback would show what the service said.
        raise ServiceError(f"{who} {what}; no signature was written", _said(error)) from None


def _what_happened(error: BaseException, patience: float) -> str:
    http = _http_error(error)
    if http is not None and http.response is not None:
        said = _said(error)
        words = next((said[name] for name in ("message", "error_description", "error") if said.get(name)), "")
        reason = f": {show(str(words))}" if words else ""
        status = http.response.status_code
        busy = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return f"cannot answer now (HTTP {status}{reason}), try again" if busy else f"refused (HTTP {status}{reason})"
    if isinstance(error, TimeoutError):
        return f"did not answer within {patience:g} seconds"
    if isinstance(error, requests.Timeout):
        return f"did not answer in time ({_STEP[0]:g} seconds to connect, {_STEP[1]:g} for each part of an answer)"
    if isinstance(error, requests.TooManyRedirects):
        return "sends to another address, and nothing is sent there; name that address if you trust it"
    if isinstance(error, _TooLongError):
        return "sent more than any answer has"
    if isinstance(error, requests.ConnectionError):
        return f"cannot be reached ({_root_of(error)})"
    if isinstance(error, requests.JSONDecodeError):
        return "gave an answer that is not JSON"
    if isinstance(error, OSError):
        return f"could not be asked ({_root_of(error)})"
    return f"gave an answer that makes no sense ({type(error).__name__})"


def _http_error(error: BaseException | None) -> requests.HTTPError | None:
    while error is not None:
        if isinstance(error, requests.HTTPError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _said(error: BaseException) -> dict[str, Any]:
    """What a service answered, if it was a JSON object."""
    http = _http_error(error)
    try:
        document = json.loads(http.response.text) if http is not None and http.response is not None else {}
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _root_of(error: BaseException) -> str:
    """The error of the operating system at the bottom of what the libraries wrap around it."""
    seen: list[BaseException] = [error]
    for each in seen:
        inner = (*each.args, getattr(each, "reason", None), each.__cause__, each.__context__)
        seen += [item for item in inner if isinstance(item, BaseException) and item not in seen]
    found = [each.strerror for each in seen if isinstance(each, OSError) and each.strerror]
    return show((found[-1] if found else str(seen[-1]))[:_LONGEST] or type(seen[-1]).__name__)


def _without(secrets: Iterable[str], text: str) -> str:
    """A text without secrets, and no longer than a sentence may be."""
    known = sorted((secret for secret in secrets if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True)
    return re.sub("|".join((*map(re.escape, known), _LIKE_TOKENS)), "(not shown)", text, flags=re.ASCII)[:_LONGEST]
