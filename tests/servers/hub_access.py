"""Access to the local hub: tokens, permissions, the requested repository and commit, and what faults change of them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from hub_adapters._util.repository_kinds import ANY_PLURAL, ANY_PREFIXED
from tests.servers.hub_faults import Faults, Impersonate, Rollback, Serve, Swap
from tests.servers.hub_http import Refused, Reply, Request, error, redirect
from tests.servers.hub_store import Commit, Content, Repo, RepoKey, Store

if TYPE_CHECKING:
    from tests.servers.hub_trusted import Publisher

_ANONYMOUS = "Invalid username or password."


@dataclass(frozen=True)
class Token:
    """A token of the hub; `everywhere` makes its user a member of every namespace.

    With `only` it is valid for that repository and unknown elsewhere. `expires` is a time of `time.monotonic`.
    """

    name: str
    user: str
    orgs: frozenset[str]
    role: str
    everywhere: bool = False
    only: RepoKey | None = None
    expires: float | None = None

    def member(self, namespace: str) -> bool:
        """True if the user belongs to a namespace."""
        return self.only is None and (self.everywhere or namespace == self.user or namespace in self.orgs)

    def reaches(self, repo: Repo) -> bool:
        """True if the repository belongs to the user."""
        return self.member(repo.namespace) if self.only is None else repo.key == self.only

    @property
    def expired(self) -> bool:
        """True if the token has expired."""
        return self.expires is not None and time.monotonic() >= self.expires


@dataclass
class Upload:
    """A large file that was announced and may be uploaded to an unguessable URL."""

    repo: Repo
    sha256: str
    size: int
    part_size: int | None
    sink: Sink
    parts: dict[int, str]


class Sink:
    """The object that receives the bytes of an upload."""

    def write(self, offset: int, data: bytes) -> None:
        """Receive bytes."""
        raise NotImplementedError

    def finish(self) -> Content | None:
        """Return the content if it is the announced one, otherwise None."""
        raise NotImplementedError


class Core:
    """The state that all routes share: the store, the faults, the tokens and the settings of the hub."""

    def __init__(self) -> None:
        self.store = Store()
        self.faults = Faults()
        self.tokens: dict[str, Token] = {}
        self.publishers: list[Publisher] = []
        self.token_lifetime = 3600  # seconds, for tokens of trusted publishers
        self.uploads: dict[str, Upload] = {}
        self.expected: dict[str, Content] = {}
        self.buckets: dict[str, dict[str, bytes]] = {}  # the files of each, by path
        self.errors: list[str] = []
        self.url = ""
        self.cdn_url = ""
        self.page_size = 1000
        self.part_size = 64 << 20
        self._secret = secrets.token_bytes(32)

    def sign(self, text: str) -> str:
        """Return the signature that proves that this hub issued a URL."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class View:
    """The shown identity of a repository; a fault can change its name and sha."""

    repo: Repo
    id: str
    sha: str
    commit: Commit


Rule = Callable[["Exchange", Repo], None]


