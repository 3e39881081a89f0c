"""Files of a repository, as the Hugging Face Hub lists them."""

from __future__ import annotations

import re
from typing import Any

from hub_adapters.errors import DishonestError
from hub_adapters.interface import Reference, RemoteFile, check_listed_path

_SHA256 = re.compile(r"[0-9a-f]{64}")


def remote_file(item: Any, reference: Reference) -> RemoteFile:  # noqa: ANN401 - the client's RepoFile
    """Return a file that the hub lists; raises `DishonestError` for one that no repository can have."""
    path = check_listed_path(item.path, str(reference))
    sha256 = item.lfs.sha256 if item.lfs is not None else None
    if not isinstance(item.size, int) or not isinstance(item.blob_id, str):
        raise DishonestError(f"the hub lists '{path}' of '{reference}' without a size or a blob id")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise DishonestError(f"the hub lists '{path}' of '{reference}' with something that is not a SHA-256")
    return RemoteFile(path, item.size, item.blob_id, sha256)
