"""A local RFC 3161 time-stamp authority for tests and demonstrations: its timestamps are real.

`with Tsa() as tsa:` serves at `tsa.url`; as a script, it serves until it is stopped.
"""

from __future__ import annotations

import argparse
import enum
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.certificates import LONG_AGO, TIME_STAMPING, Authority, Key, Leaf, make_authority
from tests.servers.hub_faults import DropConnection
from tests.servers.hub_http import Log, Reply, Request, Server, redirect
from tests.servers.tsa_tokens import Recipe, mint, refusal

REPLY_TYPE = "application/timestamp-reply"
QUERY_TYPE = "application/timestamp-query"
HUGE = 10 * 1024 * 1024  # bytes
_DRIP = 0.05  # seconds from one byte to the next


class Fault(enum.Enum):
    """Faults of the authority."""

    DROP = "closes the connection without an answer"
    SERVER_ERROR = "answers 500"
    GARBAGE = "answers with bytes that are no DER"
    EMPTY = "answers with nothing"
    HUGE = "answers with ten megabytes"
    DRIP = "sends a byte now and then, for ever"
    HANG = "never answers"
    PAGE = "answers with a page of HTML"
    ACCEPTED = "answers 202, with a good timestamp"
    REDIRECT = "sends to another address"
    REDIRECT_FILE = "sends to a file of the client"
    WRONG_NONCE = "answers another request"
    NO_NONCE = "leaves the nonce out"
    WRONG_IMPRINT = "stamps other bytes"
    REJECTION = "refuses"
    WITH_MODS = "grants with modifications"
    HOUR_BEHIND = "its clock is an hour behind"
    FUTURE = "its clock is an hour ahead"
    BROKEN_SIGNATURE = "its signature is no good"
    NO_EKU = "its certificate is for code signing"
    SOFT_EKU = "its certificate's extended key usage is not critical"
    EXPIRED = "its certificate has expired"
    NO_CERTIFICATES = "leaves its certificates out, though they were asked for"


class Tsa:
    """The server. `now` fixes its clock, `fault` makes it misbehave, `recipe` describes its tokens otherwise.

    `roots_pem` is the root for its users; tokens include the signer's certificate and the intermediate one.
    """

    def __init__(self, *, port: int = 0, key: Key | None = None) -> None:
        self.root: Authority = make_authority("TSA Root")
        self.intermediate: Authority = make_authority("TSA CA", parent=self.root)
        self.signer: Leaf = self._issue(key=key)
        self.roots_pem = self.root.pem
        self.recipe = Recipe(self.signer, [self.intermediate])
        self.now: datetime | None = None
        self.fault: Fault | None = None
        self._log = Log()
        self._stopping = threading.Event()
        self._server = Server("tsa", self._answer, self._log, port)
        self.url = self._server.url

    def __enter__(self) -> Tsa:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.stop()

    @property
    def requests(self) -> int:
        """The number of received requests."""
        return len(self._log.records())

    @property
    def clock(self) -> datetime:
        """The time of its timestamps."""
        return self.now or datetime.now(timezone.utc)

    def stamp(self, query: bytes) -> bytes:
        """Return the response to a request, with the current fault."""
        if self.fault is Fault.REJECTION:
            return refusal()
        ahead = {Fault.HOUR_BEHIND: -1, Fault.FUTURE: 1}.get(self.fault, 0) if self.fault else 0
        return mint(query, self._recipe(), self.clock + timedelta(hours=ahead))

    def _issue(self, **changes: Any) -> Leaf:  # noqa: ANN401 - those of a certificate
        usage: dict[str, Any] = {"eku": (TIME_STAMPING,), "eku_critical": True}
        return self.intermediate.issue("TSA", **(usage | changes))

    def _recipe(self) -> Recipe:
        """Return the recipe with the current fault."""
        if self.fault is Fault.WRONG_NONCE:
            return replace(self.recipe, info=lambda fields: fields.update(nonce=fields["nonce"] + 1))
        if self.fault is Fault.NO_NONCE:
            return replace(self.recipe, info=lambda fields: fields.pop("nonce"))
        if self.fault is Fault.WRONG_IMPRINT:
            return replace(self.recipe, info=_stamp_other)
        if self.fault is Fault.WITH_MODS:
            return replace(self.recipe, status="granted_with_mods")
        if self.fault is Fault.BROKEN_SIGNATURE:
            return replace(self.recipe, spoil=break_signature)
        if self.fault is Fault.NO_CERTIFICATES:
            return replace(self.recipe, with_signer=False, embed=())
        wrong: dict[Fault | None, dict[str, Any]] = {
            Fault.NO_EKU: {"eku": (), "eku_critical": False},
            Fault.SOFT_EKU: {"eku_critical": False},
            Fault.EXPIRED: {"not_before": LONG_AGO, "not_after": self.clock - timedelta(days=1)},
        }
        return replace(self.recipe, signer=self._issue(**wrong[self.fault])) if self.fault in wrong else self.recipe

    def _answer(self, request: Request) -> Reply:
        query = request.body.data
        if request.method != "POST" or request.headers.get_content_type() != QUERY_TYPE:
            return Reply(400)
        early = self._misbehave()
        if early is not None:
            return early
        try:
            data = self.stamp(query)
        except ValueError:
            return Reply(400)
        return _reply(data, 202 if self.fault is Fault.ACCEPTED else 200)

    def _misbehave(self) -> Reply | None:
        """Return the response that replaces a timestamp, if any."""
        if self.fault is Fault.DROP:
            raise DropConnection
        if self.fault is Fault.HANG:
            self._stopping.wait()
            raise DropConnection
        if self.fault is Fault.DRIP:
            return Reply(200, {"Content-Type": REPLY_TYPE}, self._drip(), HUGE)
        if self.fault is Fault.HUGE:
            return Reply(200, {"Content-Type": REPLY_TYPE}, (bytes(65536) for _ in range(HUGE // 65536)), HUGE)
        replies = {
            Fault.SERVER_ERROR: Reply(500),
            Fault.GARBAGE: _reply(b"\xff\x00 this is no DER"),
            Fault.EMPTY: _reply(b""),
            Fault.PAGE: Reply(200, {"Content-Type": "text/html"}, [b"<p>Welcome"], 10),
            Fault.REDIRECT: redirect(302, "http://user:secret@tsa.example/stamp?token=secret"),
            Fault.REDIRECT_FILE: redirect(302, "file:///etc/hostname"),
        }
        return replies.get(self.fault) if self.fault else None

    def _drip(self) -> Iterator[bytes]:
        while not self._stopping.is_set():
            time.sleep(_DRIP)
            yield b"\x30"


def break_signature(signed: Any) -> None:  # noqa: ANN401 - untyped library
    """Put the signature over other bytes into a token."""
    info = signed["signer_infos"][0]
    signature = info["signature"].native
    info["signature"] = signature[:-1] + bytes([signature[-1] ^ 1])


def closed_url() -> str:
    """Return a URL without a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def _stamp_other(fields: dict[str, Any]) -> None:
    fields["message_imprint"]["hashed_message"] = bytes(32)


def _reply(data: bytes, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": REPLY_TYPE}, [data], len(data))


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="A local RFC 3161 time-stamp authority.")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on, any free one by default")
    parser.add_argument("--print-url", action="store_true", help="print the address")
    parser.add_argument("--roots", type=Path, help="write the certificate that has to be trusted to this file")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Tsa(port=options.port) as tsa:
        if options.roots:
            options.roots.write_bytes(tsa.roots_pem)
        if options.print_url:
            sys.stdout.write(f"{tsa.url}\n")
            sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
