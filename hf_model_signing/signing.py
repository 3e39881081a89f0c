"""Signing: from a model on this machine to the manifest that is signed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_model_signing._util.paths import StrPath, path_inside
from hf_model_signing._util.text import show
from hf_model_signing.errors import BundleError, ModelError, OtherSignerError, UsageError, VerificationError
from hf_model_signing.hashing.model_hasher import Progress, hash_model
from hf_model_signing.methods.interface import Signer
from hf_model_signing.oms.bundle import UNSIGNED, Bundle
from hf_model_signing.oms.hash_algorithms import HASHES
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.names import PathError, check_ignore_path, default_ignores
from hf_model_signing.oms.statement import Statement

if TYPE_CHECKING:
    from hf_model_signing.hashing.receipts import Receipts

# They are compiled when they are needed, because every start would pay for it.
_REPOSITORY = r"(?:git@(?:hf|huggingface)\.co:)?(\w[\w.-]*/\w[\w.-]*?)(?:\.git)?/?"
_REFERENCE = r"(hf|tfhub|torchhub|https?):/([^/].*)"  # as a path object changes it


@dataclass(frozen=True)
class HowToHash:
    """The files of a model to sign, and the way to hash them; the names are those of section 5.2.2.

    `ignore_paths` are relative to the model, or absolute below it. `shard_size`, in bytes, chooses the serialization
    method `shards`. Raises `UsageError` for an unknown algorithm or an invalid size.
    """

    ignore_paths: tuple[StrPath, ...] = ()
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

    def serialization(self, model: StrPath) -> Serialization:
        """Return the serialization for `model`; raises `UsageError` for an ignored path that is not below it."""
        default = default_ignores(git=self.ignore_git_paths)
        ignored = {*default, *(relative_ignore(model, path) for path in self.ignore_paths)}
        method = "files" if self.shard_size is None else "shards"
        return Serialization(method, self.hash_type, self.allow_symlinks, tuple(sorted(ignored)), self.shard_size)


def receipts_for(
    serialization: Serialization,
    signer: Signer,
    reuse: StrPath | Bundle | None,
    *,
    note: Callable[[str], None] = lambda _: None,
) -> Receipts:
    """Return receipts for signing that reuse digests of the earlier bundle `reuse`, or its file.

    The bundle must be one that `signer` made: its signature is verified first. `note` receives a message about each
    digest that cannot be reused. Raises `UsageError` if it was made with another hash or shard size.
    """
    from hf_model_signing.hashing.receipts import Receipts

    if reuse is None:
        return Receipts(serialization)
    bundle = reuse if isinstance(reuse, Bundle) else Bundle.read(reuse)
    earlier = signer.verifier().verify(bundle).statement.manifest
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
    model: StrPath,
    how: HowToHash | None = None,
    *,
    progress: Progress | None = None,
    receipts: Receipts | None = None,
) -> Manifest:
    """Hash `model` for signing.

    Raises `UsageError` for invalid options or a missing model, and `ModelError` if it cannot be signed as it is.
    """
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


def is_changed_reference(path: StrPath) -> bool:
    """Return True if nothing is at the path, and it looks like the path object of a hub reference."""
    return bool(re.fullmatch(_REFERENCE, os.fspath(path))) and not os.path.lexists(path)


def no_model(model: StrPath) -> str:
    """Return the message for a path without a model."""
    path = os.fspath(model)
    reference, repository = re.fullmatch(_REFERENCE, path), re.fullmatch(_REPOSITORY, path)
    hint = f"; for a repository on the Hub write hf://{repository[1]}" if repository else ""
    if reference:
        hint = f"; a path cannot be a reference to a hub: give it as a string, '{reference[1]}://{show(reference[2])}'"
    return f"there is no model at '{show(path)}'{hint}"


def relative_ignore(model: StrPath, path: StrPath) -> str:
    """Return an ignored path as in section 6.2.1: exact, relative to the model, with `/`."""
    text = os.fspath(path)
    inside = path_inside(model, text) if os.path.isabs(text) else os.path.normpath(text).replace(os.sep, "/")
    try:
        return check_ignore_path(inside or "..")
    except PathError as error:
        raise UsageError(f"cannot ignore '{show(os.fspath(path))}': {error}; name a path below the model") from error


def check_replaceable(path: StrPath) -> None:
    """Raise `UsageError` when a signature cannot be written to `path`, or would destroy something that is not one.

    Raises `OSError` if no file can be made beside it, as in a directory that is read-only.
    """
    if not os.fspath(path):
        raise UsageError("the name of the signature file is empty")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder '{folder}' for the signature")
    if os.path.isdir(path):
        raise UsageError(f"'{os.fspath(path)}' is a folder; name a file for the signature")
    if os.path.exists(path):
        if not os.path.isfile(path):
            raise UsageError(f"'{os.fspath(path)}' is not a regular file; name another one for the signature")
        if os.path.getsize(path):
            try:
                Bundle.read(path)
            except BundleError as error:
                raise UsageError(
                    f"'{os.fspath(path)}' exists and is no signature; it would be overwritten: {error}"
                ) from error
    from hf_model_signing._util.atomic_files import check_can_write  # late, as `verify` writes nothing

    check_can_write(path)


def check_others(path: StrPath, signer: Signer, name: str | None) -> None:
    """Raise `OtherSignerError` if a signature at `path` would be lost that `signer` cannot make again.

    It is of another signer, or of another model than `name`, unless that is None. What nobody signed can be replaced.
    """
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        return
    bundle, where = Bundle.read(path), show(os.fspath(path))
    if bundle.method == UNSIGNED:
        return
    advice = "\n  name another file with --signature, or replace it with --force"
    made_for = _name_in(bundle)
    if name is not None and made_for not in ("", name):
        raise OtherSignerError(f"'{where}' is the signature of '{show(made_for)}', not of '{show(name)}'{advice}")
    why = ""
    if signer.method == UNSIGNED:
        why = "it is a signature, and what would take its place is none"
    elif bundle.method != signer.method:
        why = f"it was signed with the method '{bundle.method}', and this is '{signer.method}'"
    else:
        try:
            signer.verifier().verify(bundle)
        except VerificationError as error:
            why = str(error)
    if why:
        raise OtherSignerError(f"'{where}' is a signature that this signer did not make: {why}{advice}", why)


def _name_in(bundle: Bundle) -> str:
    """Return the name of the model in a bundle that was not verified; empty if the statement is malformed."""
    try:
        return Statement.parse(bundle.payload).manifest.name
    except BundleError:
        return ""
