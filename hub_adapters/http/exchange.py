"""One HTTP request and its response in pieces, with limits on the total time and the speed."""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping

import requests
import urllib3

from hub_adapters import deadlines
from hub_adapters._util.text import one_line
from hub_adapters.errors import HubError, UnavailableError
from hub_adapters.http.urls import follow, host_of, shown

_logger = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_AHEAD = 16  # pieces in the queue
_REDIRECTS = 10
_MOVED = (301, 302, 303, 307, 308)


class BrokenError(Exception):
    """The exchange failed, and another attempt may succeed; `pause` is the server's `Retry-After` in seconds."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(one_line(why))
        self.pause = pause


class Exchange:
    """A request to `address` in a thread of its own: a socket has only timeouts for single operations.

    Raises `BrokenError` for failures that another attempt may not have, and `HubError` for all others.
    """

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self._address, self._sent = address, headers
        self._items: queue.Queue[requests.Response | bytes | BaseException | None] = queue.Queue(_AHEAD)
        self._given_up = threading.Event()
        threading.Thread(target=self._run, name="exchange", daemon=True).start()
        try:
            self.response = self._answer()
        except BaseException:
            self._given_up.set()
            raise

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *error: object) -> None:
        self._given_up.set()

    def pieces(self) -> Iterator[bytes]:
        """Yield the body in pieces; raises `BrokenError` when it is too slow."""
        limits, since, count = deadlines.DEADLINES, time.monotonic(), 0
        while True:
            try:
                item = self._items.get(timeout=max(since + limits.window - time.monotonic(), 0))
            except queue.Empty:
                item = b""  # the window has ended; its bytes are checked below
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, bytes) and item:
                count += len(item)
                yield item
            if time.monotonic() - since >= limits.window:
                if count < limits.slowest:
                    raise BrokenError("it comes too slowly")
                since, count = time.monotonic(), 0

    def _answer(self) -> requests.Response:
        try:
            item = self._items.get(timeout=deadlines.DEADLINES.answer)  # redirects included
        except queue.Empty:
            raise BrokenError(f"'{host_of(self._address)}' did not answer in time") from None
        if isinstance(item, BaseException):
            raise item
        if not isinstance(item, requests.Response):
            raise TypeError("a body came before its answer")
        return item

    def _run(self) -> None:
        try:
            with _Session() as session, contextlib.closing(self._follow(session)) as response:
                self._put(response)
                while not self._given_up.is_set() and (piece := response.raw.read1(_CHUNK, decode_content=False)):
                    self._put(piece)
            self._put(None)
        except (urllib3.exceptions.HTTPError, TimeoutError, ConnectionError) as error:
            self._put(BrokenError(why(error)))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._put(error)

    def _put(self, item: requests.Response | bytes | BaseException | None) -> None:
        while not self._given_up.is_set():
            try:
                return self._items.put(item, timeout=0.2)
            except queue.Full:
                continue

    def _follow(self, session: requests.Session) -> requests.Response:
        """Follow redirects and return the last response."""
        url = self._address
        for _ in range(_REDIRECTS + 1):
            response = self._ask(session, url)
            location = response.headers.get("Location")
            if response.status_code not in _MOVED or location is None:
                return response
            response.close()
            url = follow(url, location)
        raise UnavailableError(f"'{shown(self._address)}' redirects from URL to URL without end")

    def _ask(self, session: requests.Session, url: str) -> requests.Response:
        _logger.debug("requesting %s", shown(url))
        failed: HubError | BrokenError
        try:
            timeout = (deadlines.DEADLINES.connect, deadlines.DEADLINES.silence)
            return session.get(url, headers=dict(self._sent), stream=True, allow_redirects=False, timeout=timeout)
        except (requests.exceptions.ConnectionError, requests.Timeout) as error:
            failed = _failure(url, error)
        except (requests.RequestException, OSError, ValueError, TypeError, AttributeError) as error:
            # For example a missing CA bundle or an invalid proxy: another attempt would fail as well.
            failed = UnavailableError(f"cannot ask '{shown(url)}': {why(error)}")
        raise failed  # outside of the handler: the errors of the libraries quote URLs with their secrets


class _Session(requests.Session):
    """A session without redirects, which `Exchange` follows: requests would read their whole body into memory."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


def _failure(url: str, error: requests.RequestException) -> HubError | BrokenError:
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return UnavailableError(f"TLS certificate verification failed for '{host_of(url)}': {why(error)}")
    if isinstance(error, requests.exceptions.ProxyError):
        return BrokenError(f"cannot reach '{host_of(url)}' through the proxy that the environment names: {why(error)}")
    return BrokenError(f"cannot reach '{host_of(url)}': {why(error)}")


def why(error: BaseException) -> str:
    """Return the innermost cause of an error of the libraries, in words for the user."""
    *_, cause = _causes(error)
    if isinstance(cause, TimeoutError) or "timed out" in str(cause).lower():
        return "it did not answer in time"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    if isinstance(cause, (urllib3.exceptions.HTTPError, ValueError)) or type(cause).__module__ == "http.client":
        return "the connection was closed" if "IncompleteRead" in repr(error) else "what it sends is not HTTP"
    text = getattr(cause, "strerror", None) or _plain(str(cause))
    return str(text)[:300]


def _causes(error: BaseException) -> Iterator[BaseException]:
    for _ in range(10):
        yield error
        found = [getattr(error, "reason", None), *error.args[::-1], error.__cause__, error.__context__]
        inner = next((each for each in found if isinstance(each, BaseException) and each is not error), None)
        if inner is None:
            return
        error = inner


def _plain(text: str) -> str:
    # Messages of the libraries start with the repr of an object, and end with a line of their source.
    text = re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>:? ?|HTTPS?Connection(Pool)?\([^)]*\):? ?", "", text)
    return re.sub(r" \(_\w+\.c:\d+\)$", "", text)
