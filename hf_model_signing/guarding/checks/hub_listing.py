"""A listing of a hub, compared with the signature entry by entry, while the program reads it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hf_model_signing.guarding.publishing import HOW_TO_PUBLISH
from hf_model_signing.hub.listing import compare_listing
from hf_model_signing.oms.difference import Difference, MismatchError
from hf_model_signing.oms.directories import files_below
from hf_model_signing.oms.manifest import Manifest
from hub_adapters.interface import RemoteFile

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ListedEntry(NamedTuple):
    """A file or directory in a listing; the size in bytes and the SHA-256 in hex are None if the hub states none."""

    path: str
    is_directory: bool = False
    size: object = None
    sha256: object = None

    @classmethod
    def of(cls, item: Any) -> ListedEntry:  # noqa: ANN401 - the client's RepoFile, RepoFolder or RepoSibling
        """Return an entry of the client."""
        path: str = item.path if hasattr(item, "path") else item.rfilename
        is_directory = hasattr(item, "tree_id")
        return cls(path, is_directory, getattr(item, "size", None), getattr(getattr(item, "lfs", None), "sha256", None))


class ListingComparison:
    """The comparison of one listing: each entry is added as the hub lists it, and then `end` looks for missing ones.

    A file that the signature does not list may be added: it is refused when it is loaded. The client keeps what it
    lists by directory, so nothing may be added that `is_asked_for` does not contain.
    """

    def __init__(
        self, manifest: Manifest, names: Iterable[str], directories: Iterable[str], is_asked_for: Callable[[str], bool]
    ) -> None:
        self._manifest, self._is_asked_for = manifest, is_asked_for
        self._names, self._directories = set(names), set(directories)

    @classmethod
    def of_directory(cls, manifest: Manifest, path: str | None, *, recursive: bool) -> ListingComparison:
        """Compare the listing of a directory, or of everything below it; also of a file, which is listed alone."""
        directory = plain_path(path)
        if directory in manifest.digests:
            return cls.of_file(manifest, directory)
        prefix = f"{directory}/" if directory else ""

        def is_below(name: str) -> bool:
            return name.startswith(prefix) and (recursive or "/" not in name[len(prefix) :])

        signed = manifest.directories.get(directory)
        if signed is None:
            return cls(manifest, (), (), is_below)
        if recursive:
            return cls(manifest, files_below(manifest.directories, directory), (), is_below)
        return cls(manifest, signed.files, signed.directories, is_below)

    @classmethod
    def of_paths(cls, manifest: Manifest, paths: Iterable[str]) -> ListingComparison:
        """Compare the hub's information about some files and directories."""
        given = set(paths)
        asked = {*given, *map(plain_path, given)}
        return cls(
            manifest, asked & manifest.digests.keys(), (asked & manifest.directories.keys()) - {""}, asked.__contains__
        )

    @classmethod
    def of_file(cls, manifest: Manifest, path: str) -> ListingComparison:
        """Compare the hub's answer to the question whether there is such a file."""
        name = plain_path(path)
        return cls(manifest, {name} & manifest.digests.keys(), (), name.__eq__)

    def add(self, entries: Iterable[ListedEntry]) -> None:
        """Raise `MismatchError` for a signed file that is listed with other content, twice, or where nobody asked."""
        for entry in entries:
            self._add(entry)

    def _add(self, entry: ListedEntry) -> None:
        path = entry.path
        if entry.is_directory:
            self._directories.discard(path)
        elif path in self._names:
            self._names.discard(path)
            self._compare(entry)
        elif path in self._manifest.digests:
            raise _refusal(Difference(added=(path,)), "a file is listed twice, or in a directory that it is not in")
        if not self._is_asked_for(path):
            raise _refusal(Difference(added=(path,)), "the call asked for something else")

    def end(self) -> None:
        """Raise `MismatchError` if signed files are missing in the listing, or the directories that they are in."""
        below = (files_below(self._manifest.directories, directory) for directory in self._directories)
        missing = sorted({*self._names, *(name for names in below for name in names)})
        if missing:
            raise _refusal(Difference(missing=tuple(missing)))

    def _compare(self, entry: ListedEntry) -> None:
        """Raise `MismatchError` if the listing has another size or SHA-256 of a file, as far as they are known."""
        if not isinstance(entry.size, int):
            return
        path, sha256 = entry.path, entry.sha256
        signed = {path: self._manifest.digests[path]}
        is_valid = sha256 is None or (isinstance(sha256, str) and _SHA256.fullmatch(sha256))
        listed = {path: RemoteFile(path, entry.size, "", sha256)} if is_valid else {}  # type: ignore[arg-type]
        if compare_listing(signed, self._manifest.serialization, listed):
            raise _refusal(Difference(changed=(path,)))


def plain_path(path: str | None) -> str:
    """Return a path in a repository without `.`, repeated and outer slashes; the root is empty."""
    plain = posixpath.normpath((path or "").strip("/") or ".")
    return "" if plain == "." else plain


def _refusal(difference: Difference, why: str = "") -> MismatchError:
    reason = f" ({why})" if why else ""
    return MismatchError(
        f"the hub's listing is not what was signed{reason}: {difference.describe()}\n"
        f"  (if its owner changed it since, `hf-sign push` signs it anew; {HOW_TO_PUBLISH})",
        difference,
    )
