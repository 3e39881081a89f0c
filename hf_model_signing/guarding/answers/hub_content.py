"""Requests for the content of files of a hub, and the repository that they are for.

A request is judged by where it goes: its host is a hub's, or one from which a hub delivers files, and its path is one
under which a hub has files. A server may decode a path more than once, so every spelling of such a path counts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from hf_model_signing.guarding.answers.hub_paths import CONVERTED, FoundContent, content_at
from hf_model_signing.guarding.checks.request import RequestedRevision
from hf_model_signing.guarding.http_request import HttpRequest, named_endpoints

_HUBS = ("https://huggingface.co", "https://hf.co")
# Hosts that deliver the files of the Hugging Face Hub.
_DELIVERS = re.compile(r"(?:cdn-lfs[\w-]*\.huggingface\.co|(?:[\w-]+\.)+hf\.co)")
_NO_CONTENT = ("HEAD", "OPTIONS", "CONNECT", "TRACE", "PUT", "PATCH", "DELETE")
_PUBLIC = tuple(url.removeprefix("https://") for url in _HUBS)
_VIEWER = "datasets-server."  # before the host of a hub: its dataset viewer
_VIEWER_METADATA = frozenset({"", "healthcheck", "is-valid", "parquet", "size", "splits"})
_MOST_DECODED = 5
_LOOPBACK = "loopback"


class _Endpoint(NamedTuple):
    host: str
    port: int | None
    prefix: list[str]


def content_of(request: HttpRequest) -> tuple[RequestedRevision, ...]:
    """Return the repositories and revisions whose content a request is for: one for each way to understand its path.

    If the host delivers files and its paths do not name repositories, its URL takes the place of the repository.
    """
    method = request.method.upper()
    if method in _NO_CONTENT:
        return ()
    found: dict[RequestedRevision, None] = {}
    for name in request.hosts:
        host, port = _split(name)
        if _DELIVERS.fullmatch(host):
            found[RequestedRevision(f"https://{host}", "main")] = None
        text = _ascii(name.rpartition("@")[2].strip().lower())
        is_viewer = text.startswith(_VIEWER)
        if is_viewer:
            host, port = _split(text.removeprefix(_VIEWER))
        for endpoint in _endpoints():
            contents = _viewed(request.target) if is_viewer else _contents(endpoint, request.target, method)
            # The path first: the names of the hubs are looked up only if nothing else can tell.
            if contents and _is_at(endpoint, host, port):
                found.update((content.requested, None) for content in contents)
            elif any(content.is_file for content in contents) and _has_address(endpoint, host):
                found.update((content.requested, None) for content in contents if content.is_file)
    return tuple(found)


def _contents(endpoint: _Endpoint, target: str, method: str) -> list[FoundContent]:
    """Return what a path can mean at an endpoint. Nobody posts to a path that names no file to get one."""
    count = len(endpoint.prefix)
    below = [segments[count:] for segments in _paths(target) if segments[:count] == endpoint.prefix]
    contents = [content for content in map(content_at, below) if content is not None]
    return [content for content in contents if content.is_file or method == "GET"]


def _viewed(target: str) -> list[FoundContent]:
    """Return the datasets that a request to the dataset viewer of a hub is for, unless it asks for no content."""
    path = next(_paths(target))
    if path[-1:] and path[-1].lower() in _VIEWER_METADATA:
        return []
    names = parse_qs(urlsplit(target).query).get("dataset", [])
    if path[:1] and path[0].lower() in ("assets", "cached-assets"):
        names = [*names, "/".join(path[1 : path.index("--") if "--" in path else 3])]
    return [FoundContent(RequestedRevision(f"hf://datasets/{name}", CONVERTED), is_file=True) for name in names]


def _paths(target: str) -> Iterator[list[str]]:
    """Yield the segments of a path, decoded, as a server understands it that knows `..`, and as one that does not."""
    path = target.partition("?")[0].partition("#")[0]
    for _ in range(_MOST_DECODED):
        path = unquote(path)
    plain = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
    yield plain
    if ".." in plain:
        resolved: list[str] = []
        for part in plain:
            resolved = resolved[:-1] if part == ".." else [*resolved, part]
        yield resolved


def _endpoints() -> Iterator[_Endpoint]:
    """Yield the hubs in use: the Hugging Face Hub, and the endpoints of the environment and of the client."""
    constants = sys.modules.get("huggingface_hub.constants")
    named = (os.environ.get("HF_ENDPOINT", ""), str(getattr(constants, "ENDPOINT", "")))
    for url in dict.fromkeys((*_HUBS, *named, *tuple(named_endpoints))):
        if url:
            yield _endpoint(url)


@lru_cache(maxsize=64)
def _endpoint(url: str) -> _Endpoint:
    parts = urlsplit(url)
    host, port = _split(parts.netloc)
    prefix = next(_paths(parts.path), [])
    return _Endpoint(host, port or (80 if parts.scheme == "http" else 443), prefix)


def _is_at(endpoint: _Endpoint, host: str, port: int | None) -> bool:
    return host == endpoint.host and (host != _LOOPBACK or port is None or port == endpoint.port)


def _has_address(endpoint: _Endpoint, host: str) -> bool:
    """Return True if a host is given as an address, and an endpoint has it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if endpoint.host in _PUBLIC and not address.is_global:
        return False
    return endpoint.host != _LOOPBACK and host in _addresses(endpoint.host)


@lru_cache(maxsize=16)
def _addresses(host: str) -> Collection[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return ()


@lru_cache(maxsize=256)
def _split(name: str) -> tuple[str, int | None]:
    """Return the host, in the one spelling that is compared, and the port of `[USER@]HOST[:PORT]`."""
    text = name.rpartition("@")[2].strip().lower()
    head, colon, tail = text.rpartition(":")
    is_port = bool(colon) and tail.isdecimal() and ("]" in head or ":" not in head)
    host = (head if is_port else text).strip("[]").partition("%")[0]
    return _plain(_ascii(host).rstrip(".")), int(tail) if is_port else None


def _ascii(name: str) -> str:
    with contextlib.suppress(UnicodeError):
        return name.encode("idna").decode("ascii")
    return name


def _plain(host: str) -> str:
    if host[:1].isdigit() and ":" not in host:
        try:
            host = socket.inet_ntoa(socket.inet_aton(host))  # 127.1, 0x7f000001
        except OSError:
            return host
    if host == "localhost" or host.endswith(".localhost"):
        return _LOOPBACK
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    address = getattr(address, "ipv4_mapped", None) or address
    return _LOOPBACK if address.is_loopback or address.is_unspecified else str(address)
