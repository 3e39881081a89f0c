"""Files that a program opens by their path: in the client's cache, or copied from there by a library."""

from __future__ import annotations

import os
import re
from functools import lru_cache, partial

from hf_model_signing._util.text import show
from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding import code_directory
from hf_model_signing.guarding.checks.blob_files import files_of_blob
from hf_model_signing.guarding.checks.client_cache import CachedRepository, repositories_in
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.repository import GuardedRepository
from hf_model_signing.guarding.checks.request import Request, RequestedRevision
from hf_model_signing.guarding.copied_code import CopiedCode, module_names, possible_repositories
from hf_model_signing.guarding.own_calls import own_calls
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot, uri_of
from hf_model_signing.hashing.model_hasher import hash_file
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.oms.names import EXEMPT_FILES


def check_cached_file(decider: Decider, path: str, _: re.Match[str]) -> None:
    """Raise `VerificationError` unless a file in the cache, and with it all of its snapshot, is as signed."""
    path = os.path.abspath(path)
    snapshot = _snapshot_of(os.path.dirname(path))
    if snapshot is None:
        _refuse_no_commit(decider, path)
        return
    directory = os.path.join(snapshot.repository_folder, "snapshots", snapshot.commit)
    name = path.removeprefix(directory + os.sep).replace(os.sep, "/")
    if name in EXEMPT_FILES:
        return
    repository = GuardedRepository.begin(decider, _request(snapshot))

    def verified(facts: Facts) -> None:
        facts.update(file=name, path=path)
        repository.accept_signature(snapshot.commit)
        with repository.naming_rejected(directory):
            repository.check_file(name, in_place=True)
        repository.settle([name], facts)

    with own_calls():
        decider.decide("open", repository.request.requested, verified, lambda: None)


def check_blob(decider: Decider, path: str, match: re.Match[str]) -> None:
    """Raise `VerificationError` unless a blob is as signed for each file of a snapshot that leads to it.

    A blob of a repository that no snapshot leads to is refused: there is no signature that could list it.
    """
    repository = path[: match.start("inside")] if match["inside"] else None
    folders = repositories_in(path[: match.start("shared")]) if repository is None else [repository]
    files = [file for folder in folders for file in files_of_blob(folder, path)]
    for file in files:
        check_cached_file(decider, file, match)
    if repository is not None and not files:
        requested = RequestedRevision(uri_of(repository) or repository, f"blobs/{os.path.basename(path)}")
        with own_calls():
            decider.decide("open", requested, partial(_refuse_blob, path), lambda: None)


def check_copied_code(decider: Decider, path: str, match: re.Match[str]) -> None:
    """Raise `VerificationError` for code that a library copied, unless it is the signed file of that name.

    Bytecode cannot be compared with the manifest. It is reported as missing, so that Python compiles the source. Code
    that does not tell its commit was verified when it was copied, or is the user's own.
    """
    if path.endswith(".pyc"):
        raise FileNotFoundError(path)
    copied = CopiedCode.at(match)
    if code_directory.is_private(path):
        code_directory.check_private(path)
        code_directory.forget_earlier_modules(path)
    if copied is None or (os.path.basename(path) == "__init__.py" and os.path.getsize(path) == 0):
        return
    manifests = dict(decider.state.manifests_of(copied.commit))
    if any(_is_signed(path, copied, manifest) for uri, manifest in manifests.items() if copied.belongs_to(uri)):
        return
    if not copied.repository and not manifests:
        return  # a directory of the user's own, with such a name
    with own_calls():
        uri = _repository_of(decider, copied.repository) if copied.repository else next(iter(manifests))
        requested = RequestedRevision(uri, copied.commit)
        decider.decide("open", requested, partial(_check_code, decider, path, copied, uri), lambda: None)


def _check_code(decider: Decider, path: str, copied: CopiedCode, uri: str, facts: Facts) -> None:
    """Raise `VerificationError` unless a file of code is as signed; a child process may know no signature yet."""
    facts.update(file=copied.name, path=path)
    if copied.repository:
        repository = GuardedRepository.begin(decider, _request_of_code(uri, copied.commit))
        repository.accept_signature(copied.commit)
        if _is_signed(path, copied, repository.call.manifest):
            return
    raise VerificationError(
        f"'{show(path)}' is not the '{show(copied.name)}' that was signed; delete it, it is copied again from the cache"
    )


def _is_signed(path: str, copied: CopiedCode, manifest: Manifest) -> bool:
    with own_calls():
        return hash_file(path, manifest.serialization) == manifest.digests.get(copied.name)


def check_tables(decider: Decider, _: str, match: re.Match[str]) -> None:
    """Raise an earlier refusal again: `datasets` answers an error with tables that it once made of the repository."""
    wanted = _plain_name(f"{match['namespace']}/{match['name']}")
    for requested in decider.state.refused():
        name = requested.uri.removeprefix("hf://datasets/")
        if name != requested.uri and _plain_name(name) == wanted:
            decider.check_not_refused(requested)


def _refuse_no_commit(decider: Decider, path: str) -> None:
    """Refuse a file of a snapshot that no commit names, unless its repository needs no signature."""
    repository, _, inside = path.rpartition(f"{os.sep}snapshots{os.sep}")
    revision = inside.split(os.sep)[0]

    def refuse(facts: Facts) -> None:
        facts["path"] = path
        raise VerificationError(
            f"'{show(revision)}' is no commit, so no signature can be for it; delete '{show(path)}'"
        )

    with own_calls():
        decider.decide("open", RequestedRevision(uri_of(repository) or repository, revision), refuse, lambda: None)


def _refuse_blob(path: str, _: Facts) -> None:
    raise VerificationError(f"no snapshot leads to '{show(path)}', so no signature lists it")


def _plain_name(name: str) -> str:
    """Return a name without what `datasets` changes when it makes the name of a directory."""
    return name.replace("_", "").casefold()


def _repository_of(decider: Decider, code: str) -> str:
    """Return the repository of such a path of modules: one in the cache, or one that a rule decides about."""
    from huggingface_hub import constants

    if os.path.isdir(constants.HF_HUB_CACHE):
        for folder in repositories_in(constants.HF_HUB_CACHE):
            uri = uri_of(folder)
            if uri is not None and code in module_names(uri):
                return uri
    names = possible_repositories(code)
    return next((name for name in names if decider.names(name)), names[0])


@lru_cache(maxsize=1024)  # many files of a directory are opened, and only its name counts here
def _snapshot_of(directory: str) -> CachedSnapshot | None:
    return CachedSnapshot.at(directory)


def _request_of_code(uri: str, commit: str) -> Request:
    return Request({"repo_id": uri.removeprefix("hf://"), "repo_type": "model", "revision": commit})


def _request(snapshot: CachedSnapshot) -> Request:
    return Request(
        {
            "repo_id": snapshot.repo_id,
            "repo_type": snapshot.kind.removesuffix("s/") or "model",
            "revision": snapshot.commit,
            "cache_dir": os.path.dirname(snapshot.repository_folder),
        },
        CachedRepository(snapshot.uri, snapshot.repository_folder),
    )
