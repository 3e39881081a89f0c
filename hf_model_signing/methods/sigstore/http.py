"""HTTP requests to the services of a Sigstore instance: bounds, and sentences for their errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import requests

from hf_model_signing._util import http
from hf_model_signing._util.deadline import in_time
from hf_model_signing._util.http import Bounds, TooLongError, is_cut_off, is_not_http, reason_of
from hf_model_signing._util.text import show
from hf_model_signing.errors import HfSignError, ServiceError

_T = TypeVar("_T")

PATIENCE = 60.0  # seconds for one answer; a log of version 2 needs some seconds to include an entry
# The largest answers, of a log, have some KB, or 200 when it keeps the statement.
BOUNDS = Bounds(connect=10.0, read=30.0, size=16 * 1024 * 1024, total=PATIENCE)
_LONGEST = 400  # characters of a sentence about a service, and of a quotation from it
_SHORTEST_SECRET = 6  # characters; a shorter word may stand in a sentence by chance
# JSON Web Tokens start with a brace in Base64.
_LIKE_TOKENS = r"eyJ[\w-]{5,}(?:\.[\w-]*)*|(?i:bearer) [\w.~+/=-]+"


def bound(session: requests.Session) -> requests.Session:
    """Put the bounds of a Sigstore service on all that `session` asks; returns it."""
    return http.bound(session, BOUNDS)


def ask_service(
    who: str, url: str, *, form: Mapping[str, str] | None = None, login: tuple[str, str] | None = None
) -> dict[str, Any]:
    """Request a JSON object from a service, by GET or by posting a form.

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
    """Return the result of `work`, which asks a service and has `more` seconds than others.

    Raises `ServiceError`, in which `who` names the service. It quotes nothing of the request, and nothing of the answer
    that is one of the `secrets` or looks like a token, because services repeat what they were sent.
    """
    patience = PATIENCE + more
    try:
        return in_time(work, patience)
    except (HfSignError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - an answer can make the libraries below sigstore-python raise anything
        what = _without(secrets, _what_happened(error, patience))
        # From None: a traceback would show the answer of the service.
        raise ServiceError(f"{who} {what}; no signature was written", _said(error)) from None


def _what_happened(error: BaseException, patience: float) -> str:
    found = _http_error(error)
    if found is not None and found.response is not None:
        said = _said(error)
        words = next((said[name] for name in ("message", "error_description", "error") if said.get(name)), "")
        reason = f": {show(str(words))}" if words else ""
        status = found.response.status_code
        busy = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return f"cannot answer now (HTTP {status}{reason}), try again" if busy else f"refused (HTTP {status}{reason})"
    if isinstance(error, TimeoutError):
        return f"did not answer within {patience:.3g} seconds"
    if isinstance(error, requests.Timeout):
        steps = f"{BOUNDS.connect:g} seconds to connect, {BOUNDS.read:g} for each part of an answer"
        return f"did not answer in time ({steps})"
    if isinstance(error, requests.TooManyRedirects):
        return "sends to another address, and nothing is sent there; name that address if you trust it"
    if isinstance(error, TooLongError):
        return "sent more than any answer has"
    if is_cut_off(error):
        return "closed the connection in the middle of an answer"
    if is_not_http(error):
        return "gave an answer that is not HTTP"
    if isinstance(error, requests.ConnectionError):
        return f"cannot be reached ({reason_of(error)})"
    if isinstance(error, requests.JSONDecodeError):
        return "gave an answer that is not JSON"
    if isinstance(error, OSError):
        return f"could not be asked ({reason_of(error)})"
    return f"gave an answer that makes no sense ({type(error).__name__})"


def _http_error(error: BaseException | None) -> requests.HTTPError | None:
    while error is not None:
        if isinstance(error, requests.HTTPError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _said(error: BaseException) -> dict[str, Any]:
    """Return the message in an answer of a service, if that is a JSON object."""
    found = _http_error(error)
    try:
        document = json.loads(found.response.text) if found is not None and found.response is not None else {}
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _without(secrets: Iterable[str], text: str) -> str:
    """Return a text without secrets, shortened to one sentence."""
    known = sorted((secret for secret in secrets if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True)
    return re.sub("|".join((*map(re.escape, known), _LIKE_TOKENS)), "(not shown)", text, flags=re.ASCII)[:_LONGEST]
