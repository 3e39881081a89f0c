"""A repository in the cache of `huggingface_hub`: its directories and its branches."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hf_model_signing._util.paths import StrPath
from hf_model_signing.errors import VerificationError
from hf_model_signing.hashing.hf_cache_snapshot import uri_of
from hf_model_signing.oms.names import SIGNATURE_NAME
from hub_adapters.huggingface.cache import write_ref


@dataclass(frozen=True)
class CachedRepository:
    """The directory `models--ORG--NAME` of a repository: `blobs/`, `snapshots/<commit>/` and `refs/<branch>`."""

    uri: str
    directory: str

    @classmethod
    def of(cls, uri: str, repo_id: str, *, repo_type: str, cache_dir: StrPath | None) -> CachedRepository:
        """Return the directory of a repository in `cache_dir`, or else in the client's default cache."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        cache = os.path.realpath(os.path.expanduser(cache_dir or constants.HF_HUB_CACHE))
        return cls(uri, os.path.join(cache, repo_folder_name(repo_id=repo_id, repo_type=repo_type)))

    @property
    def cache_directory(self) -> str:
        """The cache that holds it."""
        return os.path.dirname(self.directory)

    def snapshot(self, commit: str) -> str:
        """Return the directory of a commit."""
        return os.path.join(self.directory, "snapshots", commit)

    def signature(self, commit: str) -> str:
        """Return the path of the signature of a commit."""
        return os.path.join(self.snapshot(commit), SIGNATURE_NAME)

    def commit_of(self, path: str) -> str:
        """Return the commit whose snapshot holds `path`; raise `VerificationError` if none does."""
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        snapshots = os.path.realpath(os.path.join(self.directory, "snapshots"))  # the directory may be a link
        commit = os.path.relpath(real, snapshots).split(os.sep)[0]
        if commit in (os.pardir, os.curdir):
            raise VerificationError(f"'{path}' does not lie in the cache of '{self.uri}'")
        return commit

    def resolve(self, revision: str) -> str:
        """Return the commit that the cache has for a branch or tag; raise `VerificationError` if it has none."""
        try:
            with open(self._ref(revision), encoding="ascii") as file:
                return file.read(64).strip()
        except (OSError, ValueError) as error:
            raise VerificationError(f"the cache does not tell which revision '{revision}' is: {error}") from error

    def move_branch(self, revision: str, commit: str) -> None:
        """Point a branch or tag to a commit, as the client does after a download."""
        if self._read_ref(revision) != commit:
            write_ref(self.directory, revision, commit)

    def blobs(self) -> frozenset[str]:
        """Return the names of the blobs."""
        try:
            return frozenset(os.listdir(os.path.join(self.directory, "blobs")))
        except OSError:
            return frozenset()

    def _read_ref(self, revision: str) -> str | None:
        try:
            with open(self._ref(revision), encoding="ascii") as file:
                return file.read(64)
        except (OSError, ValueError):
            return None

    def _ref(self, revision: str) -> str:
        return os.path.join(self.directory, "refs", revision)


def repositories_in(cache: str) -> list[str]:
    """Return the directory of each repository in a cache."""
    with os.scandir(cache) as entries:
        return [entry.path for entry in entries if uri_of(entry.path) is not None]
