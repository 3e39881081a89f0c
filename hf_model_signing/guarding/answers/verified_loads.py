"""The two loads under the guard, from the request to the path that the program gets: of a file, and of a snapshot.

A call that returns a file of a revision gives access to its directory, because libraries open the neighbours of a file
by path. So all files in the directory are verified, each time. What has not been downloaded yet is first compared with
the signature by the hub's listing. A branch in the cache moves only when the new commit is verified.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding.answers.hub_queries import list_files, resolve, select
from hf_model_signing.guarding.answers.staged_files import StagedFiles
from hf_model_signing.guarding.checks.decider import Facts
from hf_model_signing.guarding.checks.repository import GuardedRepository
from hf_model_signing.guarding.checks.request import Arguments, reason_of
from hf_model_signing.guarding.own_calls import Original, OwnCallHeaders, original_of
from hf_model_signing.oms.names import CLIENT_DIRECTORY, EXEMPT_FILES
from hub_adapters.huggingface.cache import remove_left
from hub_adapters.interface import RemoteFile


def load_file(repository: GuardedRepository, facts: Facts) -> str:
    """Return the path of one verified file, which the client downloads if necessary."""
    request = repository.request
    path = posixpath.normpath(posixpath.join(request.arguments.get("subfolder") or "", request.arguments["filename"]))
    facts["file"] = path
    repository.check_local_dir()
    info = _look_up(repository, path)
    commit = info.commit_hash
    repository.accept_signature(commit)
    repository.check_listed(path)
    directory = request.local_dir or request.cache.snapshot(commit)
    found = _download_file(repository, path, directory, info)
    if os.path.realpath(found) != os.path.realpath(os.path.join(directory, path)):
        raise VerificationError(f"the client gives '{found}', and '{os.path.join(directory, path)}' was verified")
    with repository.naming_rejected(directory):
        if request.local_dir:
            repository.check_local_file(directory, path)
        else:
            checked = repository.check_file(path)
            found = found if checked == directory else os.path.join(checked, path)
    return _settle(repository, [path], found, facts)


def load_snapshot(repository: GuardedRepository, original: Original, facts: Facts) -> str:
    """Return the directory of a verified revision, or of the files in it that match the patterns of the call."""
    request = repository.request
    repository.check_local_dir()
    if request.is_local:
        return _load_cached_snapshot(repository, original, facts, None)
    try:
        commit = request.commit or resolve(request)
        if commit is None:
            raise VerificationError(f"the hub names no commit for '{request.revision}'")
        listing = list_files(request, commit)
    except (VerificationError, MemoryError):
        raise
    except Exception as error:  # the client has no common class for "the hub cannot be reached"
        from huggingface_hub.errors import RevisionNotFoundError

        if isinstance(error, RevisionNotFoundError) or type(error).__name__ == "ProxyError":
            raise
        return _load_cached_snapshot(repository, original, facts, error)
    repository.accept_signature(commit)
    selected = select(request, {*listing, *repository.call.manifest.digests})
    wanted = selected - EXEMPT_FILES
    repository.check_listing(listing, wanted)
    request.forget_other_listing(commit, listing)
    required = wanted & repository.call.manifest.digests.keys()
    directory = request.local_dir or request.cache.snapshot(commit)

    def check(replaced: Collection[str], *, only_names: bool = False) -> None:
        with repository.naming_rejected(directory):
            repository.check_kept(directory, replaced, only_names=only_names)

    with StagedFiles.of(repository, directory, check) as files:
        headers = request.headers()
        if repository.stages:
            if request.local_dir:
                check((), only_names=True)
            files.prepare(selected)
            headers = _headers(files, listing)
        found = _download_snapshot(repository, original, revision=commit, headers=headers)
    if os.path.realpath(found) != os.path.realpath(directory):
        raise VerificationError(f"the client gives '{found}', and '{directory}' was verified")
    with repository.naming_rejected(directory):
        if request.local_dir:
            repository.check_local(directory, required)
        else:
            checked = repository.check_snapshot(required)
            found = found if checked == directory else checked
    return _settle(repository, required, found, facts)


def _load_cached_snapshot(
    repository: GuardedRepository, original: Original, facts: Facts, error: Exception | None
) -> str:
    """Return the directory that the cache has, complete or not, if the hub is not asked or fails with `error`."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    request = repository.request
    repository.decider.check_not_refused(request.requested)
    try:
        found = _download_snapshot(repository, original, local_files_only=True)
    except LocalEntryNotFoundError:
        if error is None:
            raise  # the program itself asked for nothing but the disk
        if isinstance(error, RepositoryNotFoundError):
            raise error from None
        where = f"'{request.uri}' at '{request.revision}'"
        raise LocalEntryNotFoundError(
            f"{where} is not on this disk, or not all of it, and the hub cannot list it now: {reason_of(error)}"
        ) from error
    if request.local_dir:
        repository.accept_signature(request.cached_commit())
        remove_left(os.path.join(found, *CLIENT_DIRECTORY.split("/")))
        repository.check_local(found)
    else:
        repository.accept_signature(request.cache.commit_of(found))
        with repository.naming_rejected(found):
            checked = repository.check_snapshot()
            found = found if os.path.realpath(found) == os.path.realpath(checked) else checked
    return _settle(repository, [], found, facts)


