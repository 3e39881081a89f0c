"""Bytecode below a verified directory: Python never writes it there, and never reads it from there.

When a program puts a snapshot on `sys.path`, Python writes `__pycache__` into it, which no signature lists, and reads
what lies there in place of the verified source. Both begin with an audit event, and Python goes on without bytecode if
that raises `OSError`. With `sys.pycache_prefix` the bytecode lies elsewhere, and `open_hook.py` asks about the place
beside its source. See `docs/decisions/010-bytecode.md`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_model_signing.guarding.checks.decider import Decider

Check = Callable[["Decider", str, "re.Match[str]"], None]


def check_read(decider: Decider, path: str, match: re.Match[str]) -> None:
    """Raise `FileNotFoundError` for bytecode in a cache, unless a verified signature lists it."""
    from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot

    if not _verifies(decider, path, match):
        return
    snapshot = CachedSnapshot.at(path)
    if snapshot is not None:
        name = path[len(os.path.join(snapshot.repository_folder, "snapshots", snapshot.commit)) + 1 :]
        manifests = decider.state.manifests_of(snapshot.commit)
        if any(name.replace(os.sep, "/") in manifest.digests for _, manifest in manifests):
            return
    raise _missing(path)


def check_read_of_model(decider: Decider, path: str, _: re.Match[str]) -> None:
    """Raise `FileNotFoundError` for bytecode in a model in a plain directory."""
    if decider.policy.model_at(path) is not None:
        raise _missing(path)


def check_write(decider: Decider, path: str, match: re.Match[str]) -> None:
    """Raise `PermissionError` for bytecode in a cache."""
    if _verifies(decider, path, match):
        raise _forbidden(path)


def check_write_to_model(decider: Decider, path: str, _: re.Match[str]) -> None:
    """Raise `PermissionError` for bytecode in a model in a plain directory."""
    if decider.policy.model_at(path) is not None:
        raise _forbidden(path)


def _verifies(decider: Decider, path: str, match: re.Match[str]) -> bool:
    """Return True unless a guard lets the repository be used without a signature."""
    from hf_model_signing.hashing.hf_cache_snapshot import uri_of

    uri = uri_of(path[: match.end("repository")]) if match["repository"] else None
    return uri is None or decider.requires_signature(uri)


def _missing(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _forbidden(path: str) -> PermissionError:
    return PermissionError(errno.EPERM, "the guard lets no bytecode of a verified directory be kept", path)
