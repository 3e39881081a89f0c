"""The routes of the local hub that change something: uploads, commits, refs and repositories."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tests.servers.hub_access import (
    API,
    REV,
    WEB,
    Exchange,
    Rule,
    Sink,
    Upload,
    may_propose,
    may_write,
    route,
)
from tests.servers.hub_http import Refused, Reply, error, json_reply
from tests.servers.hub_store import Commit, Content, File, OnDisk, Repo, RepoKey, Store, plain_file, sha256_of

_STALE = "A commit has happened since. Please refresh and try again."


class _DiskSink(Sink):
    def __init__(self, path: Path, sha256: str) -> None:
        self._path = path
        self._sha256 = sha256

    def write(self, offset: int, data: bytes) -> None:
        with self._path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def finish(self) -> Content | None:
        content = OnDisk(self._path, self._path.stat().st_size)
        return content if sha256_of(content) == self._sha256 else None


class _CompareSink(Sink):
    """Compares an upload with known content, so that nothing needs to be stored."""

    def __init__(self, expected: Content) -> None:
        self._expected = expected
        self._same = True

    def write(self, offset: int, data: bytes) -> None:
        self._same = self._same and b"".join(self._expected.chunks(offset, offset + len(data))) == data

    def finish(self) -> Content | None:
        return self._expected if self._same else None


def _propose_or_write(exchange: Exchange) -> Rule:
    return may_propose if exchange.request.argument("create_pr") == "1" else may_write


def ignored(path: str, rules: str) -> bool:
    """True if a .gitignore with these rules ignores a path."""
    found = False
    for line in rules.splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        wanted, rule = (False, rule[1:]) if rule.startswith("!") else (True, rule)
        parts = path.split("/")
        prefixes = ["/".join(parts[:depth]) for depth in range(1, len(parts) + (not rule.endswith("/")))]
        rule = rule.rstrip("/")
        if "/" in rule:
            matched = any(fnmatch(prefix, rule.lstrip("/")) for prefix in prefixes)
        else:
            matched = any(fnmatch(prefix.rpartition("/")[2], rule) for prefix in prefixes)
        found = wanted if matched else found
    return found


def _preupload(exchange: Exchange) -> Reply:
    view = exchange.view(_propose_or_write(exchange))
    asked = exchange.request.body.json()
    hosted = view.commit.files.get(".gitignore")
    rules = asked.get("gitIgnore")
    if rules is None:
        rules = b"".join(hosted.content.chunks(0, hosted.size)).decode() if hosted else ""
    files = []
    for item in asked.get("files", []):
        path = item["path"]
        lfs = exchange.core.store.wants_lfs(path, item["size"])
        known = view.commit.files.get(path)
        entry = {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": ignored(path, rules)}
        files.append(entry | ({"oid": known.digest} if known else {}))
    return json_reply({"files": files, "commitOid": view.sha})


def _lfs_batch(exchange: Exchange) -> Reply:
    asked = exchange.request.body.json()
    repo = exchange.repo(may_write if asked.get("ref") else may_propose)
    objects = [_lfs_object(exchange, repo, item["oid"], item["size"]) for item in asked.get("objects", [])]
    transfer = "multipart" if any("chunk_size" in _header(item) for item in objects) else "basic"
    return json_reply({"transfer": transfer, "objects": objects})


def _header(item: dict[str, Any]) -> dict[str, str]:
    header: dict[str, str] = item.get("actions", {}).get("upload", {}).get("header", {})
    return header


def _lfs_object(exchange: Exchange, repo: Repo, sha256: str, size: int) -> dict[str, Any]:
    core = exchange.core
    entry: dict[str, Any] = {"oid": sha256, "size": size, "authenticated": True}
    if sha256 in repo.objects:
        return entry
    expected = core.expected.get(sha256)
    sink: Sink = _CompareSink(expected) if expected else _DiskSink(core.store.temporary(), sha256)
    part_size = core.part_size if size > core.part_size else None
    ticket = secrets.token_urlsafe(24)
    core.uploads[ticket] = Upload(repo, sha256, size, part_size, sink, {})
    verify = f"{core.url}/{repo.key.prefix}{repo.key.id}.git/info/lfs/objects/verify"
    if part_size is None:
        upload: dict[str, Any] = {"href": f"{core.cdn_url}/upload/{sha256}?ticket={ticket}", "header": {}}
    else:
        header = {"chunk_size": str(part_size)}
        for number in range(1, -(-size // part_size) + 1):
            header[f"{number:05}"] = f"{core.cdn_url}/upload/{sha256}?ticket={ticket}&part={number}"
        upload = {"href": f"{core.url}/api/complete_multipart?ticket={ticket}", "header": header}
    return entry | {"actions": {"upload": upload, "verify": {"href": verify, "header": {}}}}


def _upload_of(exchange: Exchange) -> Upload:
    upload = exchange.core.uploads.get(exchange.request.argument("ticket"))
    if upload is None:
        raise Refused(error(403, "Access denied"))
    return upload


def _put(exchange: Exchange) -> Reply:
    upload = _upload_of(exchange)
    number = int(exchange.request.argument("part", "0"))
    size, start = upload.size, 0
    if upload.part_size is not None:
        start = (number - 1) * upload.part_size
        size = min(upload.part_size, upload.size - start)
    digest, received = hashlib.md5(usedforsecurity=False), 0
    for piece in exchange.request.body.chunks():
        digest.update(piece)
        upload.sink.write(start + received, piece)
        received += len(piece)
    if received != size:
        raise Refused(error(400, f"Expected {size} bytes and got {received}"))
    upload.parts[number] = f'"{digest.hexdigest()}"'
    if upload.part_size is None:
        _finish(exchange, upload)
    return Reply(200, {"ETag": upload.parts[number]})


def _finish(exchange: Exchange, upload: Upload) -> None:
    exchange.core.uploads.pop(exchange.request.argument("ticket"), None)
    content = upload.sink.finish()
    if content is None or content.size != upload.size:
        raise Refused(error(400, "The content is not what its sha256 says"))
    exchange.core.store.keep(upload.repo, upload.sha256, content)


def _complete(exchange: Exchange) -> Reply:
    upload = _upload_of(exchange)
    parts = {part["partNumber"]: part["etag"] for part in exchange.request.body.json().get("parts", [])}
    if parts != upload.parts or len(parts) != -(-upload.size // (upload.part_size or 1)):
        raise Refused(error(400, "The parts are not those that were uploaded"))
    _finish(exchange, upload)
    return json_reply({"success": True})


def _verify(exchange: Exchange) -> Reply:
    repo = exchange.repo()
    asked = exchange.request.body.json()
    content = exchange.core.store.objects.get(asked.get("oid", ""))
    if content is None or asked["oid"] not in repo.objects or content.size != asked.get("size"):
        raise Refused(error(404, "The object was not uploaded"))
    return json_reply({})


def _lines(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in data.splitlines():
        if line.strip():
            try:
                item = json.loads(line)
                yield item["key"], item["value"]
            except (ValueError, KeyError, TypeError) as problem:
                raise Refused(error(400, f"Not a line of a commit: {problem}")) from problem


def _file(value: dict[str, Any]) -> File:
    if value.get("encoding") != "base64":
        return plain_file(value["content"].encode())
    try:
        return plain_file(base64.b64decode(value["content"], validate=True))
    except binascii.Error as problem:
        raise Refused(error(400, f"Content of {value['path']} is not base64")) from problem


def _large_file(store: Store, repo: Repo, value: dict[str, Any]) -> File:
    content = store.objects.get(value["oid"])
    size = value.get("size")
    if content is None or value["oid"] not in repo.objects or (size is not None and size != content.size):
        raise Refused(error(400, f"LFS pointer of {value['path']} points to a file that does not exist"))
    return store.large_file(value["oid"])


def _deleted(base: Commit, value: dict[str, Any], *, folder: bool) -> dict[str, File | None]:
    path = value["path"].rstrip("/")
    gone = [name for name in base.files if name == path or (folder and name.startswith(f"{path}/"))]
    if not gone:
        kind = "folder" if folder else "file"
        raise Refused(error(404, f"A {kind} with this name doesn't exist", "EntryNotFound"))
    return dict.fromkeys(gone)


def _changes(store: Store, repo: Repo, base: Commit, lines: list[tuple[str, dict[str, Any]]]) -> dict[str, File | None]:
    changes: dict[str, File | None] = {}
    for key, value in lines:
        if key == "file":
            changes[value["path"]] = _file(value)
        elif key == "lfsFile":
            changes[value["path"]] = _large_file(store, repo, value)
        elif key in ("deletedFile", "deletedFolder"):
            changes |= _deleted(base, value, folder=key == "deletedFolder")
        elif key != "header":
            raise Refused(error(400, f"Unknown operation: {key}"))
    return changes


def _ref_of(repo: Repo, revision: str) -> str:
    for ref in (f"refs/heads/{revision}", revision):
        if ref in repo.refs and ref.startswith(("refs/heads/", "refs/pr/")):
            return ref
    raise Refused(error(404, f"Invalid rev id: {revision}", "RevisionNotFound"))


def _commit(exchange: Exchange) -> Reply:
    propose = exchange.request.argument("create_pr") == "1"
    repo = exchange.repo(may_propose if propose else may_write)
    lines = list(_lines(exchange.request.body.data))
    header = dict(lines).get("header", {})
    if not header.get("summary"):
        raise Refused(error(400, "A commit needs a summary"))
    with exchange.core.store.lock:
        commit, number = _apply(exchange, repo, header, lines, propose=propose)
    address = f"{exchange.core.url}/{repo.key.prefix}{repo.key.id}"
    pull = f"{address}/discussions/{number}" if number else None
    made = {"commitOid": commit.sha, "commitUrl": f"{address}/commit/{commit.sha}", "pullRequestUrl": pull}
    return json_reply({"success": True, "hookOutput": "", **made})


def _apply(
    exchange: Exchange, repo: Repo, header: dict[str, Any], lines: list[tuple[str, dict[str, Any]]], *, propose: bool
) -> tuple[Commit, int]:
    core, author = exchange.core, exchange.user().user
    ref = _ref_of(repo, exchange.part("rev"))
    head = exchange.moved(repo).get(ref, repo.refs[ref])
    parent = header.get("parentCommit") or head
    if propose:
        if parent not in repo.commits:
            raise Refused(error(404, f"Invalid rev id: {parent}", "RevisionNotFound"))
        head = parent
    elif not head.startswith(parent):
        raise Refused(error(412, _STALE))
    changes = _changes(core.store, repo, repo.commits[head], lines)
    number = 1 + sum(name.startswith("refs/pr/") for name in repo.refs) if propose else 0
    if propose:
        ref = f"refs/pr/{number}"
        repo.pull_authors[ref] = author
    text = {"description": header.get("description", ""), "author": author}
    commit = core.store.commit(repo, ref, changes, header["summary"], parent=head, **text)
    core.faults.forget(repo.key, ref)
    return commit, number


def _named(exchange: Exchange, asked: dict[str, Any]) -> RepoKey:
    namespace = asked.get("organization") or exchange.user().user
    return RepoKey(asked.get("type") or "model", f"{namespace}/{asked['name']}")


def _create_repo(exchange: Exchange) -> Reply:
    asked = exchange.request.body.json()
    key = _named(exchange, asked)
    exchange.writer(key.id.rpartition("/")[0])
    address = {"url": f"{exchange.core.url}/{key.prefix}{key.id}", "name": key.id}
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    try:
        exchange.core.store.create(key, private=private)
    except ValueError:
        message = f"You already created this {key.type} repo"
        return json_reply({"error": message, **address}, 409, {"X-Error-Message": message})
    return json_reply(address)


def _own(exchange: Exchange, key: RepoKey) -> Repo:
    repo = exchange.core.store.repos.get(key)
    if repo is None or not exchange.sees(repo):
        raise exchange.missing()
    exchange.writer(repo.namespace)
    return repo


def _delete_repo(exchange: Exchange) -> Reply:
    key = _named(exchange, exchange.request.body.json())
    _own(exchange, key)
    with exchange.core.store.lock:
        exchange.core.store.repos.pop(key, None)
    return json_reply({})


def _move_repo(exchange: Exchange) -> Reply:
    asked = exchange.request.body.json()
    old, new = RepoKey(asked["type"], asked["fromRepo"]), asked["toRepo"]
    _own(exchange, old)
    exchange.writer(new.rpartition("/")[0])
    if RepoKey(old.type, new) in exchange.core.store.repos:
        raise Refused(error(409, f"{new} exists already"))
    exchange.core.store.rename(old, new)
    return json_reply({})


def _set_ref(exchange: Exchange, repo: Repo, ref: str, start: str) -> Reply:
    sha = repo.find(start)
    if sha is None:
        raise Refused(error(404, f"Invalid rev id: {start}", "RevisionNotFound"))
    with exchange.core.store.lock:
        if ref in repo.refs:
            raise Refused(error(409, "Reference already exists"))
        repo.refs[ref] = sha
    return json_reply({})


def _create_branch(exchange: Exchange) -> Reply:
    repo = exchange.repo(may_write)
    start = exchange.request.body.json().get("startingPoint") or "main"
    return _set_ref(exchange, repo, f"refs/heads/{exchange.part('rev')}", start)


def _create_tag(exchange: Exchange) -> Reply:
    repo = exchange.repo(may_write)
    return _set_ref(exchange, repo, f"refs/tags/{exchange.request.body.json()['tag']}", exchange.part("rev"))


def _delete_ref(exchange: Exchange) -> Reply:
    repo = exchange.repo(may_write)
    folder = {"branch": "refs/heads", "tag": "refs/tags"}[exchange.part("what")]
    ref = f"{folder}/{exchange.part('rev')}"
    if ref == "refs/heads/main":
        raise Refused(error(403, "Cannot delete the branch main"))
    with exchange.core.store.lock:
        if repo.refs.pop(ref, None) is None:
            raise Refused(error(404, "Reference does not exist", "RevisionNotFound"))
    return json_reply({})


def _settings(exchange: Exchange) -> Reply:
    repo = exchange.repo(may_write)
    asked = exchange.request.body.json()
    if "visibility" in asked or "private" in asked:
        repo.private = asked.get("visibility") == "private" or bool(asked.get("private"))
    repo.gated = asked.get("gated", repo.gated)
    return json_reply({"private": repo.private, "gated": repo.gated})


def _validate_yaml(exchange: Exchange) -> Reply:
    exchange.request.body.json()
    return json_reply({"errors": [], "warnings": []})


ROUTES = [
    route("POST", r"/api/validate-yaml", _validate_yaml),
    route("POST", r"/api/repos/create", _create_repo),
    route("DELETE", r"/api/repos/delete", _delete_repo),
    route("POST", r"/api/repos/move", _move_repo),
    route("POST", r"/api/complete_multipart", _complete),
    route("POST", rf"{API}/preupload/{REV}", _preupload),
    route("POST", rf"{API}/commit/{REV}", _commit),
    route("POST", rf"{API}/branch/{REV}", _create_branch),
    route("POST", rf"{API}/tag/{REV}", _create_tag),
    route("DELETE", rf"{API}/(?P<what>branch|tag)/{REV}", _delete_ref),
    route("PUT", rf"{API}/settings", _settings),
    route("POST", rf"{WEB}\.git/info/lfs/objects/batch", _lfs_batch),
    route("POST", rf"{WEB}\.git/info/lfs/objects/verify", _verify),
]
CDN_ROUTES = [route("PUT", r"/upload/(?P<oid>[0-9a-f]{64})", _put)]
