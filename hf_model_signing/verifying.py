"""Verifying: a model and its bundle against the trusted signer (section 8 of the specification)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_model_signing._util.argument_types import check_arguments
from hf_model_signing._util.paths import StrPath, path_inside, several, true_place
from hf_model_signing._util.results import Result
from hf_model_signing._util.text import show
from hf_model_signing.errors import MissingSignatureError, ModelError, VerificationError
from hf_model_signing.hashing.file_tree import Scope, names_in_model
from hf_model_signing.hashing.git_objects import is_lfs_pointer
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot
from hf_model_signing.hashing.model_hasher import Progress, hash_model, model_name
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.folders import Folders
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.oms.names import REPLACEMENT, SIGNATURE_NAME, default_ignores, matches_any
from hf_model_signing.oms.statement import Statement
from hf_model_signing.signing import relative_ignore

if TYPE_CHECKING:
    from hf_model_signing.oms.difference import Difference


@dataclass(frozen=True)
class Coverage:
    """The part of a model that is verified.

    `ignore_paths` are left out in addition to those that the signature leaves out. `only` are patterns: no other file
    is compared. `ignore_unsigned_files` accepts files that the signature does not list. `ignore_git_paths` set to false
    includes git's own files, unless the signature itself leaves them out. `hash_type` and `shard_size`, in bytes,
    reject a signature that was made with others.
    """

    ignore_paths: tuple[StrPath, ...] = ()
    only: tuple[str, ...] = ()
    ignore_unsigned_files: bool = False
    ignore_git_paths: bool = True
    hash_type: str | None = None
    shard_size: int | None = None

    def __post_init__(self) -> None:
        check_arguments(vars(self))
        object.__setattr__(self, "ignore_paths", several(self.ignore_paths))
        object.__setattr__(self, "only", several(self.only))


@dataclass(frozen=True, repr=False)
class Verification(Result):
    """A verified model: its path, the accepted signature, and the names of the files that match it.

    `from_cache` is true if the hub could not serve the model now, and an earlier download was verified instead.
    """

    path: str
    verified: Verified
    files: tuple[str, ...]
    from_cache: bool = False

    shown = ("path", "signer", "uri", "files", "from_cache")

    @property
    def statement(self) -> Statement:
        """The signed statement."""
        return self.verified.statement

    @property
    def signer(self) -> str:
        """The signer, in a few words."""
        return self.verified.signer

    @property
    def method(self) -> str:
        """The method of the signature."""
        return self.verified.method

    @property
    def facts(self) -> Mapping[str, str]:
        """Facts about the signer, for programs: `identity` and `issuer` where the method is `sigstore`."""
        return self.verified.facts

    @property
    def old_forms(self) -> tuple[str, ...]:
        """Legacy forms in the signature (section 11), for which signing again is advised."""
        return self.verified.bundle.old_forms + self.statement.old_forms

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {"verified": True, "path": self.path, **self.verified.to_dict(), "files": list(self.files)}

    def _summary(self) -> dict[str, Any]:
        return {**self.to_dict(), "from_cache": self.from_cache or None}


def verify_path(
    model: StrPath,
    signature: StrPath | Bundle,
    *,
    verifier: Verifier,
    coverage: Coverage | None = None,
    uri: str | None = None,
    by_name: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Verify a model on this machine.

    `uri` is the hub reference that it must have been signed for, by default that of its snapshot in the Hugging Face
    cache; `by_name` is as in `check_subject`. Raises `VerificationError` if it is not what a trusted signer signed. The
    result is about the files as they are read now; what others can write may change later.
    """
    bundle = signature if isinstance(signature, Bundle) else Bundle.read(signature)
    verified = verifier.verify(bundle)
    snapshot = CachedSnapshot.at(true_place(model))
    check_subject(verified.statement, uri or (snapshot.uri if snapshot else None), by_name=by_name)
    signature_file = None if isinstance(signature, Bundle) else os.fspath(signature)
    files = verify_files(model, verified.statement.manifest, coverage or Coverage(), signature_file, progress)
    verifier.pin(verified)
    return Verification(os.fspath(model), verified, files)


def find_signature(model: StrPath, *elsewhere: str) -> str:
    """Return the `model.sig` in `model`, or else in a directory of `elsewhere`; raises `MissingSignatureError`."""
    for folder in (os.fspath(model), *elsewhere):
        path = os.path.join(folder, SIGNATURE_NAME)
        if os.path.isfile(path):
            return path
    places = " or ".join(f"'{folder}'" for folder in (os.fspath(model), *elsewhere))
    raise MissingSignatureError(f"there is no {SIGNATURE_NAME} in {places}: name the signature with --signature")


def check_subject(statement: Statement, uri: str | None, *, by_name: bool = False) -> None:
    """Raise `VerificationError` if the statement was made for another repository than `uri`.

    A statement without a hub reference, which every tool but a push makes, matches any repository. With `by_name` it
    matches a repository of the Hugging Face Hub only if its subject has the same name: otherwise one model of a signer
    could be served in place of another.
    """
    if not uri:
        return
    if statement.uri and not _same_repository(uri, statement.uri):
        made = show(statement.uri)
        raise VerificationError(
            f"the signature is for another repository: it was made for '{made}', and '{uri}' was asked for"
        )
    wanted, name = _parse_reference(uri), statement.manifest.name
    if by_name and not statement.uri and wanted and name != wanted[3]:
        raise VerificationError(
            f"the signature does not say for which repository it was made, and its model is named '{show(name)}', not "
            f"'{wanted[3]}' as '{uri}' is: it may be another model of the same signer. Ask for a signature made with "
            "`hf-sign push`, or pin the digest of the model in the trust policy"
        )


