"""The file system `hf://` of `huggingface_hub` under the guard: a file is read as it lies in the cache, verified."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding.client_calls import Values, file_of, spread
from hf_model_signing.guarding.client_hook import Original, original_of, own_calls
from hf_model_signing.guarding.guard import Guard
from hf_model_signing.guarding.repository import Asked, GuardedRepository
from hf_model_signing.hashing.model_hasher import hash_file


def open_remote(guard: Guard, original: Original, values: Values) -> Any:  # noqa: ANN401 - a file, as fsspec has it
    """A file of the file system `hf://`: opened as it lies in the cache, once it is verified there."""
    if "r" not in values["mode"]:
        return original(**spread(values))
    from fsspec.implementations.local import LocalFileSystem

    return _remote(
        guard,
        values["self"],
        values["path"],
        values.get("revision"),
        lambda path: LocalFileSystem().open(path, "rb"),
        lambda: original(**spread(values)),
    )


def get_remote(guard: Guard, original: Original, values: Values) -> Any:  # noqa: ANN401 - as the client
    """A file of the file system `hf://`, copied to a place of the caller's."""
    file_system, path = values["self"], values["rpath"]
    revision = values.get("kwargs", {}).get("revision")
    if values.get("outfile") is None and isinstance(values["lpath"], (str, os.PathLike)) and file_system.isdir(path):
        return original(**spread(values))

    def copy(cached: str) -> None:
        from fsspec.implementations.local import LocalFileSystem

        target = values["lpath"] if values.get("outfile") is None else values["outfile"]
        LocalFileSystem(auto_mkdir=True).get_file(cached, target)
        if isinstance(target, (str, os.PathLike)) and hash_file(target) != hash_file(cached):
            os.unlink(target)
            raise VerificationError(f"'{target}' is not what was verified in '{cached}'")

    return _remote(guard, file_system, path, revision, copy, lambda: original(**spread(values)))


def make_remote_file(guard: Guard, original: Original, values: Values) -> Any:  # noqa: ANN401 - None
    """A file object that reads straight from the hub, made past its file system: there is nothing to verify it by."""
    mode = values.get("mode") or values.get("kwargs", {}).get("mode", "rb")
    if "r" not in mode:
        return original(**spread(values))

    def refuse(_: str) -> None:
        raise VerificationError("what is read straight from the hub cannot be verified: open it through HfFileSystem")

    return _remote(
        guard, values["fs"], values["path"], values.get("revision"), refuse, lambda: original(**spread(values))
    )


def _remote(
    guard: Guard,
    file_system: Any,  # noqa: ANN401 - the client's HfFileSystem
    path: str,
    revision: str | None,
    verified: Callable[[str], Any],
    plain: Callable[[], Any],
) -> Any:  # noqa: ANN401 - as the client
    """What `verified` makes of the path in the cache at which a file of `hf://` lies once it is verified."""

    def outside() -> Any:  # noqa: ANN401 - as the client
        with own_calls():
            return plain()

    resolved = file_system.resolve_path(path, revision=revision)
    if not hasattr(resolved, "repo_id"):
        uri = f"hf://buckets/{getattr(resolved, 'bucket_id', path)}"
        return guard.decide("HfFileSystem", (uri, "main"), lambda _: _refuse_bucket(), outside)
    values = {
        "repo_id": resolved.repo_id,
        "repo_type": resolved.repo_type,
        "filename": resolved.path_in_repo,
        "revision": resolved.revision,
        "endpoint": file_system.endpoint,
        "token": file_system.token,
    }
    asked = Asked(values, original_of("hf_hub_download"))

    def checked(facts: Values) -> Any:  # noqa: ANN401 - as the client
        from huggingface_hub.errors import EntryNotFoundError

        try:
            cached = file_of(GuardedRepository(guard, asked), facts)
        except EntryNotFoundError as error:
            raise FileNotFoundError(path) from error
        with own_calls():
            return verified(cached)

    return guard.decide("HfFileSystem", asked.place, checked, outside)


def _refuse_bucket() -> None:
    raise VerificationError("a bucket is no repository: nobody can sign what it holds")
