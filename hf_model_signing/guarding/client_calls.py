"""What each function of `huggingface_hub` does under the guard.

Whatever hands out a file of a revision hands out its folder, because libraries open the neighbours of a file by path.
So all that lies in the folder is verified, each time. What is not downloaded yet is first held against the signature,
as far as the hub tells what it is. A branch in the cache moves only when what it moves to is verified.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from functools import partial
from typing import Any

from hf_model_signing.errors import RefusedError, VerificationError
from hf_model_signing.guarding.client_hook import Original, original_of, own_calls
from hf_model_signing.guarding.guard import Guard
from hf_model_signing.guarding.repository import Asked, GuardedRepository, Signed
from hf_model_signing.oms.names import EXEMPT_FILES, SIGNATURE_NAME
from hub_adapters.errors import HubError
from hub_adapters.huggingface.listing import remote_file
from hub_adapters.interface import Reference, RemoteFile

Values = dict[str, Any]


def hf_hub_download(guard: Guard, original: Original, values: Values) -> Any:  # noqa: ANN401 - as the client
    """One file: its path, when it and what lies beside it in the cache are what was signed."""
    asked = Asked(values, original)
    if values.get("dry_run"):
        with own_calls():
            return original(**values)
    return guard.decide(
        "hf_hub_download", asked.place, lambda facts: file_of(GuardedRepository(guard, asked), facts), _plain(asked)
    )


def try_to_load_from_cache(guard: Guard, original: Original, values: Values) -> Any:  # noqa: ANN401 - as the client
    """One file that may lie in the cache: its path, when the folder in which it lies is what was signed."""
    with own_calls():
        found = original(**values)
    asked = Asked(values, original_of("hf_hub_download"))
    repository = GuardedRepository(guard, asked)
    path = posixpath.normpath(values["filename"].replace(os.sep, "/"))
    if found is None and not guard.was_refused(asked.place):
        return None
    if found is not None and not isinstance(found, str) and not os.path.exists(_cached_signature(asked)):
        return found  # it is known not to be there, and nobody signed anything else

    def verified(facts: Values) -> Any:  # noqa: ANN401 - as the client
        guard.check_not_refused(*asked.place)
        facts["file"] = path
        if not isinstance(found, str):
            repository.check_absent(path, _cached_commit(asked))
            return found
        commit = _commit_of(found, asked)
        signed = repository.signed(commit)
        with repository.downloading(asked.snapshot(commit), commit, []):
            repository.check_snapshot(signed, commit, [path])
        repository.settle(signed, commit, facts)
        facts["path"] = found
        return found

    return guard.decide("try_to_load_from_cache", asked.place, verified, lambda: found)


def snapshot_download(guard: Guard, original: Original, values: Values) -> Any:  # noqa: ANN401 - as the client
    """A whole revision, or the files that patterns choose: its folder, when all in it is what was signed."""
    asked = Asked(values, original_of("hf_hub_download"))
    if values.get("dry_run"):
        with own_calls():
            return original(**values)

    def plain() -> Any:  # noqa: ANN401 - as the client
        with asked.own_calls():
            return original(**{**values, "headers": asked.headers()})

    def verified(facts: Values) -> Any:  # noqa: ANN401 - as the client
        return _snapshot(GuardedRepository(guard, asked), original, facts)

    return guard.decide("snapshot_download", asked.place, verified, plain)


def repository_info(guard: Guard, original: Original, values: Values) -> Any:  # noqa: ANN401 - as the client
    """What the hub says of a repository; notes which branch a commit is that a library then asks for by its hash."""
    found = original(**spread(values))
    kind = "dataset" if original.__name__ == "dataset_info" else "space" if original.__name__ == "space_info" else None
    asked = Asked({**values, "repo_type": values.get("repo_type") or kind}, original)
    commit = getattr(found, "resolved", None) or getattr(found, "sha", None)
    if not isinstance(commit, str) or asked.revision == commit:
        return found
    guard.resolved[asked.uri, commit] = asked.revision
    try:
        if guard.names(asked.uri) and os.path.exists(os.path.join(asked.snapshot(commit), SIGNATURE_NAME)):
            # Some libraries ask for no file then, and go on with what they once made of that revision.
            GuardedRepository(guard, asked).signed(commit)
    except RefusedError as error:
        guard.decide(original.__name__, asked.place, partial(_raise, error), lambda: None)
    return found


def file_of(repository: GuardedRepository, facts: Values) -> str:
    """The path of one file, which the client downloads if it has to."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    asked = repository.asked
    values = asked.values
    path = posixpath.normpath(posixpath.join(values.get("subfolder") or "", values["filename"]))
    facts["file"] = path
    try:
        if values.get("local_files_only"):
            repository.guard.check_not_refused(*asked.place)
        info = asked.fetch(dry_run=True)
    except LocalEntryNotFoundError:
        repository.guard.check_not_refused(*asked.place)
        raise
    except EntryNotFoundError as error:
        commit = getattr(getattr(error, "response", None), "headers", {}).get("X-Repo-Commit")
        if commit:
            repository.check_absent(path, commit)
        raise
    commit = info.commit_hash
    signed = repository.signed(commit)
    repository.check_listed(signed, path)
    if info.will_download:
        repository.check_announced(signed, path, commit, info.file_size)
    local = values.get("local_dir")
    folder = os.path.realpath(os.path.expanduser(local)) if local else asked.snapshot(commit)
    with repository.downloading(folder, commit, [path]):
        found: str = asked.fetch(revision=commit)
        if os.path.realpath(found) != os.path.realpath(os.path.join(folder, path)):
            raise VerificationError(f"the client gives '{found}', and '{os.path.join(folder, path)}' was verified")
        if local:
            repository.check_local_file(signed, folder, path)
        else:
            repository.check_snapshot(signed, commit, [path])
    return _done(repository, signed, commit, facts, found)


