"""The requests of `huggingface_hub` keep to a budget, below the client, so that its threads do not each wait alone.

Only transports know of every request, of redirects and repeated ones as well. What wraps them here needs no more of the
HTTP library than the client does, which changed its library between releases.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from hub_adapters.errors import UnavailableError
from hub_adapters.http.rate_budget import LONGEST, Budget, Ticket, bucket_of
from hub_adapters.huggingface._compat import has_transports, http_error, wrap_transports
from hub_adapters.huggingface.trusted_publishing import origin

_LONGEST_TRY = 3600.0  # seconds for one request, with all its repetitions
_MOST_READ = 1 << 16  # bytes of a refusal, so that its connection serves again

_logger = logging.getLogger(__name__)


class Pacing(NamedTuple):
    """What the requests of a thread keep to, at which hub; none goes once `stopped` is set."""

    budget: Budget
    endpoint: str
    stopped: threading.Event | None


def pace(client: Any, current: Callable[[], Pacing | None]) -> None:  # noqa: ANN401 - a client of whichever HTTP library
    """Let each request of the client keep to what is `current` in its thread; proxies are mounted transports."""
    if not has_transports(client):
        _logger.info("the HTTP client is not one that can keep to the hub's rate limits")
        return
    wrap_transports(client, lambda transport: _PacedTransport(transport, current))


class _PacedTransport:
    def __init__(self, transport: Any, current: Callable[[], Pacing | None]) -> None:  # noqa: ANN401
        self._transport = transport
        self._current = current

    def handle_request(self, request: Any) -> Any:  # noqa: ANN401 - of whichever HTTP library
        pacing = self._current()
        if pacing is None or origin(str(request.url)) != origin(pacing.endpoint):
            return self._transport.handle_request(request)
        return self._paced(request, pacing)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> _PacedTransport:
        self._transport.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._transport.__exit__(*error)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has besides
        return getattr(self._transport, name)

    def _paced(self, request: Any, pacing: Pacing) -> Any:  # noqa: ANN401
        """Send a request, again and again while the hub refuses it for its rate."""
        budget = pacing.budget
        bucket = bucket_of(urlsplit(str(request.url)).path.removeprefix(urlsplit(pacing.endpoint).path))
        until = budget.clock() + _LONGEST_TRY
        while True:
            ticket = budget.acquire(bucket, pacing.stopped, until=until)
            response = self._sent(request, budget, ticket)
            asked = budget.learn(ticket, response.status_code, response.headers)
            if asked is None or not _may_repeat(request, response.status_code):
                return response
            _give_back(response)
            _logger.info("the hub answers HTTP %s, and asks to wait %.0f s", response.status_code, asked)
            if asked > LONGEST:  # were it returned, the client would sleep that long, and ask again
                wait = f"try again in {asked:.0f} seconds"
                raise UnavailableError(f"{pacing.endpoint} limits the rate of requests: {wait}")

    def _sent(self, request: Any, budget: Budget, ticket: Ticket) -> Any:  # noqa: ANN401
        try:
            return self._transport.handle_request(request)
        except BaseException:
            budget.forget(ticket)
            raise


def _may_repeat(request: Any, status: int) -> bool:  # noqa: ANN401
    """Whether the whole body is at hand, and sending it twice does nothing twice."""
    if status == 503 and request.method == "POST" and "create_pr" in str(request.url):
        return False  # it may have been done, and would make another pull request
    try:
        return isinstance(request.content, bytes)
    except RuntimeError:  # how the HTTP library says that it is a stream
        return False


def _give_back(response: Any) -> None:  # noqa: ANN401
    """Read a refusal, so that its connection can serve again, or close it if it is long or broken."""
    read = 0
    try:
        with contextlib.suppress(http_error()):
            for piece in response.stream:
                read += len(piece)
                if read > _MOST_READ:
                    break
    finally:
        response.stream.close()
