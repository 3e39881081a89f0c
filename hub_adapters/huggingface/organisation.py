"""Repositories of a user or an organisation, as the Hugging Face Hub lists them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from hub_adapters._util.repository_kinds import KINDS
from hub_adapters._util.text import one_line
from hub_adapters.errors import BadReferenceError, UnsupportedError
from hub_adapters.huggingface.error_translation import status_of
from hub_adapters.interface import ListedRepository, Reference

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_OWNER = re.compile(r"[\w.-]{1,96}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_EXPAND = ["sha", "private", "gated", "disabled"]  # and no more: by default the Hub sends tags and counts
_UNKNOWN = {"space": ("gated",), "kernel": tuple(_EXPAND)}  # what the Hub rejects when it is asked about a kind
_LONGEST = 200  # characters of a name that is quoted
MOST_REPOSITORIES = 1_000_000  # several times what the largest organisation has; a list without end stops here


def check_owner(owner: str) -> str:
    """Return the name of a user or an organisation; raises `BadReferenceError` if it cannot be one."""
    if not _OWNER.fullmatch(owner) or ".." in owner:
        raise BadReferenceError(f"'{owner}' is not the name of an organisation or a user")
    return owner


def list_items(api: HfApi, owner: str, kind: str) -> Iterator[object]:
    """Yield the entries of one kind as the hub sends them; pages are fetched when they are needed.

    The client's own methods have none for kernels, and end with the first malformed entry. Raises `UnsupportedError`
    if the hub does not list this kind.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import build_hf_headers, paginate

    headers = build_hf_headers(token=api.token, library_name=api.library_name)
    params = {"author": owner, "expand": [name for name in _EXPAND if name not in _UNKNOWN.get(kind, ())]}
    try:
        yield from paginate(f"{api.endpoint}/api/{kind}s", params=params, headers=headers)
    except HfHubHTTPError as error:
        if status_of(error) != 404:
            raise
        raise UnsupportedError(f"{api.endpoint} does not list {kind}s: name each of them, as hf://{kind}s/…") from error


def kinds_in_order(kinds: Collection[str]) -> list[str]:
    """Return the kinds in the order of the list."""
    return [kind for kind in KINDS if kind in kinds]


def listed_repository(entry: object, owner: str, kind: str) -> ListedRepository:
    """Return a repository of the list; with a refusal if it has another owner, or an impossible name."""
    values: Mapping[str, object] = entry if isinstance(entry, dict) else {}
    name = values.get("id", entry if values is not entry else None)
    namespace, _, rest = name.partition("/") if isinstance(name, str) else ("", "", "")
    if namespace.casefold() != owner.casefold() or not _OWNER.fullmatch(rest) or ".." in rest or rest.endswith(".git"):
        shown = one_line(name if isinstance(name, str) else ascii(name))[:_LONGEST]
        refusal = f"the hub lists {name!a:.{_LONGEST}} among the {kind}s of '{owner}'"
        return ListedRepository(Reference("hf", kind, shown), refusal=refusal)
    commit = values.get("sha")
    return ListedRepository(
        Reference("hf", kind, f"{namespace}/{rest}"),
        commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else "",
        private=bool(values.get("private")),
        gated=bool(values.get("gated")),
        disabled=bool(values.get("disabled")),
        archived=bool(values.get("archived")),
    )
