"""A request of an HTTP library, as the guard judges it."""

from __future__ import annotations

from typing import NamedTuple

named_endpoints: set[str] = set()  # URLs of hubs that a program has named in calls of the client


class HttpRequest(NamedTuple):
    """A request that is about to be sent: `hosts` are the one of the connection, and those that it names itself."""

    method: str
    hosts: tuple[str, ...]
    target: str  # path and query
