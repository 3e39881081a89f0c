"""A local Hugging Face Hub for tests and demonstrations: the real client runs against it unchanged.

`with Hub() as hub:` serves at `hub.url`; as a script, it serves until it is stopped.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers import hub_buckets, hub_read, hub_trusted, hub_write
from tests.servers.hub_access import Core, Exchange, Handler, Route, Token, route
from tests.servers.hub_faults import (
    After,
    Before,
    Cut,
    Delay,
    DropConnection,
    Fail,
    Fault,
    Hook,
    Impersonate,
    Record,
    Rollback,
    Serve,
    Spoil,
    Swap,
)
from tests.servers.hub_http import Log, Refused, Reply, Request, Server, error, json_reply
from tests.servers.hub_limits import Limits, Share
from tests.servers.hub_store import Blob, Commit, Content, File, Flipped, Repo, RepoKey, Source, Synthetic
from tests.servers.wire_faults import Wire, WireFault

if TYPE_CHECKING:
    from tests.servers.jwt_issuer import TokenIssuer

__all__ = ["DropConnection", "Fault", "File", "Hub", "Record", "Synthetic", "Token"]


class Hub(Core):
    """The server with its second origin for large files; methods fill it, observe it and make it misbehave."""

    def __init__(self, *, port: int = 0, control: bool = False) -> None:
        super().__init__()
        self._log = Log()
        self._stopping = threading.Event()
        self._limits = Limits()
        self._routes = {
            "hub": [
                *hub_buckets.ROUTES,
                *hub_read.ROUTES,
                *hub_write.ROUTES,
                *hub_trusted.ROUTES,
                *(_CONTROL if control else []),
            ],
            "cdn": [*hub_read.CDN_ROUTES, *hub_write.CDN_ROUTES],
        }
        self._servers = [Server("hub", self._answer, self._log, port), Server("cdn", self._answer, self._log)]
        self.url, self.cdn_url = (server.url for server in self._servers)
        self.add_token("hf_write", user="hub", role="write", everywhere=True)
        self.add_token("hf_read", user="reader", role="read")

    def __enter__(self) -> Hub:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve, in threads."""
        for server in self._servers:
            server.start()

    def stop(self) -> None:
        """Close all connections, wait for all threads and remove all files."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        for server in self._servers:
            server.stop()
        self.store.close()

    # Content

    def create_repo(
        self, repo: str, *, repo_type: str = "model", private: bool = False, gated: str | bool = False
    ) -> str:
        """Add a repository with one commit without files, and return the sha of that commit."""
        return self.store.create(RepoKey(repo_type, repo), private=private, gated=gated).refs["refs/heads/main"]

    def update_repo(
        self,
        repo: str,
        *,
        repo_type: str = "model",
        private: bool | None = None,
        gated: str | bool | None = None,
        disabled: bool | None = None,
        archived: bool | None = None,
    ) -> None:
        """Change who may see a repository, or whether it takes commits."""
        found = self._repo(repo, repo_type)
        found.private = found.private if private is None else private
        found.gated = found.gated if gated is None else gated
        found.disabled = found.disabled if disabled is None else disabled
        found.archived = found.archived if archived is None else archived

    def delete_repo(self, repo: str, *, repo_type: str = "model") -> None:
        """Remove a repository."""
        with self.store.lock:
            del self.store.repos[RepoKey(repo_type, repo)]

    def grant(self, repo: str, user: str, *, repo_type: str = "model") -> None:
        """Let a user read a gated repository."""
        self._repo(repo, repo_type).granted.add(user)

    def commit(
        self,
        repo: str,
        files: Mapping[str, Source | None],
        *,
        message: str = "change",
        branch: str = "main",
        repo_type: str = "model",
        lfs: bool | None = None,
    ) -> str:
        """Add, change and (with None) delete files; `lfs` forces how all of them are stored. Return the sha."""
        found = self._repo(repo, repo_type)
        changes = self._changes(found, files, lfs)
        return self.store.commit(found, f"refs/heads/{branch}", changes, message).sha

    def rewrite(
        self,
        repo: str,
        files: Mapping[str, Source | None],
        *,
        message: str = "change",
        branch: str = "main",
        repo_type: str = "model",
        lfs: bool | None = None,
    ) -> str:
        """Replace the head of a branch by another commit, as a forced push does. Return the sha."""
        found = self._repo(repo, repo_type)
        changes = self._changes(found, files, lfs)
        with self.store.lock:
            head = found.commits[found.refs[f"refs/heads/{branch}"]]
            changes = {**head.files, **changes}
            parent = head.parents[0] if head.parents else ""
            return self.store.commit(found, f"refs/heads/{branch}", changes, message, parent=parent).sha

    def branch(self, repo: str, name: str, revision: str = "main", *, repo_type: str = "model") -> None:
        """Make a branch, or move it, to a revision; as a forced push does when it exists."""
        found = self._repo(repo, repo_type)
        found.refs[f"refs/heads/{name}"] = self._at(found, revision).sha

    def tag(self, repo: str, name: str, revision: str = "main", *, repo_type: str = "model") -> None:
        """Make a tag, or move it, to a revision."""
        found = self._repo(repo, repo_type)
        found.refs[f"refs/tags/{name}"] = self._at(found, revision).sha

    def head(self, repo: str, branch: str = "main", *, repo_type: str = "model") -> str:
        """Return the real sha of a branch."""
        return self._at(self._repo(repo, repo_type), branch).sha

    def log(self, repo: str, revision: str = "main", *, repo_type: str = "model") -> list[Commit]:
        """Return the real commits of a revision, newest first."""
        found = self._repo(repo, repo_type)
        return list(found.history(self._at(found, revision).sha))

    def files(self, repo: str, revision: str = "main", *, repo_type: str = "model") -> dict[str, File]:
        """Return the real files of a revision."""
        return dict(self._at(self._repo(repo, repo_type), revision).files)

    def read(self, repo: str, path: str, revision: str = "main", *, repo_type: str = "model") -> bytes:
        """Return the real bytes of a file."""
        content = self.files(repo, revision, repo_type=repo_type)[path].content
        return b"".join(content.chunks(0, content.size))

    def alias(self, old: str, new: str, *, repo_type: str = "model") -> None:
        """Redirect an old name to another repository."""
        self.store.aliases[RepoKey(repo_type, old)] = new

    def rename(self, old: str, new: str, *, repo_type: str = "model") -> None:
        """Rename a repository, and redirect its old name to the new one."""
        self.store.rename(RepoKey(repo_type, old), new)

    def add_token(
        self,
        token: str,
        *,
        user: str,
        orgs: list[str] | None = None,
        role: str = "write",
        everywhere: bool = False,
    ) -> None:
        """Add a token; `everywhere` gives its user access to every namespace."""
        self.tokens[token] = Token(token, user, frozenset(orgs or ()), role, everywhere)

    def trust_publisher(
        self, repo: str, issuer: TokenIssuer, repository: str = "acme/model", *, repo_type: str = "model"
    ) -> None:
        """Add a trusted publisher: jobs of a repository elsewhere, proved by id tokens, get tokens to write here."""
        self.publishers.append(hub_trusted.Publisher(RepoKey(repo_type, repo), issuer, repository))

    def expect_upload(self, content: Synthetic) -> None:
        """Compare an upload with this content instead of storing it, which needs no disk space."""
        self.expected[content.sha256] = content

    def _repo(self, repo: str, repo_type: str) -> Repo:
        return self.store.repos[RepoKey(repo_type, repo)]

    def _at(self, repo: Repo, revision: str) -> Commit:
        sha = repo.find(revision)
        if sha is None:
            raise KeyError(f"{repo.key.id} has no revision {revision}")
        return repo.commits[sha]

    def _changes(self, repo: Repo, files: Mapping[str, Source | None], lfs: bool | None) -> dict[str, File | None]:
        return {
            path: None if source is None else self.store.file(repo, path, source, lfs=lfs)
            for path, source in files.items()
        }

    # Counting

    @property
    def requests(self) -> list[Record]:
        """All requests since the last `clear_requests`, of both origins."""
        return self._log.records()

    def bytes_sent(self) -> int:
        """The bytes of all bodies that were sent."""
        return sum(record.bytes_sent for record in self.requests)

    def bytes_received(self) -> int:
        """The bytes of all bodies that were received."""
        return sum(record.bytes_received for record in self.requests)

    def clear_requests(self) -> None:
        """Reset the counters."""
        self._log.clear()

    @property
    def lfs_threshold(self) -> int:
        """The size from which files of any name are stored as large ones."""
        return self.store.lfs_threshold

    @lfs_threshold.setter
    def lfs_threshold(self, size: int) -> None:
        self.store.lfs_threshold = size

    # Misbehaviour

    def flip_byte(
        self, repo: str, path: str, offset: int = 0, *, repo_type: str = "model", times: int | None = None
    ) -> Fault:
        """Send a file with one bit of one byte changed, while the listed digest stays."""

        def flip(content: Content) -> Content:
            return Flipped(content, offset % max(content.size, 1))

        return self.faults.add(Fault(Serve(path, flip), repo=RepoKey(repo_type, repo), times=times))

    def serve_bytes(
        self, repo: str, path: str, data: bytes, *, repo_type: str = "model", times: int | None = None
    ) -> Fault:
        """Send other bytes for a file, of any length, while the listed digest and size stay."""
        return self.faults.add(Fault(Serve(path, lambda _: Blob(data)), repo=RepoKey(repo_type, repo), times=times))

    def impersonate(
        self,
        repo: str,
        other: str,
        *,
        claim: bool = False,
        repo_type: str = "model",
        path: str = "",
        times: int | None = None,
    ) -> Fault:
        """Answer for a repository with another one; its information shows the other's name when `claim` is set."""
        effect = Impersonate(other, claim)
        return self.faults.add(Fault(effect, path=path, repo=RepoKey(repo_type, repo), times=times))

    def roll_back(
        self,
        repo: str,
        revision: str,
        *,
        branch: str = "main",
        repo_type: str = "model",
        path: str = "",
        times: int | None = None,
    ) -> Fault:
        """Answer as if a branch still pointed to an older commit, until it is moved."""
        effect = Rollback(f"refs/heads/{branch}", self._at(self._repo(repo, repo_type), revision).sha)
        return self.faults.add(Fault(effect, path=path, repo=RepoKey(repo_type, repo), times=times))

    def swap_commit(
        self,
        repo: str,
        asked: str,
        served: str,
        *,
        claim: bool = False,
        repo_type: str = "model",
        path: str = "",
        times: int | None = None,
    ) -> Fault:
        """Answer a request for one full sha with another commit; `claim` shows it under the requested sha."""
        effect = Swap(asked, served, claim)
        return self.faults.add(Fault(effect, path=path, repo=RepoKey(repo_type, repo), times=times))

    def fail(
        self,
        method: str,
        path: str,
        status: int,
        *,
        times: int | None = None,
        retry_after: int | None = None,
        message: str = "The hub was told to fail",
        code: str | None = None,
    ) -> Fault:
        """Answer requests of a method ("ANY" for all) whose path matches a pattern with an error."""
        headers = {"X-Error-Code": code} if code else {}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        if status == 429:
            headers["RateLimit"] = f'"api";r=0;t={retry_after or 0}'
        return self.faults.add(Fault(Fail(status, message, tuple(headers.items())), method, path, times=times))

    def cut(self, method: str, path: str, after: int, *, times: int | None = None) -> Fault:
        """Close the connection after some bytes of the body, although more were announced."""
        return self.faults.add(Fault(Cut(after), method, path, times=times))

    def spoil(self, method: str, path: str, change: Callable[[Reply], Reply], *, times: int | None = None) -> Fault:
        """Change the status, headers or body of responses before they are sent."""
        return self.faults.add(Fault(Spoil(change), method, path, times=times))

    def delay(self, method: str, path: str, seconds: float, *, times: int | None = None) -> Fault:
        """Delay requests."""
        return self.faults.add(Fault(Delay(seconds), method, path, times=times))

    def before(self, method: str, path: str, hook: Hook, *, times: int | None = None) -> Fault:
        """Call a function before a request is handled; if it raises DropConnection, the request is not handled."""
        return self.faults.add(Fault(Before(hook), method, path, times=times))

    def after(self, method: str, path: str, hook: Hook, *, times: int | None = None) -> Fault:
        """Call a function after a request was handled; if it raises DropConnection, there is no response."""
        return self.faults.add(Fault(After(hook), method, path, times=times))

    def drop_answer(self, method: str, path: str, *, times: int | None = None) -> Fault:
        """Handle requests, and close the connection instead of responding."""
        return self.after(method, path, _drop, times=times)

    def break_wire(self, fault: WireFault, *, origin: str = "hub", method: str = "", path: str = "") -> Wire:
        """Break the connections of matching requests to an origin, `hub` or `cdn`, in place of an answer."""
        server = next(server for server in self._servers if server.origin == origin)
        server.wire = Wire(fault, method, path)
        return server.wire

    def limit_rate(self, quota: int, window: float, resource: str = "api") -> None:
        """Limit the requests for a resource ("api", "resolvers" or "pages") in each window of some seconds."""
        self._limits.limit(quota, window, resource)

    def fail_share(self, every: int = 3, retry_after: int | None = None) -> Share:
        """Refuse one of `every` requests of any kind with the status of the rate limit."""
        return self._limits.share(every, retry_after)

    @property
    def too_many(self) -> int:
        """The number of requests that were refused by the rate limit."""
        return sum(record.status == 429 for record in self.requests)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.faults.clear()
        self._limits.clear()
        for server in self._servers:
            server.wire = Wire()

    # Answering

    def _answer(self, request: Request) -> Reply:
        return self._limits.answer(request, self._answer_at_once)

    def _answer_at_once(self, request: Request) -> Reply:
        try:
            return self._handle(request)
        except Refused as refused:
            return refused.reply
        except (DropConnection, ConnectionError):
            raise
        except Exception:  # noqa: BLE001
            self.errors.append(traceback.format_exc())
            return error(500, "The local hub has a fault of its own: see hub.errors")

    def _handle(self, request: Request) -> Reply:
        handler, exchange = self._find(request)
        record, key = request.record, exchange.key
        for delay in self.faults.take(Delay, record, key):
            self._stopping.wait(delay.seconds)
        for before in self.faults.take(Before, record, key):
            before.hook(record)
        fails = list(self.faults.take(Fail, record, key))
        try:
            reply = _failure(fails[0]) if fails else self._handled(handler, exchange)
        except Refused as refused:
            reply = refused.reply
        for after in self.faults.take(After, record, key):
            after.hook(record)
        for spoil in self.faults.take(Spoil, record, key):
            reply = spoil.change(reply)
        if record.method != "HEAD":
            for cut in self.faults.take(Cut, record, key):
                reply.cut = cut.after
        return reply

    def _handled(self, handler: Handler, exchange: Exchange) -> Reply:
        if exchange.request.record.origin == "hub":
            _ = exchange.token  # An unknown token is refused everywhere, also where none is required.
        return handler(exchange)

    def _find(self, request: Request) -> tuple[Handler, Exchange]:
        method = "GET" if request.method == "HEAD" else request.method
        for wanted, pattern, handler in self._routes[request.record.origin]:
            match = pattern.fullmatch(request.path)
            if match is not None and method == wanted:
                return handler, Exchange(self, request, match)
        match = _ANYTHING[1].fullmatch(request.path)
        assert match is not None
        return _ANYTHING[2], Exchange(self, request, match)


