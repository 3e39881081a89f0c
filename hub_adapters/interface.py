"""The interface of a hub adapter, and its value types: references, snapshots, listings, commits.

Other packages implement it as well; the names here are public. Sizes are in bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from hub_adapters._util.path_depth import MAX_DEPTH, is_too_deep
from hub_adapters.errors import BadReferenceError, DishonestError, UnsupportedError
from hub_adapters.limits import Limits

_LONGEST_PATH = 4096  # characters; no common file system has more


@dataclass(frozen=True)
class Reference:
    """A model on a hub: `kind` is `model`, `dataset`, `space` or `kernel`.

    `revision` is the one that the user named, if any. `mark` separates name and revision. `beside` are the paths of
    further files of the model, relative to the one that is named. `url` is the URL as the user typed it, for hubs whose
    names do not contain all of it; it may contain a secret and is never shown. Raises `BadReferenceError` for a
    revision that is not a plain path.
    """

    hub: str
    kind: str
    name: str
    revision: str | None = None
    mark: str = "@"
    beside: tuple[str, ...] = ()
    url: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        # The revision is used in paths of the cache.
        if self.revision is not None and not is_plain_path(self.revision):
            raise BadReferenceError(f"{self.revision!a} is not the name of a revision")

    @property
    def uri(self) -> str:
        """The reference without a revision, as it is signed."""
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{self.hub}://{prefix}{self.name}"

    def __str__(self) -> str:
        return self.uri if self.revision is None else f"{self.uri}{self.mark}{self.revision}"


@dataclass(frozen=True)
class Resolved:
    """A reference at one commit. `name` is the current name of the repository, which differs after a renaming.

    `commit` has 40 hex digits. For a hub that reveals the commit only with the content, it is the revision that the
    user named, or empty.
    """

    reference: Reference
    name: str
    commit: str

    @property
    def uri(self) -> str:
        """The reference that a signature made now would carry."""
        return Reference(self.reference.hub, self.reference.kind, self.name).uri


@dataclass(frozen=True, slots=True)  # half a million of them may be in memory
class RemoteFile:
    """A file in a listing: path, size, id of the git blob, and the SHA-256 in hex if the hub states it."""

    path: str
    size: int
    blob_id: str
    sha256: str | None = None


@dataclass(frozen=True)
class ListedRepository:
    """A repository in the list of an owner; `commit` is the head of its main branch if the list states it.

    `refusal` says why an entry of the list is no repository of the owner; its reference is for messages only then.
    """

    reference: Reference
    commit: str = ""
    private: bool = False
    gated: bool = False
    disabled: bool = False
    archived: bool = False
    refusal: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Files of one revision on this machine; `path` is a directory, or the file of a single-file model.

    `fresh` are the paths that this call downloaded and that did not exist before, `.` for all of them; `old_blobs` are
    the blobs in the cache that existed before. `pins` are the download facts by name, such as a URL, an ETag or the
    digest of an archive: they identify exactly what was downloaded, and signatures contain them as annotations.
    """

    path: str
    commit: str
    fresh: frozenset[str] = frozenset()
    old_blobs: frozenset[str] = frozenset()
    pins: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class DownloadProgress(Protocol):
    """Observer of downloads."""

    def download(self, name: str, size: int | None, done: int) -> None:
        """Receive the start of a download, which may continue after `done` bytes; `size` is None if it is unknown."""

    def downloaded(self, name: str, count: int) -> None:
        """Receive the arrival of `count` more bytes."""

    def download_ended(self, name: str) -> None:
        """Receive the end of a download, complete or not."""


@dataclass(frozen=True)
class FetchOptions:
    """Options of a download: limits, an observer, and `note`, which receives messages for the user.

    `anew` downloads everything again even if a copy is in the cache. For hubs that serve whole models, `leave_out` are
    files and directories that are removed after the download, and `keep`, if given, are the only files that remain.
    """

    limits: Limits = Limits()
    progress: DownloadProgress | None = None
    note: Callable[[str], None] = lambda _: None
    anew: bool = False
    leave_out: frozenset[str] = frozenset()
    keep: frozenset[str] | None = None


@dataclass(frozen=True)
class Commit:
    """A commit that was written to a hub: its revision, its URL, and the URL of the pull request if there is one."""

    revision: str
    url: str
    pull_request: str | None = None