def _download_file(repository: GuardedRepository, path: str, directory: str, info: Any) -> str:  # noqa: ANN401 - the client's DryRunFileInfo
    """Return the path of a file that is at its place in the directory, downloaded if necessary."""
    request, commit = repository.request, repository.call.commit
    is_missing = not os.path.exists(os.path.join(directory, path))
    etag = None
    if info.will_download:
        etag = repository.check_announced(path, info.file_size)
    elif is_missing and repository.stages:
        etag = repository.check_announced(path, None)  # it is in the cache, under another commit
    if not repository.stages:
        return str(request.download(revision=commit))
    force = bool(request.arguments.get("force_download"))
    download = partial(request.download, revision=commit)
    with StagedFiles.of(repository, directory) as files:
        files.fetch(path, download, force=force, etag=etag)
    if request.local_dir:
        return os.path.join(directory, *path.split("/"))
    return str(request.download(revision=commit, force_download=False))


def _headers(files: StagedFiles, listing: Mapping[str, RemoteFile]) -> OwnCallHeaders:
    """Return the headers with which the client downloads a snapshot; its calls for each file are answered here."""
    request = files.repository.request

    def answer(arguments: Arguments) -> str:
        def download(**changed: Any) -> Any:  # noqa: ANN401 - as the client
            return original_of("hf_hub_download")(**{**arguments, "headers": request.headers(), **changed})

        name = arguments["filename"]
        listed = listing.get(name)
        etag = (listed.sha256 or listed.blob_id) if listed else None
        return files.fetch(name, download, force=bool(arguments.get("force_download")), etag=etag)

    return request.headers(answer)


def _look_up(repository: GuardedRepository, path: str) -> Any:  # noqa: ANN401 - the client's DryRunFileInfo
    """Return what the client would do to get a file: its commit, its size, and if it would download it."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    request = repository.request
    try:
        if request.is_local:
            repository.decider.check_not_refused(request.requested)
        return request.download(dry_run=True)
    except LocalEntryNotFoundError as error:
        repository.decider.check_not_refused(request.requested)
        if request.is_local or error.__cause__ is None:
            raise
        where = f"'{path}' of '{request.uri}' at '{request.revision}'"
        raise LocalEntryNotFoundError(
            f"{where} is not on this disk, and the hub cannot be asked for it now: {reason_of(error)}"
        ) from error
    except EntryNotFoundError as error:
        commit = getattr(getattr(error, "response", None), "headers", {}).get("X-Repo-Commit")
        if commit:
            repository.accept_signature(commit)
            repository.check_absent(path)
        raise


def _download_snapshot(repository: GuardedRepository, original: Original, **changed: Any) -> str:  # noqa: ANN401
    request = repository.request
    with request.own_calls():
        return str(original(**{**request.arguments, "headers": request.headers(), **changed}))


def _settle(repository: GuardedRepository, wanted: Collection[str], path: str, facts: Facts) -> str:
    repository.settle(wanted, facts)
    if not repository.request.local_dir:
        repository.move_branch()
    facts["path"] = path
    return path
