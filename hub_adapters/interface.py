"""What every hub has in common: how a repository is named, found, fetched, listed and written to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from hub_adapters.errors import BadReferenceError, DishonestError


@dataclass(frozen=True)
class Reference:
    """A repository on a hub: `kind` is `model`, `dataset` or `space`, `revision` what the user named, if anything."""

    hub: str
    kind: str
    name: str
    revision: str | None = None

    def __post_init__(self) -> None:
        # A revision becomes part of paths in the cache.
        if self.revision is not None and not _is_plain_path(self.revision):
            raise BadReferenceError(f"{self.revision!a} is not the name of a revision")

    @property
    def uri(self) -> str:
        """The repository without a revision, as it is signed."""
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{self.hub}://{prefix}{self.name}"

    def __str__(self) -> str:
        return self.uri if self.revision is None else f"{self.uri}@{self.revision}"


@dataclass(frozen=True)
class Resolved:
    """A reference at one fixed revision. `name` is what the hub calls the repository today; `commit` 40 hex digits."""

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
class Snapshot:
    """Files of one revision on this disk.

    `fresh` are the paths that came with this call and were not there before; `old_blobs` names the blobs that were.
    """

    path: str
    commit: str
    fresh: frozenset[str] = frozenset()
    old_blobs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Commit:
    """What was written to a hub: the revision, where to look at it, and the pull request when it is one."""

    revision: str
    url: str
    pull_request: str | None = None


class HubAdapter(ABC):
    """One hub. Every method raises a `HubError` and nothing else for what goes wrong there."""

    hub: ClassVar[str]

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Reference | None:
        """The reference that `text` names on this hub; None when it is none, `BadReferenceError` when it is broken."""

    @abstractmethod
    def place(self, reference: Reference) -> str:
        """Any text that stands for the branch of `reference` on this hub, and for no other."""

    def authorize(self, reference: Reference) -> None:  # noqa: B027 - most hubs know no such way
        """Get ready to write to the repository by what this machine itself can prove; asked before anything else."""

    @abstractmethod
    def resolve(self, reference: Reference) -> Resolved:
        """Fix the revision of `reference` to the commit that it stands for now."""

    @abstractmethod
    def remote_manifest(self, resolved: Resolved) -> Mapping[str, RemoteFile]:
        """The files that the hub lists for the revision, by path."""

    @abstractmethod
    def fetch(self, resolved: Resolved, files: Collection[RemoteFile], *, to: str | None = None) -> Snapshot:
        """Bring listed files to this disk: into the hub's own cache, or into the folder `to`."""

    @abstractmethod
    def check_writable(self, resolved: Resolved, path: str, *, create_pr: bool = False) -> None:
        """Raise `AccessError` when this user could not publish `path`; asked before anything large is downloaded."""

    @abstractmethod
    def publish(
        self, resolved: Resolved, files: Mapping[str, bytes], *, message: str, create_pr: bool = False
    ) -> Commit:
        """Write `files` in one commit whose parent is `resolved`, or not at all.

        Raises `ConflictError` when the branch has moved, `UncertainError` when the hub's answer was lost.
        """

    @abstractmethod
    def cached(self, reference: Reference) -> Snapshot | None:
        """What the hub's own cache holds for `reference`, without asking the hub."""

    @abstractmethod
    def remember(self, resolved: Resolved) -> None:
        """Note in the cache that `reference` stands for this revision, so that programs find it without the hub."""

    @abstractmethod
    def discard(self, snapshot: Snapshot, names: Collection[str]) -> None:
        """Take files that turned out bad out of the cache."""


def check_listed_path(path: object, where: str) -> str:
    """Return a path that a hub lists if it stays below the root; raise `DishonestError` if not."""
    if not isinstance(path, str) or not _is_plain_path(path):
        raise DishonestError(f"the hub lists a file of '{where}' with a path that leads elsewhere: {path!a}")
    return path


def _is_plain_path(path: str) -> bool:
    return not (set("\\\0") & set(path) or {"", ".", ".."} & set(path.split("/")))
