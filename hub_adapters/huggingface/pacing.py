"""A rate budget for the requests of `huggingface_hub`, below the client, so that its threads share the waiting.

Only transports see every request, redirects and retries included. The wrapper works with both HTTP libraries that
releases of the client use.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from hub_adapters.errors import UnavailableError
from hub_adapters.http.patience import Patience
from hub_adapters.http.rate_budget import LONGEST, Budget, Ticket, bucket_of
from hub_adapters.http.rate_limit_headers import read_limit, retry_after
from hub_adapters.http.urls import host_of
from hub_adapters.huggingface._compat import has_transports, http_error, wrap_transports
from hub_adapters.huggingface.trusted_publishing import origin

LONGEST_WAIT = 120.0  # seconds; a hub that asks for more is reported, not waited for
_REPEATED = (408, 429, 500, 502, 503, 504)  # the client repeats a request that is answered so
_LONGEST_TRY = 3600.0  # seconds for one request, with all its repetitions
_MOST_READ = 1 << 16  # bytes of a refusal, so that its connection can be used again

_logger = logging.getLogger(__name__)


class Pacing(NamedTuple):
    """The budget of the requests of a thread, and the hub that it is for; after `stopped`, no request is sent."""

    budget: Budget
    endpoint: str
    stopped: threading.Event | None


def check_pause(response: Any, patience: Patience | None) -> None:  # noqa: ANN401 - of either HTTP library
    """Raise `UnavailableError` for an answer after which the client would wait too long before it asks again."""
    status = response.status_code
    if patience is None or status not in _REPEATED:
        return
    limit = read_limit(response.headers, "")
    pause = max(retry_after(response.headers) or 0.0, limit.seconds if limit and not limit.remaining else 0.0)
    if not patience.may_pause(pause) or pause > LONGEST_WAIT:
        host, wait = host_of(str(response.request.url)), f"try again in {pause:.0f} seconds"
        if status == 429:
            raise UnavailableError(f"'{host}' limits the rate of requests: {wait}")
        raise UnavailableError(f"'{host}' cannot answer now (HTTP {status}): {wait}")


def pace(client: Any, current: Callable[[], Pacing | None]) -> None:  # noqa: ANN401 - a client of either HTTP library
    """Apply to each request of the client the pacing that is `current` in its thread."""
    if not has_transports(client):
        _logger.info("the HTTP client does not support a rate budget")
        return
    wrap_transports(client, lambda transport: _PacedTransport(transport, current))


class _PacedTransport:
    def __init__(self, transport: Any, current: Callable[[], Pacing | None]) -> None:  # noqa: ANN401
        self._transport = transport
        self._current = current

    def handle_request(self, request: Any) -> Any:  # noqa: ANN401 - of either HTTP library
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

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the transport
        return getattr(self._transport, name)

    def _paced(self, request: Any, pacing: Pacing) -> Any:  # noqa: ANN401
        """Send a request, and repeat it while the hub refuses it because of the rate."""
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
            _logger.info("the hub responds with HTTP %s, and requests a pause of %.0f s", response.status_code, asked)
            if asked > LONGEST:  # the client would sleep that long, and repeat the request
                wait = f"try again in {asked:.0f} seconds"
                raise UnavailableError(f"{pacing.endpoint} limits the rate of requests: {wait}")

    def _sent(self, request: Any, budget: Budget, ticket: Ticket) -> Any:  # noqa: ANN401
        try:
            return self._transport.handle_request(request)
        except BaseException:
            budget.forget(ticket)
            raise


def _may_repeat(request: Any, status: int) -> bool:  # noqa: ANN401
    """Return whether the whole body is available, and a second request has no second effect."""
    if status == 503 and request.method == "POST" and "create_pr" in str(request.url):
        return False  # the first may have succeeded, and a second pull request is not wanted
    try:
        return isinstance(request.content, bytes)
    except RuntimeError:  # the HTTP library raises it for a stream
        return False


def _give_back(response: Any) -> None:  # noqa: ANN401
    """Read a refusal, so that its connection can be used again, or close it if it is long or broken."""
    read = 0
    try:
        with contextlib.suppress(http_error()):
            for piece in response.stream:
                read += len(piece)
                if read > _MOST_READ:
                    break
    finally:
        response.stream.close()
