"""Signing: from a model to a bundle."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from hf_model_signing.bundle import Bundle
from hf_model_signing.errors import ModelError, UsageError
from hf_model_signing.hashing import Progress, hash_model
from hf_model_signing.manifest import Manifest, PathError, Serialization, check_ignore_path, default_ignores, show
from hf_model_signing.methods.interface import Signer
from hf_model_signing.paths import path_inside
from hf_model_signing.statement import Statement

__all__ = ["digest", "sign"]

Path = str | os.PathLike[str]

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def sign(
    model: Path,
    *,
    signer: Signer,
    ignore_paths: Iterable[Path] = (),
    ignore_git_paths: bool = True,
    allow_lfs_pointers: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Sign the folder or file `model` (section 6 of the specification); write the result with `Bundle.write`.

    `ignore_paths` are relative to the model, or absolute below it. Raises `ModelError` when there is nothing to sign or
    something that cannot be signed, `UsageError` for a path that does not exist or lies outside.
    """
    manifest = make_manifest(
        model,
        ignore_paths=ignore_paths,
        ignore_git_paths=ignore_git_paths,
        allow_lfs_pointers=allow_lfs_pointers,
        progress=progress,
    )
    return signer.sign(Statement(manifest))


def digest(model: Path, *, ignore_paths: Iterable[Path] = (), ignore_git_paths: bool = True) -> str:
    """The root digest of `model` (section 6.5.1), in hex, as `sign` would record it; raises as `sign` does."""
    return make_manifest(model, ignore_paths=ignore_paths, ignore_git_paths=ignore_git_paths).root_digest


def make_manifest(
    model: Path,
    *,
    ignore_paths: Iterable[Path] = (),
    ignore_git_paths: bool = True,
    allow_lfs_pointers: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Hash `model` as it is signed; raises as `sign` does."""
    if not os.path.exists(model):
        raise UsageError(no_model(model))
    manifest = hash_model(
        model,
        signed_serialization(model, ignore_paths, git=ignore_git_paths),
        allow_lfs_pointers=allow_lfs_pointers,
        progress=progress,
    )
    if not manifest.entries:
        raise ModelError(f"'{os.fspath(model)}' holds nothing to sign: no file in it, or every one is ignored")
    return manifest


def no_model(model: Path) -> str:
    """What to say when nothing is at a path."""
    path = os.fspath(model)
    hint = f"; for a repository on the Hub write hf://{path}" if _REPOSITORY.fullmatch(path) else ""
    return f"there is no model at '{show(path)}'{hint}"


def signed_serialization(model: Path, ignore_paths: Iterable[Path] = (), *, git: bool = True) -> Serialization:
    """How `model` is hashed for signing; raises `UsageError` for an ignored path that is not below it."""
    ignored = {*default_ignores(git=git), *(relative_ignore(model, path) for path in ignore_paths)}
    return Serialization(ignore_paths=tuple(sorted(ignored)))


def relative_ignore(model: Path, path: Path) -> str:
    """An ignored path as section 6.2.1 writes it: exact, relative to the model, with `/`."""
    text = os.fspath(path)
    inside = path_inside(model, text) if os.path.isabs(text) else os.path.normpath(text).replace(os.sep, "/")
    try:
        return check_ignore_path(inside or "..")
    except PathError as error:
        raise UsageError(f"cannot ignore '{show(os.fspath(path))}': {error}; name a path below the model") from error
