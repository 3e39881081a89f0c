"""Download of one file over HTTP, resumed after interruptions (RFC 9110: ranges, conditions, Retry-After).

The content is hashed as it arrives. A download is resumed only if the server confirms that the file is the same.
"""

from __future__ import annotations

import email.utils
import hashlib
import logging
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import requests

from hub_adapters.errors import (
    AccessError,
    ContentError,
    DishonestError,
    HubError,
    NotFoundError,
    UnavailableError,
)
from hub_adapters.http.exchange import BrokenError, Exchange
from hub_adapters.http.patience import Patience
from hub_adapters.http.rate_limit_headers import retry_after
from hub_adapters.http.urls import check_address, shown
from hub_adapters.interface import FetchOptions

_logger = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_TRIES = 5  # consecutive attempts without new bytes; also restarts from the beginning, in total
_CUTS = 50  # consecutive attempts with new bytes, but fewer than _MUCH
_MUCH = 1024 * 1024  # bytes
_FIRST_PAUSE = 0.5  # seconds; each pause is twice the one before
_LONGEST_WAIT = 120.0  # seconds; a server that asks for more is reported, not waited for
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_NUMBER = re.compile(r"[0-9]{1,18}")
_BEYOND = re.compile(r"bytes \*/(\d{1,18})")
# Values that may be used in the condition of a request; others are ignored.
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,256}"|[\x21\x23-\x7e]{1,256}')
_DATE = re.compile(r"[\x20-\x7e]{1,64}")


@dataclass
class Received:
    """The metadata of a file that is being downloaded. `url` is the final URL after redirects and may be a secret.

    `etag` and `modified` are the values of the server's headers, or empty. `total` is the size in bytes, if known.
    """

    url: str = ""
    etag: str = ""
    modified: str = ""
    total: int | None = None
    content_type: str = ""

    @property
    def validator(self) -> str:
        """The strong validator for a range request, or empty: a weak one does not guarantee the same bytes."""
        return self.modified if not self.etag else "" if self.etag.startswith("W/") else self.etag


class NotModifiedError(Exception):
    """The server confirmed that the caller's copy is current; this is not a failure."""


