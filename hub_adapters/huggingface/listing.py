"""Files of a repository, as the Hugging Face Hub lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hub_adapters.errors import DishonestError
from hub_adapters.interface import Reference, RemoteFile, check_listed_path

_BLOB_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_ENTRIES = 500_000  # several times what the Hub accepts in one repository
_MOST_CHARACTERS = 64 * 1024 * 1024  # of all paths; those of a model that a signature can list have half of it


def listed_files(entries: Iterable[Any], reference: Reference) -> dict[str, RemoteFile]:
    """Return the files among the entries of a tree, by path; the client's own objects are not kept.

    Raises `DishonestError` for what no repository can have.
    """
    from huggingface_hub.hf_api import RepoFile

    tree: dict[str, RemoteFile] = {}
    characters = 0
    for number, entry in enumerate(entries, 1):
        if number > _MOST_ENTRIES:
            raise DishonestError(f"the hub lists more than {_MOST_ENTRIES:,} entries for '{reference}'")
        if not isinstance(entry, RepoFile):
            continue
        file = remote_file(entry, reference)
        if file.path in tree:
            raise DishonestError(f"the hub lists a file of '{reference}' twice")
        characters += len(file.path)
        if characters > _MOST_CHARACTERS:
            raise DishonestError(f"the paths that the hub lists for '{reference}' are too long together")
        tree[file.path] = file
    return tree


def remote_file(item: Any, reference: Reference) -> RemoteFile:  # noqa: ANN401 - the client's RepoFile
    """Return a file that the hub lists; raises `DishonestError` for one that no repository can have."""
    path = check_listed_path(item.path, str(reference))
    sha256 = item.lfs.sha256 if item.lfs is not None else None
    if not (isinstance(item.size, int) and 0 <= item.size < 1 << 63 and _BLOB_ID.fullmatch(str(item.blob_id))):
        raise DishonestError(f"the hub lists '{path}' of '{reference}' without a size or a blob id")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise DishonestError(f"the hub lists '{path}' of '{reference}' with something that is not a SHA-256")
    return RemoteFile(path, item.size, item.blob_id, sha256)
