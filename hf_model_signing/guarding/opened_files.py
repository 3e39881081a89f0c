"""What the guard makes of a file that is opened by its path: in the client's cache, or copied from there to be run."""

from __future__ import annotations

import os
import re
from typing import Any

from hf_model_signing._util.text import show
from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding.client_hook import original_of, own_calls
from hf_model_signing.guarding.guard import Guard
from hf_model_signing.guarding.repository import Asked, GuardedRepository
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot
from hf_model_signing.hashing.model_hasher import hash_file
from hf_model_signing.oms.names import EXEMPT_FILES

# Where `transformers` and `diffusers` put the code of a repository before they run it.
CODE = re.compile(r"[/\\](?:transformers_modules|diffusers_modules[/\\]local)[/\\](.+)[/\\]([0-9a-f]{40})[/\\](.+)\Z")

# Where `datasets` keeps its tables: NAMESPACE___NAME.
TABLES = re.compile(r"[/\\]([^/\\]+?)___([^/\\]+)[/\\].+[/\\]dataset_info\.json\Z")


def open_in_cache(guard: Guard, path: str) -> None:
    """Raise `VerificationError` unless the file, and with it all of its snapshot, is what was signed."""
    snapshot = CachedSnapshot.at(path)
    if snapshot is None:
        return
    folder = os.path.join(snapshot.repository_folder, "snapshots", snapshot.commit)
    name = os.path.relpath(os.path.abspath(path), folder).replace(os.sep, "/")
    if name in EXEMPT_FILES or not os.path.exists(path):
        return
    repository = _repository(guard, snapshot)

    def verified(facts: dict[str, Any]) -> None:
        facts.update(file=name, path=path)
        signed = repository.signed(snapshot.commit)
        with repository.downloading(folder, snapshot.commit, []):
            repository.check_opened(signed, snapshot.commit, name)
        repository.settle(signed, snapshot.commit, facts)

    with own_calls():
        guard.decide("open", repository.asked.place, verified, lambda: None)


def open_code(guard: Guard, path: str) -> None:
    """Raise `VerificationError` for code of a repository that is not the signed file of that name.

    Compiled code is not looked at: it is reported as missing, so that Python compiles the source.
    """
    match = CODE.search(path)
    if match is None or not os.path.exists(path):
        return
    if path.endswith(".pyc"):
        raise FileNotFoundError(path)
    code, commit, name = (match[group].replace(os.sep, "/") for group in (1, 2, 3))
    if os.path.basename(name) == "__init__.py" and os.path.getsize(path) == 0:
        return
    for (uri, signature), (_, signed) in list(guard.signed.items()):
        if code in _module_names(uri) and f"/{commit}/" in signature.replace(os.sep, "/"):
            with own_calls():
                if hash_file(path, signed.manifest.serialization) == signed.manifest.digests.get(name):
                    return

    def refuse(_: dict[str, Any]) -> None:
        raise VerificationError(
            f"'{show(path)}' is not the '{show(name)}' that was signed; delete it, it is copied anew from the cache"
        )

    with own_calls():
        guard.decide("open", (_repository_of(guard, code), commit), refuse, lambda: None)


def open_tables(guard: Guard, path: str) -> None:
    """Raise what was refused before: `datasets` answers an error with tables that it once made of the repository."""
    match = TABLES.search(path)
    if match is not None:
        wanted = _plain_name(f"{match[1]}/{match[2]}")
        for uri, revision in guard.refused_places():
            if uri.startswith("hf://datasets/") and _plain_name(uri.removeprefix("hf://datasets/")) == wanted:
                guard.check_not_refused(uri, revision)


def _plain_name(name: str) -> str:
    """A name as it can be compared with the one that `datasets` makes of it."""
    return name.replace("_", "").casefold()


def _module_names(uri: str) -> tuple[str, str]:
    """What `transformers` and `diffusers` make of the name of a repository, as a path of modules."""
    name = uri.removeprefix("hf://")
    parts = name.replace(".", "_dot_").replace("-", "_hyphen_").split("/")
    return "/".join(f"_{part}" if part[:1].isdigit() else part for part in parts), name.replace("/", "--")


def _repository_of(guard: Guard, code: str) -> str:
    """The repository that such a path stands for; where several names could, one that a rule decides about."""
    parts = (part[1:] if re.match(r"_\d", part) else part for part in code.split("/"))
    plain = "/".join(parts).replace("_hyphen_", "-").replace("_dot_", ".")
    names = [f"hf://{name}" for name in (plain, code, code.replace("--", "/", 1))]
    return next((name for name in names if guard.names(name)), names[0])


def _repository(guard: Guard, snapshot: CachedSnapshot) -> GuardedRepository:
    values = {
        "repo_id": snapshot.repo_id,
        "repo_type": snapshot.kind.removesuffix("s/") or "model",
        "revision": snapshot.commit,
        "cache_dir": os.path.dirname(snapshot.repository_folder),
    }
    return GuardedRepository(guard, Asked(values, original_of("hf_hub_download")))