@dataclass
class Download:
    """One download to `file`, which may contain the beginning; `known` is the metadata of that beginning.

    `have` is the metadata of a complete copy of the caller: if it is current, `NotModifiedError` is raised. `began` is
    called with the metadata before anything is written.
    """

    address: str
    file: BinaryIO
    options: FetchOptions
    known: Received = field(default_factory=Received)
    have: Received = field(default_factory=Received)
    began: Callable[[Received], None] = lambda _: None
    _hash: Any = field(default_factory=hashlib.sha256, init=False)
    _size: int = field(default=0, init=False)
    _restarts: int = field(default=0, init=False)

    def run(self) -> Received:
        """Download the file, with several attempts; raises `HubError` when they fail or would be useless."""
        check_address(self.address)
        self._take_up()
        furthest, tries, cuts, attempts = self._size, 0, 0, 0
        patience = Patience()
        try:
            while True:
                began = time.monotonic()
                try:
                    self._attempt()
                    self.file.flush()
                    return self.known
                except BrokenError as broken:
                    attempts += 1
                    gained = self._size - furthest
                    furthest = max(furthest, self._size)
                    tries = 0 if gained > 0 else tries + 1
                    cuts = 0 if gained >= _MUCH else cuts + 1
                    is_over = patience.fail_after(gained, time.monotonic() - began)
                    if not self.known.validator:
                        self._start_over()  # without a validator it cannot be resumed
                    if is_over or tries >= _TRIES or cuts >= _CUTS or self._restarts >= _TRIES:
                        raise UnavailableError(f"{broken}; gave up after {attempts} tries") from None
                    _pause(broken, tries)
        finally:
            if self.options.progress:
                self.options.progress.download_ended(shown(self.address))

    @property
    def sha256(self) -> str:
        """SHA-256 of the received bytes, in hex."""
        digest: str = self._hash.hexdigest()
        return digest

    @property
    def size(self) -> int:
        """The number of received bytes."""
        return self._size

    def _take_up(self) -> None:
        """Hash and count the bytes of an earlier process, if its download can be resumed."""
        self.file.seek(0)
        if not self.known.validator:
            self._start_over()
            return
        while piece := self.file.read(_CHUNK):
            self._hash.update(piece)
            self._size += len(piece)

    def _start_over(self) -> None:
        self._restarts += self._size > 0
        self.file.seek(0)
        self.file.truncate()
        self._hash, self._size = hashlib.sha256(), 0

    def _attempt(self) -> None:
        with Exchange(self.address, self._headers()) as exchange:
            response = exchange.response
            if response.status_code == 304 and self.have.etag:
                self._keep_what_is_here(response)
            if response.status_code == 416 and self._size:
                if self._is_whole(response):
                    return
                self._start_over()
                raise BrokenError(f"'{shown(self.address)}' has become shorter than what it sent before")
            if response.status_code not in (200, 206):
                raise _refusal(response, self.address)
            self._begin(response)
            self._receive(exchange)

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": "hf-sign", "Accept": "*/*", "Accept-Encoding": "identity"}
        if self._size:
            headers |= {"Range": f"bytes={self._size}-", "If-Range": self.known.validator}
        elif self.have.etag:
            headers["If-None-Match"] = self.have.etag
        return headers

    def _keep_what_is_here(self, response: requests.Response) -> None:
        """Raise `NotModifiedError` if the caller's copy is from the same URL; an ETag is valid only for its URL."""
        if shown(response.url) == shown(self.have.url):
            raise NotModifiedError
        self.have = Received()
        raise BrokenError(f"'{shown(self.address)}' leads elsewhere than before", 0.0)

    def _is_whole(self, response: requests.Response) -> bool:
        """Return True if the server's response to a range beyond the end says that the file is complete."""
        match = _BEYOND.fullmatch(response.headers.get("Content-Range", ""))
        same = response.headers.get("ETag", self.known.etag) == self.known.etag
        return bool(match and int(match[1]) == self._size and self.known.total in (None, self._size) and same)

    def _begin(self, response: requests.Response) -> None:
        """Check that the body continues the received bytes, or start over."""
        now = Received(
            response.url,
            _matching(_ETAG, response.headers.get("ETag")),
            _modified(response),
            _length(response),
            response.headers.get("Content-Type", "")[:200],
        )
        if response.status_code == 206:
            now = self._going_on(response, now)
        elif self.have.etag and now.etag == self.have.etag and not self._size:
            self._keep_what_is_here(response)  # a server that ignores If-None-Match
        else:
            self._start_over()
        self.known = now
        self.began(now)
        limit = self.options.limits.max_download
        if (now.total or 0) > limit:
            raise self._too_large(f"{now.total:,} bytes")
        if self.options.progress:
            self.options.progress.download(shown(self.address), now.total, self._size)

    def _going_on(self, response: requests.Response, now: Received) -> Received:
        """Return the metadata if the partial response continues the same file; start over and raise if not."""
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        total = None if match is None or match[3] == "*" else int(match[3])
        pairs = ((now.etag, self.known.etag), (now.modified, self.known.modified), (total, self.known.total))
        changed = any(one and other and one != other for one, other in pairs)
        same = self.known.validator in (now.etag, now.modified) and (total or self.known.total) is not None
        if match is None or int(match[1]) != self._size or changed or not same:
            size = self._size
            self._start_over()
            self.known = Received()
            if not size:
                raise DishonestError(f"'{shown(self.address)}' sends a part, and was asked for the whole")
            raise BrokenError(f"'{shown(self.address)}' goes on with another part than was asked for")
        known = self.known
        return replace(known, url=now.url, etag=known.etag or now.etag, total=known.total or total)

    def _receive(self, exchange: Exchange) -> None:
        _check_encoding(exchange.response)
        try:
            for piece in exchange.pieces():
                self._write(piece)
        except BrokenError as broken:
            raise BrokenError(self._cut_off(str(broken))) from None
        if self.known.total is not None and self._size != self.known.total:
            raise BrokenError(self._cut_off("the connection was closed"))

    def _write(self, piece: bytes) -> None:
        size = self._size + len(piece)
        if size > self.options.limits.max_download:
            raise self._too_large("more")
        if size > (self.known.total or size):
            self._start_over()
            raise BrokenError("it sends more than it says")
        self.file.write(piece)
        self._hash.update(piece)
        self._size = size
        if self.options.progress:
            self.options.progress.downloaded(shown(self.address), len(piece))

    def _cut_off(self, why: str) -> str:
        announced = "" if self.known.total is None else f" of {self.known.total:,}"
        return f"'{shown(self.address)}' was cut off after {self._size:,}{announced} bytes ({why})"

    def _too_large(self, size: str) -> ContentError:
        return too_large(self.address, size, self.options)


def too_large(address: str, size: str, options: FetchOptions) -> ContentError:
    """Return the error for a file that exceeds the limit."""
    return ContentError(
        f"'{shown(address)}' has {size}, and {options.limits.max_download:,} are allowed: --max-download permits more"
    )


def _pause(broken: BrokenError, tries: int) -> None:
    pause = max(_FIRST_PAUSE * 2 ** max(tries - 1, 0), broken.pause or 0.0)
    if pause > _LONGEST_WAIT:
        raise UnavailableError(f"{broken}; it asks to wait for {pause:,.0f} seconds: try again then") from None
    _logger.info("%s; trying again in %.1f s", broken, pause)
    time.sleep(pause)


def _refusal(response: requests.Response, address: str) -> HubError | BrokenError:
    """Return the error for a response without a file; its message has the final URL after a redirect."""
    where = f"'{shown(address)}'"
    if shown(response.url) != shown(address):
        where += f" (which leads to '{shown(response.url)}')"
    status = f"HTTP {response.status_code}"
    if response.status_code in (404, 410):
        return NotFoundError(f"there is nothing at {where} ({status})")
    if response.status_code in (401, 403, 407):
        return AccessError(f"{where} is not for everybody, or not for you ({status})")
    if response.status_code in _BUSY:
        return BrokenError(f"{where} cannot be had now ({status})", retry_after(response.headers))
    return UnavailableError(f"{where} answers with {status}, which is no file")


def _length(response: requests.Response) -> int | None:
    if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        return None  # Content-Length is ignored then (RFC 9112, section 6.3)
    stated = response.headers.get("Content-Length")
    if stated is None:
        return None
    # The same number several times is one number; anything else is refused (RFC 9112, section 6.3).
    lengths = {text.strip(" \t") for text in stated.split(",")}
    text = lengths.pop()
    if lengths or not _NUMBER.fullmatch(text):
        raise UnavailableError(
            f"'{shown(response.url)}' is sent with a Content-Length that is no length: {stated[:60]!a}"
        )
    return int(text)


def _modified(response: requests.Response) -> str:
    """Return the time of the last change if it is a strong validator: older than a second (RFC 9110, 8.8.2.2)."""
    text = _matching(_DATE, response.headers.get("Last-Modified"))
    try:
        then, now = (email.utils.parsedate_to_datetime(date) for date in (text, response.headers.get("Date", "")))
        return text if (now - then).total_seconds() >= 1 else ""
    except (ValueError, TypeError, OverflowError):
        return ""


def _matching(pattern: re.Pattern[str], text: str | None) -> str:
    return text if text is not None and pattern.fullmatch(text) else ""


def _check_encoding(response: requests.Response) -> None:
    """Raise `UnavailableError` for a content encoding, which was not requested.

    Some servers declare the content of a .gz file as encoded; it is accepted unchanged, as curl does.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    packed = urlsplit(response.url).path.endswith((".gz", ".tgz")) and encoding in ("gzip", "x-gzip")
    if encoding not in ("", "identity") and not packed:
        raise UnavailableError(f"'{shown(response.url)}' is sent encoded as {encoding[:40]!a}, which was not asked for")


def read_small(address: str, limit: int, what: str, options: FetchOptions) -> bytes:
    """Download a file of at most `limit` bytes, such as a signature, without the cache."""
    small = replace(options, limits=replace(options.limits, max_download=limit))
    with tempfile.TemporaryFile() as file:
        try:
            Download(address, file, small).run()
        except ContentError as error:
            raise ContentError(f"'{shown(address)}' is larger than any {what} can be") from error
        file.seek(0)
        return file.read()
