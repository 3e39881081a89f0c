"""URLs for downloads: which are permitted, and how they are shown without secrets."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from hub_adapters.errors import BadReferenceError, BadSettingError, DishonestError


def shown(url: str) -> str:
    """Return the URL without user, password, query and fragment: any of them may be a secret."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def host_of(url: str) -> str:
    """Return host and port of a URL."""
    return urlsplit(url).netloc.rpartition("@")[2]


def named(text: str) -> str:
    """Return text from the user or a server in a form that a message may quote."""
    if "://" not in text:
        return f"{text[:300]!a}"
    try:
        return f"{shown(text)[:300]!a}"
    except ValueError:
        return "what is no address"


def check_address(url: str) -> str:
    """Return `url` if it is https, or http to this machine; raise `BadReferenceError` if not."""
    problem = _problem(url)
    if problem:
        raise BadReferenceError(f"{named(url)} cannot be downloaded: {problem}")
    return url


def follow(url: str, location: str) -> str:
    """Return the target of a redirect from `url`; raises `DishonestError` if it must not be followed.

    A redirect from https must lead to https. Plain http is permitted only to this machine and only from http.
    """
    try:
        # Headers are decoded as Latin-1, but non-ASCII ones are UTF-8 in practice.
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
    """Percent-encode characters that are not permitted in a URL; existing encodings stay."""
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~", errors="surrogateescape")


def endpoint(variable: str, default: str) -> str:
    """Return the endpoint of a hub: from the environment variable, for mirrors, or the default.

    Raises `BadSettingError` when the variable is not a permitted URL.
    """
    url = os.environ.get(variable) or default
    problem = _problem(url)
    if problem or urlsplit(url).query:
        raise BadSettingError(f"{variable} is {named(url)}: {problem or 'it must not have a query'}")
    return url.rstrip("/")


def _problem(url: str) -> str:
    """Return the reason why a URL is not permitted, or an empty string."""
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
