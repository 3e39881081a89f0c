"""Checks of the answers of a hub, before `huggingface_hub` acts on them.

The client makes file names of headers (the ETag becomes a path in `blobs/`, the commit one in `snapshots/`), so a
malicious hub could write outside of the cache. It also follows pages to any host, with the token. The checks are hooks
of the HTTP client that all of `huggingface_hub` shares; they act only on requests that this package makes.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import urljoin

from hub_adapters._util.marks import Mark
from hub_adapters.errors import DishonestError, UnavailableError
from hub_adapters.http.patience import current_patience, patiently
from hub_adapters.http.rate_budget import Budget
from hub_adapters.huggingface._compat import client_factory, wrap_storage_sessions
from hub_adapters.huggingface.answer_bounds import api_path, ask_for_bounded_encoding, bound_answer
from hub_adapters.huggingface.client_locks import limit_waits
from hub_adapters.huggingface.kept_listings import bound_kept_listings
from hub_adapters.huggingface.pacing import Pacing, check_pause, pace
from hub_adapters.huggingface.trusted_publishing import is_exchange_url, is_id_token_url, may_carry, origin
from hub_adapters.huggingface.watched_storage import WatchedSession
from hub_adapters.huggingface.watched_transport import Care, watch_requests

_COMMIT = re.compile(r"[0-9a-f]{40}")
# Usually a digest; it must not lead to another directory.
_ETAG = re.compile(r'(?:W/)?"?(?!\.+"?$)[\w.+=-]{1,128}"?', re.ASCII)
_MOST_ANSWERS = 5_000  # to one call: a listing of half a million entries has 500 pages
_HUBS = ("https://huggingface.co", "https://hf.co")

_install_lock = threading.RLock()  # a signal handler may make a request while it is held
_watched: list[Callable[[], bool]] = []  # none or one


class _Expected(NamedTuple):
    endpoint: str
    commit: str | None
    size: int | None
    stopped: threading.Event | None
    budget: Budget | None
    answers: Iterator[int]


_expected = Mark[_Expected]("hf_sign_expected")


@contextlib.contextmanager
def checked(
    endpoint: str,
    *,
    commit: str | None = None,
    size: int | None = None,
    stopped: threading.Event | None = None,
    budget: Budget | None = None,
) -> Iterator[None]:
    """Check the answers to this thread: for one file, the commit and the size in bytes that the hub lists for it.

    Once `stopped` is set, the thread makes no further request. Its requests to the hub itself keep to the `budget`.
    """
    _install()
    with _expected.set(_Expected(endpoint, commit, size, stopped, budget, count(1))), patiently(renew=True):
        yield


@contextlib.contextmanager
def checked_at_least(endpoint: str, budget: Budget | None = None) -> Iterator[None]:
    """Check the answers to this thread; inside of `checked`, its expectations stay."""
    if _expected.get():
        yield
        return
    with checked(endpoint, budget=budget):
        yield


def watch_while(is_on: Callable[[], bool]) -> None:
    """Put deadlines and bounds on what the program itself asks of a hub, too, while `is_on` returns True."""
    _watched[:] = [is_on]
    _install()


def _is_watched() -> bool:
    return any(is_on() for is_on in _watched)


def is_checked() -> bool:
    """Return True while this thread makes requests for this package, and not for the program."""
    return _expected.get() is not None


def _install() -> None:
    """Put the hooks into the shared client, again if a program has set one of its own since."""
    from huggingface_hub import set_client_factory

    with _install_lock:
        bound_kept_listings()
        limit_waits()
        wrap_storage_sessions(WatchedSession)
        factory = client_factory()
        if getattr(factory, "__module__", None) == __name__:
            return

        def hooked() -> Any:  # noqa: ANN401 - a client of either HTTP library
            client = factory()
            hooks = client.event_hooks
            client.event_hooks = {
                "request": [*hooks["request"], _check_request],
                "response": [*hooks["response"], _check_response],
            }
            watch_requests(client, _care_for)
            pace(client, _pacing)  # outside of it: waiting for the budget is not the fault of a server
            return client

        set_client_factory(hooked)


def _pacing() -> Pacing | None:
    """Return the pacing of the requests of this thread; None without a budget."""
    expected = _expected.get()
    if expected is None or expected.budget is None:
        return None
    return Pacing(expected.budget, expected.endpoint, expected.stopped)


def _care_for(request: Any) -> Care | None:  # noqa: ANN401 - a request of either HTTP library
    """Return the care for a request of this thread; None for one of the program that is no part of a load."""
    expected, patience = _expected.get(), current_patience()
    if expected is not None:
        return Care(patience, bool(api_path(str(request.url), (expected.endpoint, *_HUBS))))
    if patience is not None or (request.method in ("GET", "HEAD") and _is_watched()):
        return Care(patience)
    return None


def _check_request(request: Any) -> None:  # noqa: ANN401 - a request of either HTTP library
    expected = _expected.get()
    if expected or _is_watched():
        ask_for_bounded_encoding(request)
    if expected and expected.stopped and expected.stopped.is_set():
        raise UnavailableError("stopped")
    authorization = request.headers.get("authorization", "")
    if expected and not may_carry(str(request.url), authorization, {origin(u) for u in (expected.endpoint, *_HUBS)}):
        request.headers.pop("authorization", None)  # the token is for the hub alone


def _check_response(response: Any) -> None:  # noqa: ANN401 - a response of either HTTP library
    expected = _expected.get()
    if not expected:
        if _is_watched():
            bound_answer(response)
        return
    bound_answer(response, (expected.endpoint, *_HUBS))
    if is_id_token_url(str(response.request.url)):
        return  # not an answer of the hub; the client may need a new token in the middle of a download
    if is_exchange_url(str(response.request.url)) and response.is_redirect:
        raise DishonestError("the hub sends the proof of this job to another address, and it is not sent there")
    if expected.budget is None:  # which makes the pauses itself
        check_pause(response, current_patience())
    if next(expected.answers) > _MOST_ANSWERS:
        raise DishonestError(f"the hub gives one answer in more than {_MOST_ANSWERS:,} parts")
    commit, size = expected.commit, expected.size
    named = response.headers.get("X-Repo-Commit")
    if named is not None and not (_COMMIT.fullmatch(named) if commit is None else named == commit):
        raise DishonestError(f"the hub answers with another commit than was asked for: {named!a}")
    if response.request.method == "HEAD" and not _is_followed(response):
        _check_file(response, size)
    is_document = bool(api_path(str(response.request.url), (expected.endpoint, *_HUBS)))  # or a token for the storage
    length = response.headers.get("Content-Length", "")
    whole = response.request.method == "GET" and response.status_code == 200 and not is_document
    if size is not None and whole and length.isdecimal() and "Content-Encoding" not in response.headers:
        _check_size(int(length), size)


def _check_file(response: Any, size: int | None) -> None:  # noqa: ANN401 - a response of either HTTP library
    etag = response.headers.get("X-Linked-ETag") or response.headers.get("ETag")
    if response.status_code < 400 and etag is not None and not _ETAG.fullmatch(etag):
        raise DishonestError(f"the hub identifies a file by something that is no identifier: {etag!a}")
    linked = response.headers.get("X-Linked-Size", "")
    if size is not None and linked.isdecimal():
        _check_size(int(linked), size)


def _check_size(found: int, listed: int) -> None:
    if found != listed:
        raise DishonestError(f"the hub sends a file of {found:,} bytes and lists it with {listed:,}")


def _is_followed(response: Any) -> bool:  # noqa: ANN401 - a response of either HTTP library
    """Return whether the client follows this redirect; then the checks are for the answer of its target."""
    target, here = response.headers.get("Location"), str(response.request.url)
    return response.is_redirect and target is not None and origin(urljoin(here, target)) == origin(here)
