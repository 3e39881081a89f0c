"""The card of a repository that the program publishes to: downloaded to a private directory, and not into the cache."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from typing import Any

from hf_model_signing._util.repository_kinds import KINDS
from hf_model_signing.guarding.checks.decider import Decider
from hf_model_signing.guarding.checks.request import Arguments, as_keywords
from hf_model_signing.guarding.own_calls import Original, original_of, own_calls
from hf_model_signing.guarding.publishing import CARDS, Publication, uri_of

NO_CARD: Any = object()  # the call asks for something else

_INFORMATION = {f"HfApi.{kind}_info": kind for kind in KINDS}
_REASON = "the program publishes to it, and writes its card to it again"


def card_of(
    published: Publication, name: str, original: Original, arguments: Arguments, *, deciders: Iterable[Decider]
) -> Any:  # noqa: ANN401 - as the client
    """Return what the hooked function `name` returns about the repository that is published to, or `NO_CARD`.

    A card in the cache would stay there for later loads, so each call gets a copy of its own.
    """
    if name in _INFORMATION:
        return _information(published, original, arguments, _INFORMATION[name])
    if name == "hf_hub_download" and not arguments.get("dry_run"):
        path = posixpath.join(arguments.get("subfolder") or "", arguments["filename"].replace(os.sep, "/"))
        uri, options = uri_of(arguments["repo_id"], arguments.get("repo_type")), arguments
    elif name == "HfFileSystem._open" and "r" in arguments["mode"]:
        files = arguments["self"]
        resolved = files.resolve_path(arguments["path"], revision=arguments.get("revision"))
        if not hasattr(resolved, "repo_id"):
            return NO_CARD
        path, uri = resolved.path_in_repo, uri_of(resolved.repo_id, resolved.repo_type)
        options = {"repo_id": resolved.repo_id, "repo_type": resolved.repo_type, "revision": resolved.revision}
        options |= {"filename": path, "endpoint": files.endpoint, "token": files.token}
    else:
        return NO_CARD
    if uri not in published.uris or posixpath.normpath(path) not in CARDS:
        return NO_CARD
    for decider in deciders:
        decider.allow(name, uri, {"file": path, "reason": _REASON})
    if name == "hf_hub_download":
        return _download(published, options)
    return _open(published, options)


def _information(published: Publication, original: Original, arguments: Arguments, repo_type: str) -> Any:  # noqa: ANN401
    """Return the hub's information, which also tells the full name of a repository that was named without an owner."""
    uri = uri_of(arguments["repo_id"], repo_type)
    if uri not in published.uris:
        return NO_CARD
    found = original(**as_keywords(arguments))
    if str(found.id).rpartition("/")[2] == arguments["repo_id"].rpartition("/")[2]:
        published.uris.add(uri_of(found.id, repo_type))
    return found


def _download(published: Publication, options: Arguments) -> str:
    local = {"cache_dir": None, "local_dir": published.directory(), "force_download": True}
    with own_calls():
        return str(original_of("hf_hub_download")(**{**options, **local}))


def _open(published: Publication, options: Arguments) -> Any:  # noqa: ANN401 - a file of fsspec
    from fsspec.implementations.local import LocalFileSystem
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return LocalFileSystem().open(_download(published, options), "rb")
    except EntryNotFoundError as error:
        raise FileNotFoundError(options["filename"]) from error