class Exchange:
    """One request with the components of its URL, and its permissions."""

    def __init__(self, core: Core, request: Request, match: re.Match[str]) -> None:
        self.core = core
        self.request = request
        self.match = match
        self._shown_id = ""

    def part(self, name: str, default: str = "") -> str:
        """Return a decoded component of the URL."""
        return unquote(self.match.groupdict().get(name) or default)

    @cached_property
    def key(self) -> RepoKey | None:
        """Return the repository that the URL names."""
        if "id" not in self.match.groupdict():
            return None
        kind = self.part("kind", "models").rstrip("/").removesuffix("s")
        return RepoKey(kind, self.part("id"))

    @cached_property
    def token(self) -> Token | None:
        """Return the token of the request; an unknown one is refused."""
        header = self.request.headers.get("Authorization")
        if header is None:
            return None
        token = self.core.tokens.get(header.removeprefix("Bearer ").strip())
        if token is None or token.expired:
            raise Refused(error(401, "Invalid credentials in Authorization header"))
        return token

    def sees(self, repo: Repo) -> bool:
        """True if the repository is visible for this request."""
        return not repo.private or (self.token is not None and self.token.reaches(repo))

    def repo(self, rule: Rule | None = None) -> Repo:
        """Return the requested repository if it is visible and the rule allows the request."""
        asked = self.key
        assert asked is not None
        key, self._shown_id = asked, asked.id
        for fake in self.core.faults.take(Impersonate, self.request.record, asked):
            key = RepoKey(asked.type, fake.other)
            self._shown_id = fake.other if fake.claim else asked.id
        repo = self.core.store.repos.get(key)
        if repo is None:
            self._follow_alias(key)
        if repo is None or not self.sees(repo):
            raise self.missing()
        if repo.disabled:
            raise Refused(error(403, "Access to this resource is disabled."))
        if rule is not None:
            rule(self, repo)
        return repo

    def missing(self) -> Refused:
        """Return the response for a repository that does not exist or must not be revealed."""
        if self.token is None:
            return Refused(error(401, _ANONYMOUS, "RepoNotFound"))
        return Refused(error(404, "Repository not found", "RepoNotFound"))

    def _follow_alias(self, key: RepoKey) -> None:
        new = self.core.store.aliases.get(key)
        target = None if new is None else self.core.store.repos.get(RepoKey(key.type, new))
        if new is None or (target is not None and not self.sees(target)):
            return
        start, stop = self.match.span("id")
        path = self.request.path[:start] + quote(new) + self.request.path[stop:]
        query = self.request.record.query
        raise Refused(redirect(307, f"{path}?{query}" if query else path))

    def view(self, rule: Rule | None = None, revision: str | None = None) -> View:
        """Return the repository at the requested revision (main by default)."""
        repo = self.repo(rule)
        asked = revision or self.part("rev", "main")
        sha = repo.find(asked, self.moved(repo))
        if sha is None:
            raise Refused(error(404, f"Invalid rev id: {asked}", "RevisionNotFound"))
        shown = sha
        for swap in self.core.faults.take(Swap, self.request.record, self.key):
            if asked == swap.asked:
                sha = swap.served
                shown = asked if swap.claim else sha
        return View(repo, self._shown_id, shown, repo.commits[sha])

    def moved(self, repo: Repo) -> dict[str, str]:
        """The refs that a fault answers with others."""
        return {back.ref: back.sha for back in self.core.faults.take(Rollback, self.request.record, self.key)}

    def served(self, path: str, content: Content) -> Content:
        """Return the content that is sent for a file; a fault can change it."""
        for fault in self.core.faults.take(Serve, self.request.record, self.key, path):
            content = fault.change(content)
        return content

    def user(self) -> Token:
        """Return the token of the request, which is required."""
        if self.token is None:
            raise Refused(error(401, _ANONYMOUS))
        return self.token

    def writer(self, namespace: str) -> Token:
        """Return the token of the request, which must be allowed to write in a namespace."""
        token = self.write_token()
        if not token.member(namespace):
            raise Refused(error(403, f'Forbidden: you have no write access to the namespace "{namespace}"'))
        return token

    def write_token(self) -> Token:
        """Return the token of the request, which must have write permission."""
        token = self.user()
        if token.role != "write":
            raise Refused(error(403, "Forbidden: this token has no write access, use a write token"))
        return token


def may_read(exchange: Exchange, repo: Repo) -> None:
    """Refuse the contents of a gated repository without granted access."""
    token = exchange.token
    if not repo.gated or (token is not None and (token.reaches(repo) or token.user in repo.granted)):
        return
    restricted = f"Access to {repo.key.type} {repo.key.id} is restricted"
    if token is None:
        raise Refused(error(401, f"{restricted}. You must be authenticated to access it.", "GatedRepo"))
    raise Refused(error(403, f"{restricted} and you are not in the authorized list.", "GatedRepo"))


def may_write(exchange: Exchange, repo: Repo) -> None:
    """Refuse requests without write permission; the author of a pull request may write to it."""
    if repo.archived:
        raise Refused(error(403, "This repository is archived, and read-only."))
    revision = exchange.part("rev")
    if exchange.user().role == "write" and repo.pull_authors.get(revision) == exchange.user().user:
        return
    if not exchange.write_token().reaches(repo):
        raise Refused(error(403, f'Forbidden: you have no write access to the namespace "{repo.namespace}"'))


def may_propose(exchange: Exchange, repo: Repo) -> None:
    """Refuse pull requests from users who cannot read the repository, or whose token has no write permission."""
    token = exchange.write_token()
    if token.only is not None and not token.reaches(repo):
        raise Refused(error(403, "Forbidden: this token is for another repository"))
    may_read(exchange, repo)


Handler = Callable[[Exchange], Reply]
Route = tuple[str, re.Pattern[str], Handler]

_ID = r"(?P<id>[^/]+/[^/]+|[^/]+)"
API = rf"/api/(?P<kind>{ANY_PLURAL})/{_ID}"
WEB = rf"/(?P<kind>(?:{ANY_PREFIXED})/)?{_ID}"
REV = r"(?P<rev>refs/(?:pr|convert)/[^/]+|[^/]+)"


def route(method: str, pattern: str, handler: Handler) -> Route:
    """Return an entry of a table of routes."""
    return method, re.compile(pattern), handler
