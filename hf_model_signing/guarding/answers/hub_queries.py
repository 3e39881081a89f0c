"""Questions that the guard asks the hub through the client, before anything is downloaded."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding.checks.request import Request
from hub_adapters.errors import HubError
from hub_adapters.huggingface.listing import remote_file
from hub_adapters.interface import Reference, RemoteFile


def resolve(request: Request) -> str | None:
    """Return the commit that the hub has for the requested revision; None if the hub names none."""
    revision = request.arguments.get("revision")
    with request.own_calls():
        info = _api(request).repo_info(request.repo_id, repo_type=request.repo_type, revision=revision)
    return info.sha  # type: ignore[no-any-return]


def list_files(request: Request, commit: str) -> dict[str, RemoteFile]:
    """Return the hub's listing of a commit, by name."""
    from huggingface_hub.hf_api import RepoFile

    reference = Reference("hf", request.repo_type, request.repo_id)
    with request.own_calls():
        tree = _api(request).list_repo_tree(
            request.repo_id, recursive=True, revision=commit, repo_type=request.repo_type
        )
        listed = [item for item in tree if isinstance(item, RepoFile)]
    try:
        files = [remote_file(item, reference) for item in listed]
    except HubError as error:
        raise VerificationError(str(error)) from error
    return {file.path: file for file in files}


def select(request: Request, names: Collection[str]) -> set[str]:
    """Return those of the files `names` that match the patterns of the call."""
    from huggingface_hub.utils import filter_repo_objects

    patterns = {name: request.arguments.get(name) for name in ("allow_patterns", "ignore_patterns")}
    return set(filter_repo_objects(sorted(names), **patterns))


def _api(request: Request) -> Any:  # noqa: ANN401 - the client's HfApi
    from huggingface_hub import HfApi

    names = ("token", "library_name", "library_version", "user_agent", "headers")
    return HfApi(endpoint=request.endpoint, **{name: request.arguments.get(name) for name in names})
