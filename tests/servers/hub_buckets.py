"""The routes of the local hub for storage buckets: their information, listings and files, which are small."""

from __future__ import annotations

from tests.servers.hub_access import Exchange, route
from tests.servers.hub_http import Refused, Reply, content_reply, error, json_reply
from tests.servers.hub_store import Blob

_ID = r"(?P<bucket>[^/]+/[^/]+)"


def _files(exchange: Exchange) -> dict[str, bytes]:
    files = exchange.core.buckets.get(exchange.part("bucket"))
    if files is None:
        raise Refused(error(404, "Bucket not found", "BucketNotFound"))
    return files


def _info(exchange: Exchange) -> Reply:
    files = _files(exchange)
    size = sum(map(len, files.values()))
    about = {"id": exchange.part("bucket"), "private": False, "createdAt": "2024-01-01T00:00:00.000Z"}
    return json_reply({**about, "size": size, "totalFiles": len(files)})


def _entries(files: dict[str, bytes]) -> list[dict[str, object]]:
    # Without digests of the storage behind the hub, the client downloads by HTTP.
    return [{"type": "file", "path": path, "size": len(data), "xetHash": None} for path, data in files.items()]


def _tree(exchange: Exchange) -> Reply:
    return json_reply(_entries(_files(exchange)))


def _paths_info(exchange: Exchange) -> Reply:
    files, asked = _files(exchange), exchange.request.body.json()["paths"]
    return json_reply(_entries({path: files[path] for path in asked if path in files}))


def _resolve(exchange: Exchange) -> Reply:
    data = _files(exchange).get(exchange.part("path"))
    if data is None:
        raise Refused(error(404, "Entry not found", "EntryNotFound"))
    return content_reply(Blob(data), exchange.request.headers.get("Range"), {})


ROUTES = [
    route("GET", rf"/api/buckets/{_ID}", _info),
    route("GET", rf"/api/buckets/{_ID}/tree(?:/.*)?", _tree),
    route("POST", rf"/api/buckets/{_ID}/paths-info", _paths_info),
    route("GET", rf"/buckets/{_ID}/resolve/(?P<path>.+)", _resolve),
]
