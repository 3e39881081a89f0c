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
from urllib.parse import unquote, urlsplit

from hf_model_signing.guarding.http_request import HttpRequest, named_endpoints
from hf_model_signing.guarding.request import RequestedRevision

_HUBS = ("https://huggingface.co", "https://hf.co")
# Hosts that deliver the files of the Hugging Face Hub.
_DELIVERS = re.compile(r"(?:cdn-lfs[\w-]*\.huggingface\.co|(?:[\w-]+\.)+hf\.co)")
_NO_CONTENT = ("HEAD", "OPTIONS", "CONNECT", "TRACE", "PUT", "PATCH", "DELETE")
_FILES = ("resolve", "raw")
_MOST_DECODED = 5
_LOOPBACK = "loopback"


class _Endpoint(NamedTuple):
    host: str
    port: int | None
    prefix: list[str]


def content_of(request: HttpRequest) -> RequestedRevision | None:
    """Return the repository and revision whose content a request is for; None for any other request.

    If the host delivers files and its paths do not name repositories, its URL takes the place of the repository.
    """
    if request.method.upper() in _NO_CONTENT:
        return None
    for name in request.hosts:
        host, port = _split(name)
        if _DELIVERS.fullmatch(host):
            return RequestedRevision(f"https://{host}", "main")
        for endpoint in _endpoints():
            if not _is_at(endpoint, host, port):
                continue
            for segments in _paths(request.target):
                below = segments[len(endpoint.prefix) :]
                found = _file(below) if segments[: len(endpoint.prefix)] == endpoint.prefix else None
                if found is not None:
                    return found
    return None


def _file(segments: list[str]) -> RequestedRevision | None:
    """Return the repository and the revision of a path below the endpoint, if it is that of a file."""
    words = [segment.partition(";")[0].strip().lower() for segment in segments]
    is_api = bool(words) and words[0] == "api"
    if is_api or words[:1] == ["resolve-cache"]:
        segments, words = segments[is_api:], words[is_api:]
        if words[:1] == ["resolve-cache"]:  # resolve-cache/KIND/ORG/NAME/COMMIT/FILE
            return _revision(segments[1:4], segments[4:])
    if words[-1:] == ["git-upload-pack"]:
        return _revision([*segments[:-2], segments[-2].removesuffix(".git")] if len(segments) > 1 else [], [])
    ends = range(2, 4) if is_api else range(1, 4)
    at = next((at for at in ends if at < len(words) and words[at] in _FILES), None)
    return None if at is None else _revision(segments[:at], segments[at + 1 :])


def _revision(repository: list[str], rest: list[str]) -> RequestedRevision:
    if repository[:1] == ["models"] and len(repository) > 1:
        repository = repository[1:]
    revision = "/".join(rest[: 3 if rest[:1] == ["refs"] else 1])
    return RequestedRevision(f"hf://{'/'.join(repository)}", revision or "main")


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
    if host == endpoint.host:
        return host != _LOOPBACK or port is None or port == endpoint.port
    is_address = ":" in host or host.replace(".", "").isdigit()
    return is_address and endpoint.host != _LOOPBACK and host in _addresses(endpoint.host)


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
    with contextlib.suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    return _plain(host.rstrip(".")), int(tail) if is_port else None


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
