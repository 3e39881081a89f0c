"""A private Sigstore for tests and demonstrations: identity provider, CA, CT key, log v1 and v2, timestamps.

`with Sigstore() as sigstore:` serves all of it at `sigstore.url`, and `sigstore.trust_config()` is the configuration
for its users; as a script, it serves until it is stopped.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.hub_faults import DropConnection, Record
from tests.servers.hub_http import Log, Refused, Reply, Request, Server
from tests.servers.jwt_issuer import TokenIssuer
from tests.servers.sigstore_ca import CertificateAuthority
from tests.servers.sigstore_faults import Route, Routes, Service, Settings, SigstoreFault, misbehave, rekor_error
from tests.servers.sigstore_log import RekorV1, RekorV2
from tests.servers.sigstore_oidc import IdentityProvider
from tests.servers.sigstore_trust import TIMESTAMP_PATH, Trust
from tests.servers.tsa import QUERY_TYPE, REPLY_TYPE, Tsa
from tests.servers.tsa_tokens import refusal

__all__ = ["Sigstore", "SigstoreFault"]


class Sigstore(Settings):
    """The instance: one HTTP server. `Settings` has what tests can change while it runs."""

    def __init__(self, *, rekor: int = 1, port: int = 0) -> None:
        super().__init__(rekor=rekor)
        self.errors: list[str] = []
        self.issuer = TokenIssuer()
        self._log = Log()
        self._stopping = threading.Event()
        self._server = Server("sigstore", self._answer, self._log, port)
        self.url = self.identity_provider = self._server.url
        self.tsa = Tsa()
        self._provider = IdentityProvider(self, self.issuer, self.identity_provider)
        ca = CertificateAuthority(self, self.issuer, self.identity_provider)
        logs = RekorV1(self), RekorV2(self)
        self._trust = Trust(self.url, ca, logs, self.tsa)
        self._routes: Routes = {("POST", TIMESTAMP_PATH): Route(Service.TSA, self._stamp, rekor_error)}
        for part in (self._provider, ca, *logs):
            self._routes.update(part.routes)

    def __enter__(self) -> Sigstore:
        self.tsa.__enter__()
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.stop()
        self.tsa.__exit__(kind, value, trace)

    @property
    def requests(self) -> list[Record]:
        """The received requests."""
        return self._log.records()

    def trust_config(self) -> str:
        """Return the trust configuration for users of the instance, as JSON text."""
        return self._trust.config(self.rekor)

    def write_trust_config(self, path: Path) -> Path:
        """Write `trust_config` to a file, and return its path."""
        path.write_text(self.trust_config(), encoding="utf-8")
        return path

    def token(self, email: str | None = "release@acme.example", **claims: Any) -> str:  # noqa: ANN401 - claims are JSON
        """Return an identity token of a person; `claims` override any, and a claim of `None` is left out."""
        return self._provider.token(email, claims)

    def workflow_token(self, **claims: Any) -> str:  # noqa: ANN401 - claims are JSON
        """Return an identity token of a workflow of GitHub Actions; `claims` are like those of `token`."""
        return self._provider.workflow_token(claims)

    def github_environment(self) -> dict[str, str]:
        """The environment of a workflow that may request tokens."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/github/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self._provider.request_token,
        }

    def _answer(self, request: Request) -> Reply:
        try:
            return self._handle(request)
        except Refused as refused:
            return refused.reply
        except (DropConnection, ConnectionError):
            raise
        except Exception:  # noqa: BLE001 - the edge of the server
            self.errors.append(traceback.format_exc())
            return rekor_error(500, "The local Sigstore has a fault of its own: see sigstore.errors")

    def _handle(self, request: Request) -> Reply:
        method, path = request.method, request.path
        route = self._routes.get((method, path)) or self._routes.get((method, f"{path.rpartition('/')[0]}/*"))
        if route is None:
            return rekor_error(404, f"path {path} was not found")
        return misbehave(self, path, route, self._stopping) or route.answer(request)

    def _stamp(self, request: Request) -> Reply:
        query = request.body.data
        if request.headers.get_content_type() != QUERY_TYPE:
            return rekor_error(400, "unsupported content type")
        self.tsa.now = self.signing_clock
        try:
            data = refusal() if self.fault is SigstoreFault.NO_TIMESTAMP_TOKEN else self.tsa.stamp(query)
        except ValueError:
            return rekor_error(400, "Error parsing the timestamp request")
        return Reply(201, {"Content-Type": REPLY_TYPE}, [data], len(data))


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="A private Sigstore on this machine.")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on, any free one by default")
    parser.add_argument("--rekor", type=int, choices=(1, 2), default=1, help="the version of the log to sign with")
    parser.add_argument("--trust-config", type=Path, help="write the ClientTrustConfig to this file")
    parser.add_argument("--token", type=Path, help="write an identity token of release@acme.example to this file")
    parser.add_argument("--print-url", action="store_true", help="print the address")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Sigstore(rekor=options.rekor, port=options.port) as sigstore:
        if options.trust_config:
            sigstore.write_trust_config(options.trust_config)
        if options.token:
            options.token.write_text(sigstore.token(), encoding="utf-8")
        if options.print_url:
            sys.stdout.write(f"{sigstore.url}\n")
            sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
