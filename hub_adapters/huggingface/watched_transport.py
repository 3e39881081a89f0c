"""Deadlines for the requests of `huggingface_hub`, below the client, so that they hold for each of its attempts.

The client's own transport has no timeout, and a timeout of its HTTP library is one for a single step. The wrapper works
with both HTTP libraries that releases of the client use.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from hub_adapters.errors import TransferError
from hub_adapters.http.patience import Patience
from hub_adapters.http.urls import host_of
from hub_adapters.http.watch import SlowError, Watch
from hub_adapters.huggingface._compat import has_transports, http_library, watch_connections, wrap_transports
from hub_adapters.huggingface.transfer_errors import describe
from hub_adapters.huggingface.watched_streams import WatchedBackend, watched_timeouts

_EVENTS = "text/event-stream"
_BUSY = 429  # it and 500 and more: the client repeats the request


class Care(NamedTuple):
    """The care for one request: the patience of its call, and whether its answer is a document and not a file."""

    patience: Patience | None = None
    is_document: bool = False


def watch_requests(client: Any, care_for: Callable[[Any], Care | None]) -> None:  # noqa: ANN401 - a client of either HTTP library
    """Put deadlines on the requests of the client for which `care_for` returns a care."""
    if has_transports(client):
        wrap_transports(client, lambda transport: _WatchedTransport(transport, care_for))


class _WatchedTransport:
    def __init__(self, transport: Any, care_for: Callable[[Any], Care | None]) -> None:  # noqa: ANN401
        self._transport, self._care_for = transport, care_for
        # A transport of the program's own may have no connections that can be watched: then the pieces are counted.
        self._sees_all = watch_connections(transport, WatchedBackend)

    def handle_request(self, request: Any) -> Any:  # noqa: ANN401 - of either HTTP library
        care = self._care_for(request)
        if care is None:
            return self._transport.handle_request(request)
        exchange = _Exchange(request, care)
        before = request.extensions
        request.extensions = {**before, "timeout": exchange.timeouts}
        try:
            with exchange.failing():
                response = self._transport.handle_request(request)
        finally:
            request.extensions = before
        try:
            exchange.begin_body(response)
        except TransferError:
            response.close()
            raise
        response.stream = _body_class()(response.stream, exchange, counts=not self._sees_all)
        return response

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> _WatchedTransport:
        self._transport.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._transport.__exit__(*error)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the transport
        return getattr(self._transport, name)


class _Exchange:
    """One request and its answer."""

    def __init__(self, request: Any, care: Care) -> None:  # noqa: ANN401 - of either HTTP library
        from huggingface_hub import constants

        asked = request.extensions.get("timeout") or {}
        # The user's own setting; the client applies it to downloads only.
        longest = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
        self._request, self._care = request, care
        self.watch = Watch(host_of(str(request.url)), asked=asked.get("read"), longest=longest)
        self.timeouts = watched_timeouts(self.watch, asked)
        self._is_answered = False

    def begin_body(self, response: Any) -> None:  # noqa: ANN401 - of either HTTP library
        """Note the header of the answer; raises `TransferError` for too many redirects."""
        self._is_answered = response.status_code < _BUSY
        if self._care.patience:
            self._care.patience.follow(self.watch.host, is_redirect=response.is_redirect)
        kind = response.headers.get("Content-Type", "")
        if self._care.patience is None and kind.startswith(_EVENTS):
            self.watch.release()
        else:
            self.watch.begin_body(is_document=self._care.is_document)

    def complete(self) -> None:
        """Note that all of the answer is here; raises `TransferError` after too many slow ones."""
        self._count_document()
        if self._care.patience and self._is_answered:
            self._care.patience.progress()

    def _count_document(self) -> None:
        if self._care.patience and self._care.is_document:
            self._care.patience.wait_for_document(self.watch.host, self.watch.spent())

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Raise an error of the block with a sentence that names the host and says what it did.

        It is an error of the HTTP library, which the client may answer with another attempt or with what the cache
        has; and `TransferError`, which it does not catch, once the patience of the call is exhausted.
        """
        library = http_library()
        try:
            yield
        except SlowError:
            kind, sentence = library.ReadTimeout, self.watch.complaint()
        except (library.ConnectTimeout, library.ReadTimeout, library.WriteTimeout) as error:
            kind, sentence = type(error), self.watch.complaint()
        except (library.NetworkError, library.RemoteProtocolError) as error:
            kind, sentence = type(error), describe(error, self.watch.host)
        else:
            return
        final = self._lose()
        if final:
            raise TransferError(f"{sentence}; {final}") from None
        raise kind(sentence, request=self._request) from TransferError(sentence)

    def _lose(self) -> str:
        """Count the failure; return a description of all if there were too many."""
        patience, watch = self._care.patience, self.watch
        if patience is None:
            return ""
        self._count_document()
        if watch.has_progress:
            patience.progress()
        return patience.fail(watch.lost())


class _Body:
    """The body of an answer; the pieces are counted if its connection is not watched."""

    def __init__(self, stream: Any, exchange: _Exchange, *, counts: bool) -> None:  # noqa: ANN401 - of either HTTP library
        self._stream, self._exchange, self._counts = stream, exchange, counts

    def __iter__(self) -> Iterator[bytes]:
        with self._exchange.failing():
            yield from self._counted() if self._counts else self._stream
        self._exchange.complete()

    def _counted(self) -> Iterable[bytes]:
        pieces = iter(self._stream)
        while True:
            started = time.monotonic()
            piece = next(pieces, None)
            if piece is None:
                return
            self._exchange.watch.count(len(piece), time.monotonic() - started)
            yield piece

    def close(self) -> None:
        self._stream.close()


@lru_cache(maxsize=1)
def _body_class() -> type[Any]:
    """Return the class of bodies: the HTTP library accepts only subclasses of its own."""
    return type("_WatchedBody", (_Body, http_library().SyncByteStream), {})
