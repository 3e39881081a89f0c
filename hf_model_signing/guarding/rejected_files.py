"""Removal of files that a call downloaded and that turned out not to be as signed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from hf_model_signing.errors import RefusedError
from hf_model_signing.guarding.client_cache import CachedRepository
from hf_model_signing.hashing.file_tree import state_of
from hf_model_signing.hub.mismatch import discard_rejected
from hf_model_signing.oms.difference import MismatchError
from hub_adapters.huggingface.cache import discard
from hub_adapters.interface import Snapshot


@contextmanager
def discarding_rejected(cache: CachedRepository, directory: str, commit: str, names: Collection[str]) -> Iterator[None]:
    """If the block refuses, remove those of the files `names` in `directory` that it downloaded and that are bad.

    Files that were there before stay, and the error says where. The blob of a file goes with it, unless the blob was
    there before with the same content.
    """
    paths = {name: os.path.join(directory, name) for name in names}
    before = {name: _state(path) for name, path in paths.items()}
    blobs = cache.blobs() if names else frozenset()
    try:
        yield
    except RefusedError as error:
        new = frozenset(name for name, path in paths.items() if _state(path) != before[name])
        # A blob that was there and has other content now is new as well.
        written = {os.path.basename(os.path.realpath(paths[name])) for name in new if before[name]}
        difference = error.difference if isinstance(error, MismatchError) else None
        blame = discard_rejected(Snapshot(directory, commit, new, blobs - written), difference or None, discard)
        if isinstance(error, MismatchError):
            kept = "; it was not kept" if blame.sent else ""
            raise MismatchError(f"{error}\n  ({blame.describe()}{kept})", error.difference) from error
        raise


def _state(path: str) -> tuple[int, ...] | None:
    """Return the file state of the file that a path leads to; None if it leads to no file."""
    try:
        return state_of(os.stat(path))
    except OSError:
        return None
