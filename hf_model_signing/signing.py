"""Signing: from a model to a bundle."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_model_signing._util.paths import path_inside, several
from hf_model_signing._util.text import show
from hf_model_signing.errors import ModelError, UsageError
from hf_model_signing.hashing.model_hasher import Progress, hash_model
from hf_model_signing.methods.interface import Signer
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.hash_algorithms import HASHES
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.names import PathError, check_ignore_path, default_ignores
from hf_model_signing.oms.statement import Statement

if TYPE_CHECKING:
    from hf_model_signing.hashing.receipts import Receipts

__all__ = ["digest", "sign"]

Path = str | os.PathLike[str]

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class HowToHash:
    """What is taken of a model, and how it is hashed; the names are those of the serialization (section 5.2.2).

    `ignore_paths` are relative to the model, or absolute below it. `shard_size`, in bytes, chooses the serialization
    method `shards`. Raises `UsageError` for an algorithm or a size that cannot be.
    """

    ignore_paths: tuple[Path, ...] = ()
    ignore_git_paths: bool = True
    allow_symlinks: bool = False
    hash_type: str = "sha256"
    shard_size: int | None = None
    allow_lfs_pointers: bool = False

    def __post_init__(self) -> None:
        if self.hash_type not in HASHES:
            known = ", ".join(HASHES)
            raise UsageError(f"there is no hash algorithm '{self.hash_type}' in the format; it has {known}")
        size = self.shard_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size <= 0):
            raise UsageError(f"the shard size is {size!r}; it must be a whole number of bytes above zero")

    def serialization(self, model: Path) -> Serialization:
        """How `model` is hashed for signing; raises `UsageError` for an ignored path that is not below it."""
        default = default_ignores(git=self.ignore_git_paths)
        ignored = {*default, *(relative_ignore(model, path) for path in self.ignore_paths)}
        method = "files" if self.shard_size is None else "shards"
        return Serialization(method, self.hash_type, self.allow_symlinks, tuple(sorted(ignored)), self.shard_size)


def sign(
    model: Path,
    *,
    signer: Signer,
    ignore_paths: Path | Iterable[Path] = (),
    ignore_git_paths: bool = True,
    allow_symlinks: bool = False,
    hash_type: str = "sha256",
    shard_size: int | None = None,
    allow_lfs_pointers: bool = False,
    reuse: Path | Bundle | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Sign the folder or file `model` (section 6 of the specification); write the result with `Bundle.write`.

    `ignore_paths` are relative to the model, or absolute below it; `hash_type` is `sha256`, `blake2b` or `blake3`;
    `shard_size`, in bytes, signs byte ranges of that size in place of whole files (section 6.3.2); `allow_symlinks`
    signs what links lead to (section 6.1.1); `reuse` is an earlier signature of the same signer: its digests are taken
    for large files that have not changed since they were hashed on this machine. Raises `ModelError` when there is
    nothing to sign or something that cannot be signed, `UsageError` for a choice that cannot be or a path that does not
    exist or lies outside, `VerificationError` when the earlier signature is not the signer's.
    """
    how = HowToHash(several(ignore_paths), ignore_git_paths, allow_symlinks, hash_type, shard_size, allow_lfs_pointers)
    receipts = receipts_for(how.serialization(model), signer, reuse)
    return signer.sign(Statement(make_manifest(model, how, progress=progress, receipts=receipts)))


def digest(
    model: Path,
    *,
    ignore_paths: Path | Iterable[Path] = (),
    ignore_git_paths: bool = True,
    allow_symlinks: bool = False,
    hash_type: str = "sha256",
    shard_size: int | None = None,
) -> str:
    """The root digest of `model` (section 6.5.1), SHA-256 in hex, as `sign` would record it; raises as `sign` does."""
    how = HowToHash(several(ignore_paths), ignore_git_paths, allow_symlinks, hash_type, shard_size)
    return make_manifest(model, how).root_digest


def receipts_for(
    serialization: Serialization,
    signer: Signer,
    reuse: Path | Bundle | None,
    *,
    note: Callable[[str], None] = lambda _: None,
) -> Receipts:
    """The receipts for signing, which take digests from the earlier bundle `reuse` once it is verified; see `sign`."""
    from hf_model_signing.hashing.receipts import Receipts

    if reuse is None:
        return Receipts(serialization)
    bundle = reuse if isinstance(reuse, Bundle) else Bundle.read(reuse)
    earlier = signer.verifier().verify(bundle).manifest
    was = earlier.serialization
    if (was.method, was.hash_type, was.shard_size) != (
        serialization.method,
        serialization.hash_type,
        serialization.shard_size,
    ):
        made = f"the hash '{was.hash_type}'" + (f" in shards of {was.shard_size:,} bytes" if was.shard_size else "")
        raise UsageError(f"no digest of the earlier signature can be used: it was made with {made}")
    return Receipts(serialization, earlier.digests, note)


def make_manifest(
    model: Path,
    how: HowToHash | None = None,
    *,
    progress: Progress | None = None,
    receipts: Receipts | None = None,
) -> Manifest:
    """Hash `model` as it is signed; raises as `sign` does."""
    if not os.path.exists(model):
        raise UsageError(no_model(model))
    chosen = how or HowToHash()
    manifest = hash_model(
        model,
        chosen.serialization(model),
        allow_lfs_pointers=chosen.allow_lfs_pointers,
        progress=progress,
        receipts=receipts,
    )
    if not manifest.digests:
        raise ModelError(f"'{os.fspath(model)}' holds nothing to sign: no file in it, or every one is ignored")
    if not manifest.entries:
        raise ModelError(
            f"every file of '{os.fspath(model)}' is empty, and shards list no empty file: sign whole files"
        )
    return manifest


def no_model(model: Path) -> str:
    """What to say when nothing is at a path."""
    path = os.fspath(model)
    hint = f"; for a repository on the Hub write hf://{path}" if _REPOSITORY.fullmatch(path) else ""
    return f"there is no model at '{show(path)}'{hint}"


def relative_ignore(model: Path, path: Path) -> str:
    """An ignored path as section 6.2.1 writes it: exact, relative to the model, with `/`."""
    text = os.fspath(path)
    inside = path_inside(model, text) if os.path.isabs(text) else os.path.normpath(text).replace(os.sep, "/")
    try:
        return check_ignore_path(inside or "..")
    except PathError as error:
        raise UsageError(f"cannot ignore '{show(os.fspath(path))}': {error}; name a path below the model") from error