def _same_repository(asked: str, signed: str) -> bool:
    if asked == signed:
        return True
    wanted, found = _parse_reference(asked), _parse_reference(signed)
    # A legacy name has no namespace, so it matches the one that the trusted signer signed for.
    return bool(wanted and found and not wanted[2] and (wanted[1], wanted[3]) == (found[1], found[3]))


def _parse_reference(uri: str) -> re.Match[str] | None:
    """Split a reference into kind, namespace and name of the repository; the words for the kinds are no namespaces."""
    from hf_model_signing._util.repository_kinds import ANY_PLURAL, PREFIXED  # late, as the pattern is: only for a hub

    return re.fullmatch(rf"hf://({'|'.join(PREFIXED)})?(?:(?!(?:{ANY_PLURAL})/)([^/]+)/)?([^/]+)", uri)


def expected_files(manifest: Manifest, coverage: Coverage) -> Mapping[str, bytes]:
    """Return the digest of each file that must be present, by path (see `Manifest.digests`).

    Raises `VerificationError` if the patterns match no file, or the signature has another hash or shard size.
    """
    how = manifest.serialization
    if coverage.hash_type not in (None, how.hash_type):
        raise VerificationError(
            f"the signature was made with the hash '{how.hash_type}', and '{coverage.hash_type}' is asked for"
        )
    if coverage.shard_size not in (None, how.shard_size):
        made = "whole files" if how.shard_size is None else f"shards of {how.shard_size:,} bytes"
        raise VerificationError(
            f"the signature was made of {made}, and shards of {coverage.shard_size:,} bytes are asked for"
        )
    digests = manifest.digests
    chosen = {name: digests[name] for name in digests if matches_any(name, coverage.only)} if coverage.only else digests
    if not chosen:
        raise VerificationError(f"no signed file fits {', '.join(map(repr, coverage.only))}; nothing was verified")
    return chosen


def ignored_paths(manifest: Manifest, coverage: Coverage, model: StrPath = "") -> frozenset[str]:
    """Return the ignored paths (section 6.2.1), except those in the manifest: a listed file is always compared."""
    own = (relative_ignore(model, path) for path in coverage.ignore_paths)
    default = (path for path in default_ignores(git=coverage.ignore_git_paths) if path != SIGNATURE_NAME)
    listed, folders = manifest.digests, Folders(manifest.digests)
    ignored = frozenset({*own, *manifest.serialization.ignore_paths, *default})
    return frozenset(path for path in ignored if path not in listed and path not in folders)


def verify_files(
    model: StrPath, manifest: Manifest, coverage: Coverage, signature_file: str | None, progress: Progress | None
) -> tuple[str, ...]:
    """Return the names of the files of `model` that match the trusted `manifest` (section 8.4).

    Raises `VerificationError` unless all of them match and there is no other file. `signature_file` is left out.
    """
    expected = expected_files(manifest, coverage)
    single = not os.path.isdir(model)
    if single:
        expected = _single_file(model, expected)
    elif "." in expected:
        raise VerificationError(f"the signature is for a single file, and '{os.fspath(model)}' is a folder")
    names = frozenset(expected) if coverage.ignore_unsigned_files else None
    follow = manifest.serialization.allow_symlinks
    try:
        # The signature cannot list itself (section 6.2).
        own = names_in_model(os.fspath(model), signature_file, allow_symlinks=follow) if signature_file else set()
        scope = Scope(ignored_paths(manifest, coverage, model) | own, coverage.only, names)
        found = hash_model(model, manifest.serialization, scope=scope, progress=progress).digests
    except ModelError as error:
        raise VerificationError(str(error)) from error
    if expected == found:
        return tuple(expected)
    from hf_model_signing.oms.difference import MismatchError, compare  # late: only this error needs it

    difference = compare(expected, found)
    raise MismatchError(_explain(model, difference, signature_file, manifest.name), difference)


def _single_file(model: StrPath, expected: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return the digest of a single-file model, which is listed under its name, or as `.` by the reference tool."""
    name = os.path.basename(os.path.abspath(model))
    if len(expected) != 1:
        raise VerificationError(f"the signature lists {len(expected)} files, and '{os.fspath(model)}' is a single file")
    return {name: expected["."]} if "." in expected else expected


def stopped_download(directory: StrPath) -> str:
    """Return a line for a refusal if a process was killed while it replaced the files of a directory."""
    if not os.path.lexists(os.path.join(directory, *REPLACEMENT.split("/"))):
        return ""
    return "\n  a download to it was stopped while it replaced files: run it again, which ends or undoes that"


def _explain(model: StrPath, difference: Difference, signature_file: str | None, made_for: str) -> str:
    message = f"'{show(os.fspath(model))}' is not what was signed: {difference.describe()}"
    if signature_file is not None:
        message += f"\n  signature: {show(signature_file)}"
        own = model_name(os.fspath(model))
        if made_for not in ("", own) and not path_inside(model, signature_file):
            message += f", which is for '{show(made_for)}', not for '{show(own)}'"
    if difference.added:
        from hf_model_signing.hashing.bytecode import how_to_remove, unsigned_bytecode  # late: only this error needs it

        if unsigned_bytecode(difference.added, ()):
            message += f"\n  {how_to_remove(show(os.fspath(model)))}"
    message += stopped_download(model)
    pointers = [name for name in difference.changed[:50] if _is_pointer(os.path.join(model, name))]
    if pointers:
        message += f"\n  {show(pointers[0])} is a Git LFS pointer, not the file itself: run `git lfs pull`"
    return message


def _is_pointer(path: str) -> bool:
    try:
        return is_lfs_pointer(path)
    except OSError:
        return False
