"""Bounds on what the services of a Sigstore instance can do to us over HTTP, and what went wrong there in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter

from hf_model_signing.deadline import in_time
from hf_model_signing.errors import HfSignError
from hf_model_signing.manifest import show

_T = TypeVar("_T")

PATIENCE = 60.0  # seconds for one answer; a log of version 2 answers once the entry is in, which takes some seconds
_STEP = (10.0, 30.0)  # seconds to connect, and from one piece of an answer to the next
_MAX_ANSWER = 16 * 1024 * 1024  # bytes; the largest, of a log, have some KB, or 200 when it keeps the statement
_LONGEST = 300  # characters of what a service says that are quoted


class ServiceError(HfSignError):
    """A service did not do what it was asked; `said` is what it answered, if that was a JSON object."""

    def __init__(self, message: str, said: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.said = said


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
    """Put the bounds on all that `session` asks; returns it."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, BoundedAdapter())
    return session


def ask_service(
    who: str, url: str, *, form: Mapping[str, str] | None = None, login: tuple[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object that a service answers to a question, or to a form that is posted to it.

    Raises `ServiceError`, in which `who` names the service.
    """

    def ask() -> dict[str, Any]:
        with bound(requests.Session()) as session:
            if form is None:
                response = session.get(url)
            else:
                response = session.post(url, data=form, auth=login, allow_redirects=False)
            response.raise_for_status()
            document = response.json()
        if not isinstance(document, dict):
            raise ValueError("it is not an object")
        return document

    return with_service(who, ask)


def with_service(who: str, work: Callable[[], _T], more: float = 0) -> _T:
    """The result of `work`, which asks a service and gets some `more` seconds than others for it.

    Raises `ServiceError`, in which `who` names the service. Nothing of a request is quoted, as a token may be in it.
    """
    patience = PATIENCE + more
    try:
        return in_time(work, patience)
    except HfSignError:
        raise
    except Exception as error:  # sigstore-python lets through whatever an answer makes the libraries raise
        raise ServiceError(
            f"{who} {_what_happened(error, patience)}; no signature was written", _said(error)
        ) from error


def _what_happened(error: BaseException, patience: float) -> str:
    http = _http_error(error)
    if http is not None and http.response is not None:
        said = _said(error)
        words = next((said[name] for name in ("message", "error_description", "error") if said.get(name)), "")
        reason = f": {show(str(words))[:_LONGEST]}" if words else ""
        status = http.response.status_code
        busy = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return f"cannot answer now (HTTP {status}{reason}), try again" if busy else f"refused (HTTP {status}{reason})"
    if isinstance(error, TimeoutError):
        return f"did not answer within {patience:g} seconds"
    if isinstance(error, requests.Timeout):
        return f"did not answer in time ({_STEP[0]:g} seconds to connect, {_STEP[1]:g} for each part of an answer)"
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
