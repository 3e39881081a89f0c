"""Which addresses a model is downloaded from, and how they are shown: without what may be a secret in them."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from hub_adapters.errors import BadReferenceError, BadSettingError, DishonestError


def shown(url: str) -> str:
    """The address without user, password, query and fragment: any of them may be what lets somebody in."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def named(text: str) -> str:
    """What somebody typed or a server sent, as a message may quote it."""
    if "://" not in text:
        return f"{text[:300]!a}"
    try:
        return f"{shown(text)[:300]!a}"
    except ValueError:
        return "what is no address"


def check_address(url: str) -> str:
    """Return an address that may be asked: https, or http on this machine; raises `BadReferenceError`."""
    problem = _problem(url)
    if problem:
        raise BadReferenceError(f"{named(url)} cannot be downloaded: {problem}")
    return url


def follow(url: str, location: str) -> str:
    """The address that the answer of `url` leads to; raises `DishonestError` for one that nobody should go to.

    From https only to https. Plain http is for this machine alone, and only when that was what was asked for.
    """
    try:
        # Headers come as Latin-1, and are UTF-8 where they are not ASCII.
        target = urljoin(url, quoted(location.encode("latin-1").decode("utf-8", "surrogateescape")))
        problem = _problem(target)
    except ValueError:
        target, problem = location, "that is no address"
    if not problem and urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        problem = "that would leave https"
    if problem:
        raise DishonestError(f"'{shown(url)}' sends to {named(target)}, which is not followed: {problem}")
    return target


def quoted(url: str) -> str:
    """The address with all that an address cannot hold as %XX; what is written so already stays."""
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~", errors="surrogateescape")


def endpoint(variable: str, default: str) -> str:
    """The address that `variable` gives a hub, for mirrors; raises `BadSettingError` when it is none."""
    url = os.environ.get(variable) or default
    problem = _problem(url)
    if problem or urlsplit(url).query:
        raise BadSettingError(f"{variable} is {named(url)}: {problem or 'it must not have a query'}")
    return url.rstrip("/")


def _problem(url: str) -> str:
    """What is wrong with an address; empty when it can be asked."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "that is no address"
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "it has characters that no address can hold"
    if not parts.scheme:
        return "it does not begin with https://"
    if parts.scheme not in ("https", "http"):
        return f"only https is asked, not '{parts.scheme}'"
    if not parts.hostname or port == 0:
        return "it names no host"
    if parts.scheme == "http" and not _is_loopback(parts):
        return "http is for this machine alone; write https"
    return ""


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