def _snapshot(repository: GuardedRepository, original: Original, facts: Values) -> str:
    asked = repository.asked
    values = asked.values
    if values.get("local_files_only"):
        return _local_snapshot(repository, original, facts, None)
    try:
        commit = asked.commit or _look_up(asked)
        if commit is None:
            raise VerificationError(f"the hub names no commit for '{asked.revision}'")
        listing = _list(asked, commit)
    except VerificationError:
        raise
    except Exception as error:
        from huggingface_hub.errors import RevisionNotFoundError

        if isinstance(error, RevisionNotFoundError) or type(error).__name__ == "ProxyError":
            raise
        return _local_snapshot(repository, original, facts, error)
    signed = repository.signed(commit)
    wanted = _chosen(asked, {*listing, *signed.manifest.digests})
    repository.check_listing(signed, listing, wanted)
    local = values.get("local_dir")
    folder = os.path.realpath(os.path.expanduser(local)) if local else asked.snapshot(commit)
    required = wanted & signed.manifest.digests.keys()
    with repository.downloading(folder, commit, wanted):
        found: str = _whole(asked, original, revision=commit)
        if os.path.realpath(found) != os.path.realpath(folder):
            raise VerificationError(f"the client gives '{found}', and '{folder}' was verified")
        if local:
            repository.check_local(signed, folder, required)
        else:
            repository.check_snapshot(signed, commit, required)
    return _done(repository, signed, commit, facts, found)


