"""Repositories of a user or an organisation, as the Hugging Face Hub lists them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hub_adapters._util.repository_kinds import KINDS
from hub_adapters.errors import BadReferenceError, DishonestError, UnsupportedError
from hub_adapters.huggingface.error_translation import status_of
from hub_adapters.interface import ListedRepository, Reference

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_OWNER = re.compile(r"[\w.-]{1,96}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_EXPAND = ["sha", "private", "gated", "disabled"]  # and no more: by default the Hub sends tags and counts
_METHODS = {"model": "list_models", "dataset": "list_datasets", "space": "list_spaces"}  # the client lists no kernels
MOST_REPOSITORIES = 1_000_000  # several times what the largest organisation has; a list without end stops here


def check_owner(owner: str) -> str:
    """Return the name of a user or an organisation; raises `BadReferenceError` if it cannot be one."""
    if not _OWNER.fullmatch(owner) or ".." in owner:
        raise BadReferenceError(f"'{owner}' is not the name of an organisation or a user")
    return owner


def list_items(api: HfApi, owner: str, kind: str) -> Iterator[Any]:
    """Yield the items of one kind that the client lists; pages are fetched when they are needed."""
    if kind not in _METHODS:
        return _list_without_method(api, owner, kind)
    # Spaces are never gated, and the Hub rejects the question.
    expand = [name for name in _EXPAND if kind != "space" or name != "gated"]
    listing: Callable[..., Any] = getattr(api, _METHODS[kind])
    return iter(listing(author=owner, expand=expand))


def _list_without_method(api: HfApi, owner: str, kind: str) -> Iterator[Any]:
    """Yield the items of a kind for which the client has no method: each with the attributes that the hub sends.

    Raises `UnsupportedError` if the hub does not list this kind.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import build_hf_headers, paginate

    headers = build_hf_headers(token=api.token, library_name=api.library_name)
    try:
        for item in paginate(f"{api.endpoint}/api/{kind}s", params={"author": owner}, headers=headers):
            yield SimpleNamespace(**item)
    except HfHubHTTPError as error:
        if status_of(error) != 404:
            raise
        raise UnsupportedError(f"{api.endpoint} does not list {kind}s: name each of them, as hf://{kind}s/…") from error


def kinds_in_order(kinds: Collection[str]) -> list[str]:
    """Return the kinds in the order of the list."""
    return [kind for kind in KINDS if kind in kinds]


def listed_repository(item: Any, owner: str, kind: str) -> ListedRepository:  # noqa: ANN401 - the client's ModelInfo
    """Return a repository of the list; raises `DishonestError` for one of another owner, or an impossible one."""
    name = getattr(item, "id", None)
    namespace, _, rest = name.partition("/") if isinstance(name, str) else ("", "", "")
    if namespace.casefold() != owner.casefold() or not _OWNER.fullmatch(rest) or ".." in rest or rest.endswith(".git"):
        raise DishonestError(f"the hub lists {name!a} among the {kind}s of '{owner}'")
    commit = getattr(item, "sha", None)
    return ListedRepository(
        Reference("hf", kind, f"{namespace}/{rest}"),
        commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else "",
        private=bool(getattr(item, "private", False)),
        gated=bool(getattr(item, "gated", False)),
        disabled=bool(getattr(item, "disabled", False)),
        archived=bool(getattr(item, "archived", False)),
    )
