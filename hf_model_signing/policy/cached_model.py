"""The repository that a model in the Hugging Face cache belongs to, for the rules of a trust policy."""

from __future__ import annotations

import os

from hf_model_signing._util.paths import true_place
from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot


def repository_of(model: str | os.PathLike[str]) -> str:
    """Return the hub reference of a model in the Hugging Face cache.

    Raises `UsageError` for any other path, because no rule could know to whom it belongs.
    """
    snapshot = CachedSnapshot.at(true_place(model))
    if snapshot is None:
        name = show(os.fspath(model))
        raise UsageError(
            f"'{name}' is a path on this disk, and a trust policy has rules for repositories: give the reference of "
            "the repository, such as hf://ORG/NAME, name the directory in the `paths` of a rule, or say whose "
            f"signature to accept, as in `hf-sign verify key --public-key FILE {name}`"
        )
    return snapshot.uri