def _local_snapshot(repository: GuardedRepository, original: Original, facts: Values, error: Exception | None) -> str:
    """What the cache has, whole or not, when the hub is not asked or does not answer."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    asked = repository.asked
    repository.guard.check_not_refused(*asked.place)
    try:
        found: str = _whole(asked, original, local_files_only=True)
    except LocalEntryNotFoundError as nothing:
        if isinstance(error, RepositoryNotFoundError):
            raise error from None
        raise nothing from error
    if asked.values.get("local_dir"):
        commit = asked.commit or _cached_commit(asked)
        signed = repository.signed(commit)
        repository.check_local(signed, found)
    else:
        commit = _commit_of(found, asked)
        signed = repository.signed(commit)
        with repository.downloading(found, commit, []):
            repository.check_snapshot(signed, commit)
    return _done(repository, signed, commit, facts, found)


def _done(repository: GuardedRepository, signed: Signed, commit: str, facts: Values, path: str) -> str:
    repository.settle(signed, commit, facts)
    if not repository.asked.values.get("local_dir"):
        repository.remember_revision(commit)
    facts["path"] = path
    return path


def _whole(asked: Asked, original: Original, **changed: Any) -> str:  # noqa: ANN401 - as the client
    with asked.own_calls():
        return str(original(**{**asked.values, "headers": asked.headers(), **changed}))


def _plain(asked: Asked) -> Callable[[], Any]:
    def plain() -> Any:  # noqa: ANN401 - as the client
        with own_calls():
            return asked.download(**asked.values)

    return plain


def _look_up(asked: Asked) -> str | None:
    with asked.own_calls():
        info = _api(asked).repo_info(asked.repo_id, repo_type=asked.repo_type, revision=asked.values.get("revision"))
    return info.sha  # type: ignore[no-any-return]


def _list(asked: Asked, commit: str) -> dict[str, RemoteFile]:
    """What the hub lists at a commit."""
    from huggingface_hub.hf_api import RepoFile

    name = Reference("hf", asked.repo_type, asked.repo_id)
    with asked.own_calls():
        tree = _api(asked).list_repo_tree(asked.repo_id, recursive=True, revision=commit, repo_type=asked.repo_type)
        listed = [item for item in tree if isinstance(item, RepoFile)]
    try:
        files = [remote_file(item, name) for item in listed]
    except HubError as error:
        raise VerificationError(str(error)) from error
    return {file.path: file for file in files}


def _api(asked: Asked) -> Any:  # noqa: ANN401 - the client's HfApi
    from huggingface_hub import HfApi

    names = ("token", "library_name", "library_version", "user_agent", "headers")
    return HfApi(endpoint=asked.endpoint, **{name: asked.values.get(name) for name in names})


def _chosen(asked: Asked, names: set[str]) -> set[str]:
    """The names that the patterns of the call choose."""
    from huggingface_hub.utils import filter_repo_objects

    patterns = {name: asked.values.get(name) for name in ("allow_patterns", "ignore_patterns")}
    return set(filter_repo_objects(sorted(names), **patterns)) - EXEMPT_FILES


def _commit_of(path: str, asked: Asked) -> str:
    """The commit whose snapshot a path of the cache lies in."""
    snapshots = os.path.join(asked.folder, "snapshots")
    inside = os.path.relpath(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)), snapshots)
    commit = inside.split(os.sep)[0]
    if commit in (os.pardir, os.curdir):
        raise VerificationError(f"'{path}' does not lie in the cache of '{asked.uri}'")
    return commit


def _cached_commit(asked: Asked) -> str:
    """The commit that the cache has for what was asked for."""
    if asked.commit is not None:
        return asked.commit
    try:
        with open(os.path.join(asked.folder, "refs", asked.revision), encoding="ascii") as file:
            return file.read(64).strip()
    except (OSError, ValueError) as error:
        raise VerificationError(f"the cache does not tell which revision '{asked.revision}' is: {error}") from error


def _cached_signature(asked: Asked) -> str:
    try:
        return os.path.join(asked.snapshot(_cached_commit(asked)), SIGNATURE_NAME)
    except VerificationError:
        return ""


def spread(values: Values) -> Values:
    """Arguments as they can be given again."""
    rest = values.get("kwargs", {})
    return {**{name: value for name, value in values.items() if name != "kwargs"}, **rest}


def _raise(error: RefusedError, _: Values) -> None:
    raise error
