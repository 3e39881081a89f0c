"""Trusted publishing: a CI job proves to the hub which job it is, and so needs no token of a person.

`huggingface_hub` does the work when HF_OIDC_RESOURCE names a repository: it asks GitHub Actions for an id token of the
job, or takes HF_OIDC_ID_TOKEN, and exchanges it at the hub for a short-lived token for that repository (RFC 8693). Here
is what it leaves open: when that variable is set without anybody's doing, and where the token of the job may go with
which the id token is asked for.
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

_chosen: set[str] = set()  # what this process has put into HF_OIDC_RESOURCE


class Origin(NamedTuple):
    """Where an address leads: to which program on which machine."""

    scheme: str
    host: str
    port: int | None


def origin(url: str) -> Origin:
    """The origin of an address, with the port that the scheme stands for when it names none."""
    parts = urlsplit(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme))


def resource_of(reference: Reference) -> str:
    """What a trusted publisher of the repository gets a token for."""
    return reference.uri.partition("://")[2]


def opt_in(reference: Reference) -> None:
    """Have the client get a token for the repository, when this job can prove itself and has no token at all.

    What somebody has set stays. The variable is one for the process, so only one repository at a time is written to.
    A name without a namespace is left alone: the hub would take it for a user's.
    """
    from huggingface_hub import get_token

    if os.environ.get(RESOURCE) not in (None, "", *_chosen):
        return
    os.environ.pop(RESOURCE, None)
    if "/" not in reference.name or not can_prove_itself() or get_token() is not None:
        return
    resource = resource_of(reference)
    _logger.info("there is no token here, so this job asks the hub for one as a trusted publisher of '%s'", resource)
    _chosen.add(resource)
    os.environ[RESOURCE] = resource


def can_prove_itself() -> bool:
    """Whether this is a job that has an id token, or may ask GitHub Actions for one."""
    may_ask = bool(os.environ.get(_REQUEST_URL) and os.environ.get(_REQUEST_TOKEN))
    return bool(os.environ.get(_ID_TOKEN)) or (_in_actions() and may_ask)


def is_publisher() -> bool:
    """Whether the token in use is one that a trusted publisher got."""
    return bool(os.environ.get(RESOURCE))


def is_id_token_address(url: str) -> bool:
    """Whether GitHub Actions gives out id tokens there; the client adds to the query of that address."""
    address = os.environ.get(_REQUEST_URL)
    try:
        return bool(address) and _without_query(url) == _without_query(str(address))
    except ValueError:  # no address at all
        return False


def is_exchange_address(url: str) -> bool:
    """Whether a hub exchanges the proof of a job for a token there."""
    return urlsplit(url).path.endswith("/oauth/token")


def may_carry(url: str, authorization: str, hubs: set[Origin]) -> bool:
    """Whether this header may go there: a token of the hub to `hubs`, the one of the job to where it is meant for."""
    request_token = os.environ.get(_REQUEST_TOKEN)
    if request_token and request_token in authorization:
        return is_id_token_address(url)
    return origin(url) in hubs


def how_to_log_in(reference: Reference) -> str:
    """What to do for want of a token that may, as the end of a sentence."""
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
    """The sentence for a job that gets no id token; `status` is the one that GitHub Actions answers with."""
    if status is not None:
        return f"GitHub Actions gives this job no id token (HTTP {status}): {_PERMISSION}, or set HF_TOKEN"
    resource = os.environ.get(RESOURCE)
    return (
        f"{RESOURCE} asks for a token for '{resource}', and this job has no id token to get it with: in GitHub Actions "
        f"{_PERMISSION}; elsewhere set {_ID_TOKEN}; or unset {RESOURCE}"
    )


def no_publisher(endpoint: str, status: int, said: str) -> str:
    """The sentence for an id token that the hub gives no token for."""
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
