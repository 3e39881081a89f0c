"""The settings of the local Sigstore that tests can change while it runs: clock, lifetimes, faults."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from cryptography import x509

from tests.servers.hub_faults import DropConnection
from tests.servers.hub_http import App, Reply, json_reply

HUGE = 200 * 1024 * 1024  # bytes
_DRIP = 0.05  # seconds from one byte to the next
_CHUNK = b" " * 65536
_GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13}  # google.rpc.Code of a status


class Service(enum.Enum):
    """The services of a Sigstore instance; the values are the prefixes of the names of their faults."""

    CA = "CA"
    LOG = "LOG"
    TSA = "TSA"
    OIDC = "OIDC"


class SigstoreFault(enum.Enum):
    """Faults of the instance."""

    WRONG_SCT = "the certificate's SCT is signed by another key"
    NO_SCT = "the certificate has no SCT"
    BAD_PROOF = "the hashes of the inclusion proof do not fit"
    WRONG_CHECKPOINT = "the checkpoint is signed by another key"
    WRONG_ROOT = "the checkpoint is well signed, but over another root"
    WRONG_PROMISE = "the signed entry timestamp is by another key (v1)"
    OTHER_ENTRY = "the log answers with a well-proven entry of something else"
    EXPIRED_CERTIFICATE = "the certificate expired a day ago"
    FUTURE_CERTIFICATE = "the certificate is not valid before tomorrow"
    OTHER_IDENTITY = "the certificate is for mallory@evil.example"
    OTHER_ISSUER = "the certificate names another identity provider"
    OTHER_KEY = "the certificate is for another key than the request's"
    FOREIGN_CA = "the certificate comes from an authority that nobody trusts, though it has the name of the real one"
    CLOCK_AHEAD = "the certificates, the log and the timestamps are a day in the future"
    NO_TIMESTAMP_TOKEN = "the time-stamp authority refuses, in its own protocol"

    CA_DOWN = "the CA closes the connection without an answer"
    CA_ERROR = "the CA answers 500"
    CA_REFUSES = "the CA answers 400"
    CA_HANGS = "the CA never answers"
    CA_DRIPS = "the CA sends a byte now and then, for ever"
    CA_GARBAGE = "the CA answers with a page of HTML"
    CA_HUGE = "the CA answers with 200 megabytes of spaces"

    LOG_DOWN = "the log closes the connection without an answer"
    LOG_ERROR = "the log answers 500"
    LOG_REFUSES = "the log answers 400"
    LOG_HANGS = "the log never answers"
    LOG_DRIPS = "the log sends a byte now and then, for ever"
    LOG_GARBAGE = "the log answers with a page of HTML"
    LOG_HUGE = "the log answers with 200 megabytes of spaces"

    TSA_DOWN = "the time-stamp authority closes the connection without an answer"
    TSA_ERROR = "the time-stamp authority answers 500"
    TSA_REFUSES = "the time-stamp authority answers 400"
    TSA_HANGS = "the time-stamp authority never answers"
    TSA_DRIPS = "the time-stamp authority sends a byte now and then, for ever"
    TSA_GARBAGE = "the time-stamp authority answers with a page of HTML"
    TSA_HUGE = "the time-stamp authority answers with 200 megabytes of spaces"

    OIDC_DOWN = "the identity provider closes the connection without an answer"
    OIDC_ERROR = "the identity provider answers 500"
    OIDC_REFUSES = "the identity provider answers 400 or 403"
    OIDC_HANGS = "the identity provider never answers"
    OIDC_DRIPS = "the identity provider sends a byte now and then, for ever"
    OIDC_GARBAGE = "the identity provider answers with a page of HTML"
    OIDC_HUGE = "the identity provider answers with 200 megabytes of spaces"


@dataclass(kw_only=True, eq=False)
class Settings:
    """The state that the services of an instance share, and their counters.

    `now` fixes the clock; `person` is the user who signs in, if any; `fault_at` limits the faults of a service to
    the paths that begin with it. `extensions` replaces the values of extensions in certificates, by the last number of
    the OID, or removes them with None. `rekor` is the version of the log that the signing configuration prefers.
    """

    rekor: int = 1
    now: datetime | None = None
    fault: SigstoreFault | None = None
    fault_at: str = ""
    person: str | None = "release@acme.example"
    token_lifetime: timedelta = timedelta(hours=1)
    certificate_lifetime: timedelta = timedelta(minutes=10)
    refreshes: bool = True
    client_secret: str = ""
    extensions: dict[int, bytes | None] = field(default_factory=dict)
    certificates: list[x509.Certificate] = field(default_factory=list)
    entries: int = 0
    sign_ins: int = 0
    minted: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def clock(self) -> datetime:
        """The time at which tokens are issued and checked."""
        return self.now or datetime.now(timezone.utc)

    @property
    def signing_clock(self) -> datetime:
        """The time in certificates, log entries and timestamps."""
        return self.clock + timedelta(days=1 if self.fault is SigstoreFault.CLOCK_AHEAD else 0)

    def count(self, name: str) -> None:
        """Increment a counter."""
        with self._counting:
            setattr(self, name, getattr(self, name) + 1)


ErrorReply = Callable[[int, str], Reply]


@dataclass(frozen=True)
class Route:
    """A route: the service, its handler, and the format of its errors; `refusal` is the status of one.

    Without a service it has no faults.
    """

    service: Service | None
    answer: App
    error: ErrorReply
    refusal: int = 400


Routes = dict[tuple[str, str], Route]


def grpc_error(status: int, message: str) -> Reply:
    """An error of Fulcio and of Rekor v2 (google.rpc.Status)."""
    return json_reply({"code": _GRPC_CODES[status], "message": message, "details": []}, status)


def rekor_error(status: int, message: str) -> Reply:
    """An error of Rekor v1 and of the time-stamp authority."""
    return json_reply({"code": status, "message": message}, status)


def misbehave(settings: Settings, path: str, route: Route, stopping: threading.Event) -> Reply | None:
    """Return the response that replaces the one of the service, if any; it may take until `stopping`."""
    service, _, way = (settings.fault.name if settings.fault else "").partition("_")
    if route.service is None or service != route.service.value or not path.startswith(settings.fault_at):
        return None
    if way == "HANGS":
        stopping.wait()
    if way in ("HANGS", "DOWN"):
        raise DropConnection
    kind = {"Content-Type": "application/timestamp-reply" if route.service is Service.TSA else "application/json"}
    page = b"<!doctype html><p>Welcome to the captive portal"
    replies = {
        "ERROR": lambda: route.error(500, "the service has a fault of its own"),
        "REFUSES": lambda: route.error(route.refusal, "the service does not like the request"),
        "DRIPS": lambda: Reply(200, kind, _drip(stopping), HUGE),
        "GARBAGE": lambda: Reply(200, {"Content-Type": "text/html"}, [page], len(page)),
        "HUGE": lambda: Reply(200, kind, (_CHUNK for _ in range(HUGE // len(_CHUNK))), HUGE),
    }
    return replies[way]()


def _drip(stopping: threading.Event) -> Iterator[bytes]:
    while not stopping.is_set():
        time.sleep(_DRIP)
        yield b" "
