"""Snapshot directories of the Hugging Face cache: their repository, and the links in them that may be followed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property

from hf_model_signing._util.repository_kinds import CACHED_PLURAL

# Patterns are compiled when they are used: the start of the program pays for each.
_REPOSITORY = rf"({CACHED_PLURAL})--(.+)"
_COMMIT = r"[0-9a-f]{40}"
_SHARED = r"[0-9a-f]{2}/[0-9a-f]{64}"  # a blob in the client's store that all repositories share


def uri_of(folder: str) -> str | None:
    """Return the hub reference of a repository by its folder in a cache; None for a folder of another kind."""
    repository = re.fullmatch(_REPOSITORY, os.path.basename(folder))
    return f"hf://{_prefix(repository[1])}{repository[2].replace('--', '/', 1)}" if repository else None


def _prefix(plural: str) -> str:
    return "" if plural == "models" else f"{plural}/"


@dataclass(frozen=True)
class CachedSnapshot:
    """A directory `<cache>/models--ORG--NAME/snapshots/<commit>`; its files are links to `blobs/` of the repository."""

    repository_folder: str
    kind: str
    repo_id: str
    commit: str

    @classmethod
    def at(cls, path: str) -> CachedSnapshot | None:
        """Return the snapshot that contains `path`, or None when `path` is not in such a cache."""
        parts = os.path.abspath(path).split(os.sep)
        for index in range(len(parts) - 1, 1, -1):
            if parts[index - 1] != "snapshots" or not re.fullmatch(_COMMIT, parts[index]):
                continue
            if repository := re.fullmatch(_REPOSITORY, parts[index - 2]):
                folder = os.sep.join(parts[: index - 1])
                return cls(folder, _prefix(repository[1]), repository[2].replace("--", "/", 1), parts[index])
        return None

    @property
    def uri(self) -> str:
        """The hub reference of the repository, without a revision."""
        return f"hf://{self.kind}{self.repo_id}"

    @cached_property
    def _blobs(self) -> str:
        return os.path.realpath(os.path.join(self.repository_folder, "blobs"))

    @cached_property
    def _shared(self) -> str:
        return os.path.realpath(os.path.join(os.path.dirname(self.repository_folder), "blobs"))

    def target(self, link: str) -> str | None:
        """Return the blob of the cache that `link` leads to, or None when it leads anywhere else."""
        first = os.path.normpath(os.path.join(os.path.realpath(os.path.dirname(link)), os.readlink(link)))
        if os.path.dirname(first) != self._blobs:
            return None
        final = os.path.realpath(first)
        if os.path.realpath(link) != final:
            return None  # a directory on the way is a link itself: a program would open another file
        if final == first:
            return final
        # A blob that repositories share is itself a link, to the store beside the repositories.
        inside = os.path.relpath(final, self._shared).replace(os.sep, "/")
        return final if re.fullmatch(_SHARED, inside) else None