def _failure(fail: Fail) -> Reply:
    return error(fail.status, fail.message, **dict(fail.headers))


def _drop(_: Record) -> None:
    raise DropConnection


def _nothing(_: Exchange) -> Reply:
    return error(404, "Sorry, we can't find the page you are looking for.")


def _control_flip(exchange: Exchange) -> Reply:
    hub, asked = exchange.core, exchange.request.body.json()
    assert isinstance(hub, Hub)
    hub.flip_byte(asked["repo"], asked["path"], asked.get("offset", 0), repo_type=asked.get("repo_type", "model"))
    return json_reply({})


def _control_repo(exchange: Exchange) -> Reply:
    asked = exchange.request.body.json()
    key = RepoKey(asked.get("repo_type", "model"), asked["repo"])
    if key not in exchange.core.store.repos:
        exchange.core.store.create(key, private=asked.get("private", False))
    return json_reply({})


def _control_clear(exchange: Exchange) -> Reply:
    exchange.core.faults.clear()
    return json_reply({})


_ANYTHING: Route = route("GET", r".*", _nothing)
_CONTROL = [
    route("POST", r"/_control/flip-byte", _control_flip),
    route("POST", r"/_control/repo", _control_repo),
    route("POST", r"/_control/clear", _control_clear),
]


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="A local Hugging Face Hub.")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on, any free one by default")
    parser.add_argument("--print-url", action="store_true", help="print the address")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Hub(port=options.port, control=True) as hub:
        if options.print_url:
            sys.stdout.write(f"{hub.url}\n")
            sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
