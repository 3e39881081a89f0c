"""What every hub has in common: how a repository is named, found, fetched, listed and written to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from hub_adapters.errors import BadReferenceError, DishonestError, UnsupportedError
from hub_adapters.limits import Limits


@dataclass(frozen=True)
class Reference:
    """A model on a hub: `kind` is `model`, `dataset` or `space`, `revision` what the user named, if anything.

    `mark` stands between name and revision. `beside` are files that belong to the one that is named. `address` is what
    was typed where the name does not tell it all; it may hold a secret, and is never shown.
    """

    hub: str
    kind: str
    name: str
    revision: str | None = None
    mark: str = "@"
    beside: tuple[str, ...] = ()
    address: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        # A revision becomes part of paths in the cache.
        if self.revision is not None and not is_plain_path(self.revision):
            raise BadReferenceError(f"{self.revision!a} is not the name of a revision")

    @property
    def uri(self) -> str:
        """The repository without a revision, as it is signed."""
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{self.hub}://{prefix}{self.name}"

    def __str__(self) -> str:
        return self.uri if self.revision is None else f"{self.uri}{self.mark}{self.revision}"


@dataclass(frozen=True)
class Resolved:
    """A reference at one fixed revision. `name` is what the hub calls the repository today; `commit` 40 hex digits.

    Where a hub tells the revision only with the content, `commit` is what the user named, or empty.
    """

    reference: Reference
    name: str
    commit: str

    @property
    def uri(self) -> str:
        """The reference that a signature made now would carry."""
        return Reference(self.reference.hub, self.reference.kind, self.name).uri


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub lists it: path, size in bytes, git blob id, and the SHA-256 in hex where the hub knows it."""

    path: str
    size: int
    blob_id: str
    sha256: str | None = None