class HubAdapter(ABC):
    """One hub. Every method raises `HubError`, and nothing else, when the hub or the connection to it fails.

    A hub must parse references and serve models: `parse`, `resolve` and `fetch`. The other methods have defaults, which
    raise `UnsupportedError` where a hub without them cannot do the work.
    """

    hub: ClassVar[str]
    title: ClassVar[str]

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Reference | None:
        """Return the reference that `text` names, or None for a reference to another hub or a local path.

        Raises `BadReferenceError` for a malformed reference to this hub.
        """

    @abstractmethod
    def resolve(self, reference: Reference) -> Resolved:
        """Return `reference` at the commit that its revision names now."""

    @abstractmethod
    def fetch(
        self,
        resolved: Resolved,
        files: Collection[RemoteFile] | None = None,
        *,
        to: str | None = None,
        options: FetchOptions | None = None,
    ) -> Snapshot:
        """Download the model, or only the listed `files` of it, to a cache or to the directory `to`."""

    def names_files(self, reference: Reference) -> bool:
        """Return True if the model may have files that the hub does not list: the user or a signature names them."""
        return False

    def beside(self, reference: Reference, names: Iterable[str]) -> Reference:
        """Return the reference with the further files `names` of the model, relative to the file that is named."""
        raise UnsupportedError(f"{self.title} gives whole models: there is nothing to name beside '{reference}'")

    def branch_key(self, reference: Reference) -> str:
        """Return a text that identifies the branch of `reference` at this endpoint: the key of its rollback record."""
        return str(reference)

    def authorize(self, reference: Reference) -> None:  # noqa: B027 - most hubs have no such login
        """Log in with credentials of this machine, such as the identity of a CI job; called before anything else."""

    @property
    def lists_files(self) -> bool:
        """True if the hub lists the files of a revision without a download."""
        return type(self).remote_manifest is not HubAdapter.remote_manifest

    @property
    def takes_commits(self) -> bool:
        """True if the hub accepts commits."""
        return type(self).publish is not HubAdapter.publish

    def remote_manifest(self, resolved: Resolved) -> Mapping[str, RemoteFile]:
        """Return the files that the hub lists for the commit, by path."""
        raise UnsupportedError(
            f"{self.title} lists no digests: '{resolved.reference}' has to be downloaded to be hashed"
        )

    def check_writable(self, resolved: Resolved, path: str, *, create_pr: bool = False) -> None:
        """Raise `AccessError` if this user may not publish `path`; called before anything large is downloaded."""
        raise self._takes_no_commits(resolved.reference)

    def publish(
        self, resolved: Resolved, files: Mapping[str, bytes], *, message: str, create_pr: bool = False
    ) -> Commit:
        """Write `files` in one commit with the parent `resolved`, or not at all.

        Raises `ConflictError` when the branch has moved, `UncertainError` when the response of the hub was lost.
        """
        raise self._takes_no_commits(resolved.reference)

    def check_takes_commits(self, reference: Reference) -> None:
        """Raise `UnsupportedError` if the hub does not accept commits."""
        if not self.takes_commits:
            raise self._takes_no_commits(reference)

    def repositories(self, owner: str, kinds: Collection[str]) -> Iterator[ListedRepository]:
        """Yield the repositories of a user or an organisation, of some `kinds` (see `Reference`)."""
        raise UnsupportedError(f"{self.title} does not list what somebody has published")

    def pull_requests(self, resolved: Resolved) -> list[Resolved]:
        """Return the heads of the newest pull requests, open or not, each with its own branch as the revision."""
        raise UnsupportedError(f"{self.title} has no pull requests")

    def page(self, reference: Reference) -> str:
        """Return the URL of the repository's page for a browser, or an empty string."""
        return ""

    def read(self, resolved: Resolved, file: RemoteFile) -> bytes:
        """Return the content of a listed file that fits into memory, without storing it in a cache."""
        raise UnsupportedError(f"{self.title} gives whole models, not single files")

    def cached(self, reference: Reference, options: FetchOptions | None = None) -> Snapshot | None:
        """Return the snapshot of `reference` in the hub's own cache, without a request, or None."""
        return None

    def remember(self, resolved: Resolved) -> None:  # noqa: B027 - a hub without a cache
        """Record in the cache that the revision names this commit, so that programs find it without the hub."""

    def discard(self, snapshot: Snapshot, names: Collection[str]) -> None:  # noqa: B027 - a hub without a cache
        """Remove files that failed verification from the cache."""

    def holds(self, reference: Reference) -> bool:
        """Return True if the hub's cache has anything of the repository."""
        return False

    def _takes_no_commits(self, reference: Reference) -> UnsupportedError:
        return UnsupportedError(
            f"{self.title} takes no commits: `hf-sign sign … {reference}` writes the signature to a file, which you "
            "publish where people find it"
        )


def check_listed_path(path: object, where: str) -> str:
    """Return a path from a listing if a file below the root can have it; raise `DishonestError` if not."""
    if not isinstance(path, str) or not is_plain_path(path):
        raise DishonestError(f"the hub lists a file of '{where}' with a path that leads elsewhere: {path!a:.300}")
    if len(path) > _LONGEST_PATH or is_too_deep(path):
        raise DishonestError(
            f"the hub lists a file of '{where}' with a path of more than {MAX_DEPTH} names or {_LONGEST_PATH:,} "
            f"characters: {path!a:.300}"
        )
    return path


def is_plain_path(path: str) -> bool:
    """Return True for a relative path without `..`, empty components and backslashes."""
    return not (set("\\\0") & set(path) or {"", ".", ".."} & set(path.split("/")))
