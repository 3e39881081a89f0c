"""The file system `hf://` of `huggingface_hub` under the guard: a file is read from the cache, where it is verified."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding.answers.unverifiable import refuse_bucket
from hf_model_signing.guarding.answers.verified_loads import load_file
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.repository import GuardedRepository
from hf_model_signing.guarding.checks.request import Arguments, Request, as_keywords
from hf_model_signing.guarding.own_calls import Original, own_calls
from hf_model_signing.hashing.model_hasher import hash_file

Others = Sequence[Decider]  # guards that must accept as well


def open_remote(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - a file of fsspec
    """Return an open file of the file system `hf://`: that in the cache, if it is verified."""
    if "r" not in arguments["mode"]:
        return original(**as_keywords(arguments))
    from fsspec.implementations.local import LocalFileSystem

    remote = _RemotePath(arguments["self"], arguments["path"], arguments.get("revision"))
    return _answer(
        (decider, *others),
        remote,
        lambda cached: LocalFileSystem().open(cached, "rb"),
        lambda: original(**as_keywords(arguments)),
    )


def get_remote(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Copy a file of the file system `hf://` to a path or an open file of the caller, if it is verified."""
    file_system, path = arguments["self"], arguments["rpath"]
    local, opened = arguments["lpath"], arguments.get("outfile")
    if opened is None and isinstance(local, (str, os.PathLike)) and file_system.isdir(path):
        return original(**as_keywords(arguments))

    def copy(cached: str) -> None:
        from fsspec.core import strip_protocol
        from fsspec.implementations.local import LocalFileSystem

        target = local if opened is None else opened
        if isinstance(target, (str, os.PathLike)):
            path = os.path.realpath(strip_protocol(os.fspath(target)))
            if os.path.isfile(path) or not os.path.exists(path):
                _copy_verified(cached, path)
                return
        LocalFileSystem(auto_mkdir=True).get_file(cached, target)

    remote = _RemotePath(file_system, path, arguments.get("kwargs", {}).get("revision"))
    return _answer((decider, *others), remote, copy, lambda: original(**as_keywords(arguments)))


def _copy_verified(cached: str, target: str) -> None:
    """Copy a verified file; what `target` holds is replaced when the copy is complete and as verified."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    copy = f"{target}.{os.urandom(8).hex()}.incomplete"
    try:
        shutil.copyfile(cached, copy)
        if hash_file(copy) != hash_file(cached):
            raise VerificationError(f"'{target}' was not written: the copy is not what was verified in '{cached}'")
        os.replace(copy, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(copy)


def make_remote_file(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - None
    """Refuse a file object that reads directly from the hub, made without its file system: it cannot be verified."""
    mode = arguments.get("mode") or arguments.get("kwargs", {}).get("mode", "rb")
    if "r" not in mode:
        return original(**as_keywords(arguments))

    def refuse(_: str) -> None:
        raise VerificationError("what is read straight from the hub cannot be verified: open it through HfFileSystem")

    remote = _RemotePath(arguments["fs"], arguments["path"], arguments.get("revision"))
    return _answer((decider, *others), remote, refuse, lambda: original(**as_keywords(arguments)))


@dataclass(frozen=True)
class _RemotePath:
    """A path in the file system `hf://`, and the revision if it is given apart from the path."""

    file_system: Any  # the client's HfFileSystem
    path: str
    revision: str | None


def _answer(
    deciders: Sequence[Decider], remote: _RemotePath, verified: Callable[[str], Any], plain: Callable[[], Any]
) -> Any:  # noqa: ANN401 - as the client
    """Return what `verified` makes of the path in the cache of a verified file, or what `plain` returns if allowed.

    If there are several guards, the first one answers after the others have verified the same file.
    """
    decider, *others = deciders

    def plain_call() -> Any:  # noqa: ANN401 - as the client
        with own_calls():
            return verified(earlier.pop()) if earlier else plain()

    earlier: set[str] = set()  # the file, if another guard verified it
    resolved = remote.file_system.resolve_path(remote.path, revision=remote.revision)
    if not hasattr(resolved, "repo_id"):
        return refuse_bucket(deciders, "HfFileSystem", getattr(resolved, "bucket_id", remote.path), plain)
    request = _request(remote, resolved)
    for other in others:
        earlier.add(other.decide("HfFileSystem", request.requested, partial(_load, other, request, remote), _nothing))
    earlier.discard("")

    def checked(facts: Facts) -> Any:  # noqa: ANN401 - as the client
        cached = _load(decider, request, remote, facts)
        _check_same(earlier | {cached}, remote)
        with own_calls():
            return verified(cached)

    _check_same(earlier, remote)
    return decider.decide("HfFileSystem", request.requested, checked, plain_call)


def _request(remote: _RemotePath, resolved: Any) -> Request:  # noqa: ANN401 - the client's path
    return Request(
        {
            "repo_id": resolved.repo_id,
            "repo_type": resolved.repo_type,
            "filename": resolved.path_in_repo,
            "revision": resolved.revision,
            "endpoint": remote.file_system.endpoint,
            "token": remote.file_system.token,
        }
    )


def _load(decider: Decider, request: Request, remote: _RemotePath, facts: Facts) -> str:
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return load_file(GuardedRepository.begin(decider, request), facts)
    except EntryNotFoundError as error:
        raise FileNotFoundError(remote.path) from error


def _check_same(paths: Collection[str], remote: _RemotePath) -> None:
    if len(paths) > 1:
        raise VerificationError(f"the hub answered different guards with different commits of '{remote.path}'")


def _nothing() -> str:
    return ""


HANDLERS = (open_remote, get_remote, make_remote_file)