@dataclass(frozen=True)
class ListedRepository:
    """A repository as the list of its owner shows it; `commit` is the head of its main branch where the list tells."""

    reference: Reference
    commit: str = ""
    private: bool = False
    gated: bool = False
    disabled: bool = False
    archived: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Files of one revision on this disk: a folder, or a model that is a single file.

    `fresh` are the paths that came with this call and were not there before, `.` for all of them; `old_blobs` names the
    blobs that were. `pins` are the facts that tell exactly what was fetched, by name.
    """

    path: str
    commit: str
    fresh: frozenset[str] = frozenset()
    old_blobs: frozenset[str] = frozenset()
    pins: Mapping[str, str] = field(default_factory=dict)


class DownloadProgress(Protocol):
    """What wants to know how far a download is, in bytes."""

    def download(self, name: str, size: int | None, done: int) -> None:
        """A download begins, or goes on with `done` bytes that are there already; `size` is None when nobody knows."""

    def downloaded(self, name: str, count: int) -> None:
        """`count` more bytes of it have come."""

    def download_ended(self, name: str) -> None:
        """It is complete, or given up."""


@dataclass(frozen=True)
class FetchOptions:
    """How something is fetched: how much of it, who watches, and who is told what a person may want to know.

    `anew` asks for all of it again, whatever is here already. Of a model that comes as a whole, `leave_out` are files
    and folders that are not kept, and `keep` the only files that are, if it is given.
    """

    limits: Limits = Limits()
    progress: DownloadProgress | None = None
    note: Callable[[str], None] = lambda _: None
    anew: bool = False
    leave_out: frozenset[str] = frozenset()
    keep: frozenset[str] | None = None


@dataclass(frozen=True)
class Commit:
    """What was written to a hub: the revision, where to look at it, and the pull request when it is one."""

    revision: str
    url: str
    pull_request: str | None = None


class HubAdapter(ABC):
    """One hub. Every method raises a `HubError` and nothing else for what goes wrong there.

    A hub has to name its models and to give them; what else it cannot do raises `UnsupportedError`.
    """

    hub: ClassVar[str]
    title: ClassVar[str]

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Reference | None:
        """The reference that `text` names on this hub; None when it is none, `BadReferenceError` when it is broken."""

    @abstractmethod
    def resolve(self, reference: Reference) -> Resolved:
        """Fix the revision of `reference` to the commit that it stands for now."""

    @abstractmethod
    def fetch(
        self,
        resolved: Resolved,
        files: Collection[RemoteFile] | None = None,
        *,
        to: str | None = None,
        options: FetchOptions | None = None,
    ) -> Snapshot:
        """Bring the model to this disk, or just listed files of it: into a cache, or into the folder `to`."""

    def names_files(self, reference: Reference) -> bool:
        """Whether the model may be several files that somebody has to name: the user, or a signature."""
        return False

    def beside(self, reference: Reference, names: Iterable[str]) -> Reference:
        """The reference with the files `names` that lie beside it and belong to it, by their paths in the model."""
        raise UnsupportedError(f"{self.title} gives whole models: there is nothing to name beside '{reference}'")

    def place(self, reference: Reference) -> str:
        """Any text that stands for the branch of `reference` on this hub, and for no other."""
        return str(reference)

    def authorize(self, reference: Reference) -> None:  # noqa: B027 - most hubs know no such way
        """Get ready to write to the repository by what this machine itself can prove; asked before anything else."""

    @property
    def lists_files(self) -> bool:
        """Whether the hub tells what a revision holds without sending all of it."""
        return type(self).remote_manifest is not HubAdapter.remote_manifest

    @property
    def takes_commits(self) -> bool:
        """Whether anything can be written to the hub."""
        return type(self).publish is not HubAdapter.publish

    def remote_manifest(self, resolved: Resolved) -> Mapping[str, RemoteFile]:
        """The files that the hub lists for the revision, by path."""
        raise UnsupportedError(
            f"{self.title} lists no digests: '{resolved.reference}' has to be downloaded to be hashed"
        )

    def check_writable(self, resolved: Resolved, path: str, *, create_pr: bool = False) -> None:
        """Raise `AccessError` when this user could not publish `path`; asked before anything large is downloaded."""
        raise self._takes_no_commits(resolved.reference)

    def publish(
        self, resolved: Resolved, files: Mapping[str, bytes], *, message: str, create_pr: bool = False
    ) -> Commit:
        """Write `files` in one commit whose parent is `resolved`, or not at all.

        Raises `ConflictError` when the branch has moved, `UncertainError` when the hub's answer was lost.
        """
        raise self._takes_no_commits(resolved.reference)

    def check_takes_commits(self, reference: Reference) -> None:
        """Raise `UnsupportedError` for a hub that nothing can be written to."""
        if not self.takes_commits:
            raise self._takes_no_commits(reference)

    def repositories(self, owner: str, kinds: Collection[str]) -> Iterator[ListedRepository]:
        """What the hub lists of a user or an organisation, page by page; of the `kinds` model, dataset and space."""
        raise UnsupportedError(f"{self.title} does not list what somebody has published")

    def pull_requests(self, resolved: Resolved) -> list[Resolved]:
        """The heads of the newest pull requests of a repository, open or not, each under the name of its own branch."""
        raise UnsupportedError(f"{self.title} has no pull requests")

    def page(self, reference: Reference) -> str:
        """The web address at which people look at the repository; empty where there is none."""
        return ""

    def read(self, resolved: Resolved, file: RemoteFile) -> bytes:
        """The bytes of a listed file that is small enough to be held, without keeping them anywhere."""
        raise UnsupportedError(f"{self.title} gives whole models, not single files")

    def cached(self, reference: Reference, options: FetchOptions | None = None) -> Snapshot | None:
        """What the hub's own cache holds for `reference`, without asking the hub."""
        return None

    def remember(self, resolved: Resolved) -> None:  # noqa: B027 - a hub without a cache
        """Note in the cache that `reference` stands for this revision, so that programs find it without the hub."""

    def discard(self, snapshot: Snapshot, names: Collection[str]) -> None:  # noqa: B027 - a hub without a cache
        """Take files that turned out bad out of the cache."""

    def holds(self, reference: Reference) -> bool:
        """Whether the hub's cache has anything of the repository."""
        return False

    def _takes_no_commits(self, reference: Reference) -> UnsupportedError:
        return UnsupportedError(
            f"{self.title} takes no commits: `hf-sign sign … {reference}` writes the signature to a file, which you "
            "publish where people find it"
        )


def check_listed_path(path: object, where: str) -> str:
    """Return a path that a hub lists if it stays below the root; raise `DishonestError` if not."""
    if not isinstance(path, str) or not is_plain_path(path):
        raise DishonestError(f"the hub lists a file of '{where}' with a path that leads elsewhere: {path!a}")
    return path


def is_plain_path(path: str) -> bool:
    """Whether a path stays below the folder that it is relative to."""
    return not (set("\\\0") & set(path) or {"", ".", ".."} & set(path.split("/")))
