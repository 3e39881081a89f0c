"""Trusted publishing: a CI job proves its identity to the hub, and needs no token of a user.

`huggingface_hub` does the work when HF_OIDC_RESOURCE names a repository: it asks GitHub Actions for an ID token of the
job, or uses HF_OIDC_ID_TOKEN, and exchanges it at the hub for a short-lived token for that repository (RFC 8693). This
module does the rest: it sets that variable when the user has not, and it keeps the token with which the job asks for
the ID token from going to any other server.
"""

from __future__ import annotations

import logging
import os
from typing import NamedTuple
from urllib.parse import urlsplit

from hub_adapters.interface import Reference

RESOURCE = "HF_OIDC_RESOURCE"
_ID_TOKEN = "HF_OIDC_ID_TOKEN"  # noqa: S105 - the name of a variable, as the two below
_REQUEST_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
_REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105
_PERMISSION = "give the job `permissions: id-token: write`"

_logger = logging.getLogger(__name__)

_chosen: set[str] = set()  # values of HF_OIDC_RESOURCE that this process has set


class Origin(NamedTuple):
    """The scheme, host and port of a URL."""

    scheme: str
    host: str
    port: int | None


def origin(url: str) -> Origin:
    """Return the origin of a URL, with the default port of the scheme if it names no port."""
    parts = urlsplit(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme))


def resource_of(reference: Reference) -> str:
    """Return the name of a repository in HF_OIDC_RESOURCE."""
    return reference.uri.partition("://")[2]


def opt_in(reference: Reference) -> None:
    """Let the client get a token for the repository, if this job can prove its identity and has no token at all.

    A value that the user has set stays. The variable is one for the process, so only one repository at a time can be
    written to. A name without a namespace is ignored: for the hub it would be the name of a user.
    """
    from huggingface_hub import get_token

    if os.environ.get(RESOURCE) not in (None, "", *_chosen):
        return
    os.environ.pop(RESOURCE, None)
    if "/" not in reference.name or not can_prove_itself() or get_token() is not None:
        return
    resource = resource_of(reference)
    _logger.info("no token found: requesting one from the hub as a trusted publisher of '%s'", resource)
    _chosen.add(resource)
    os.environ[RESOURCE] = resource


def can_prove_itself() -> bool:
    """Return whether this job has an ID token, or may ask GitHub Actions for one."""
    may_ask = bool(os.environ.get(_REQUEST_URL) and os.environ.get(_REQUEST_TOKEN))
    return bool(os.environ.get(_ID_TOKEN)) or (_in_actions() and may_ask)


def is_publisher() -> bool:
    """Return whether the token in use is that of a trusted publisher."""
    return bool(os.environ.get(RESOURCE))


def is_id_token_url(url: str) -> bool:
    """Return whether GitHub Actions issues ID tokens at this URL; the client adds to its query."""
    address = os.environ.get(_REQUEST_URL)
    try:
        return bool(address) and _without_query(url) == _without_query(str(address))
    except ValueError:  # not a URL
        return False


def is_exchange_url(url: str) -> bool:
    """Return whether a hub exchanges the ID token of a job for its own token at this URL."""
    return urlsplit(url).path.endswith("/oauth/token")


def may_carry(url: str, authorization: str, hubs: set[Origin]) -> bool:
    """Return whether this header may be sent: a hub token to `hubs`, that of the job to GitHub Actions only."""
    request_token = os.environ.get(_REQUEST_TOKEN)
    if request_token and request_token in authorization:
        return is_id_token_url(url)
    return origin(url) in hubs


def how_to_log_in(reference: Reference) -> str:
    """Return how to get a token with the permission, as the end of a sentence."""
    wanted, resource = resource_of(reference), os.environ.get(RESOURCE)
    trust = f"add its workflow as a trusted publisher of '{wanted}' on the Hub"
    if resource and resource != wanted:
        return f"set {RESOURCE} to '{wanted}' and not to '{resource}', or unset it and set HF_TOKEN"
    if resource:
        return f"check on the Hub what this job, as its trusted publisher, may do with '{wanted}', or set HF_TOKEN" + (
            "" if resource in _chosen else f" and unset {RESOURCE}"
        )
    if _in_actions() and not _is_logged_in():
        first = f"set {RESOURCE} to '{wanted}' for this job" if can_prove_itself() else _PERMISSION
        return f"{first} and {trust}, or set HF_TOKEN"
    return "log in with `hf auth login` or set HF_TOKEN"


def no_id_token(status: int | None = None) -> str:
    """Return the message for a job that gets no ID token; `status` is the answer of GitHub Actions."""
    if status is not None:
        return f"GitHub Actions gives this job no id token (HTTP {status}): {_PERMISSION}, or set HF_TOKEN"
    resource = os.environ.get(RESOURCE)
    return (
        f"{RESOURCE} asks for a token for '{resource}', and this job has no id token to get it with: in GitHub Actions "
        f"{_PERMISSION}; elsewhere set {_ID_TOKEN}; or unset {RESOURCE}"
    )


def no_publisher(endpoint: str, status: int, said: str) -> str:
    """Return the message for an ID token that the hub does not exchange."""
    resource = os.environ.get(RESOURCE)
    otherwise = "HF_TOKEN" if resource in _chosen else f"{RESOURCE} to what they are a trusted publisher of"
    return (
        f"{endpoint} gives this job no token for '{resource}' (HTTP {status}: {said}): add its repository and workflow "
        f"as a trusted publisher of '{resource}' on the Hub, or set {otherwise}"
    )


def _is_logged_in() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None


def _in_actions() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _without_query(url: str) -> tuple[Origin, str]:
    return origin(url), urlsplit(url).path
