"""The routes of the local hub that only read: information, trees, refs, files, and the large files of its CDN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from hub_adapters._util.repository_kinds import ANY_PLURAL
from tests.servers.hub_access import API, REV, WEB, Exchange, View, may_read, may_write, route
from tests.servers.hub_http import Refused, Reply, content_reply, error, json_reply, redirect
from tests.servers.hub_store import Commit, File, Repo, RepoKey, directories

_MODEL_ONLY: dict[str, Any] = {"pipeline_tag": None, "library_name": None, "spaces": [], "inference": None}
_SPACE_ONLY: dict[str, Any] = {"sdk": "static", "host": None, "subdomain": None, "models": [], "datasets": []}
_EXTRA: dict[str, dict[str, Any]] = {
    "model": _MODEL_ONLY,
    "dataset": {"description": None},
    "space": _SPACE_ONLY,
    "kernel": {},
}


def _sibling(path: str, file: File, blobs: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path}
    if blobs:
        entry |= {"size": file.size, "blobId": file.oid}
        if file.lfs:
            entry["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return entry


def _describe(view: View, *, blobs: bool = False) -> dict[str, Any]:
    repo, commit = view.repo, view.commit
    named = {"modelId": view.id} if repo.key.type == "model" else {}
    return {
        "_id": commit.sha[:24],
        "id": view.id,
        **named,
        "author": view.id.rpartition("/")[0] or None,
        "sha": view.sha,
        "lastModified": commit.date,
        "createdAt": repo.created,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": repo.disabled,
        **({"archived": True} if repo.archived else {}),
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "usedStorage": sum(file.size for file in commit.files.values()),
        **_EXTRA[repo.key.type],
        "siblings": [_sibling(path, file, blobs) for path, file in commit.files.items()],
    }


def _info(exchange: Exchange) -> Reply:
    data = _describe(exchange.view(), blobs=exchange.request.argument("blobs").lower() in ("true", "1"))
    names = _expanded(exchange)
    return json_reply({name: data[name] for name in names if name in data} if names else data)


def _expanded(exchange: Exchange) -> tuple[str, ...]:
    """Return the properties that the query names; none for the usual ones."""
    query = exchange.request.query
    expand = query.get("expand", query.get("expand[]", []))
    return ("_id", "id", *expand) if expand else ()


def _page(exchange: Exchange, items: Sequence[object], size: int) -> Reply:
    query = dict(exchange.request.query)
    start = int(exchange.request.argument("cursor", "0"))
    headers = {}
    if start + size < len(items):
        following = urlencode(query | {"cursor": [str(start + size)]}, doseq=True)
        headers["Link"] = f'<{exchange.core.url}{exchange.request.path}?{following}>; rel="next"'
    return json_reply(items[start : start + size], headers=headers)


_BRIEF = ("_id", "id", "modelId", "author", "private", "gated", "downloads", "likes", "tags", "createdAt")


def _list(exchange: Exchange) -> Reply:
    kind = exchange.part("kind").removesuffix("s")
    author, search = exchange.request.argument("author"), exchange.request.argument("search").lower()
    full = exchange.request.argument("full").lower() in ("true", "1")
    names = _expanded(exchange) or _BRIEF
    with exchange.core.store.lock:
        repos = sorted(exchange.core.store.repos.values(), key=lambda repo: repo.key)
    items = []
    for repo in repos:
        key = repo.key
        fits = key.type == kind and author in ("", repo.namespace) and search in key.id.lower()
        if fits and exchange.sees(repo):
            sha = repo.find("main") or next(iter(repo.commits))
            data = _describe(View(repo, key.id, sha, repo.commits[sha]))
            items.append(data if full else {name: data[name] for name in names if name in data})
    limit = int(exchange.request.argument("limit", "0")) or exchange.core.page_size
    return _page(exchange, items, min(limit, exchange.core.page_size))


def _last_change(repo: Repo, commit: Commit, path: str) -> Commit:
    def oid(state: Commit) -> str | None:
        return state.files[path].oid if path in state.files else state.dirs.get(path)

    last = commit
    for earlier in repo.history(commit.sha):
        if oid(earlier) != oid(commit):
            break
        last = earlier
    return last


def _entry(view: View, path: str, expand: bool) -> dict[str, Any]:
    file = view.commit.files.get(path)
    if file is None:
        entry: dict[str, Any] = {"type": "directory", "oid": view.commit.dirs[path], "size": 0, "path": path}
    else:
        entry = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
        if file.lfs:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    if expand:
        last = _last_change(view.repo, view.commit, path)
        entry["lastCommit"] = {"id": last.sha, "title": last.message, "date": last.date}
    return entry


def _tree(exchange: Exchange) -> Reply:
    view = exchange.view(may_read)
    root = exchange.part("path").strip("/")
    if root not in view.commit.dirs:
        raise _no_entry(view, root)
    inside = f"{root}/" if root else ""
    paths = {path for path in view.commit.files if path.startswith(inside)}
    paths |= {path for path in directories(paths) if path.startswith(inside)}
    if exchange.request.argument("recursive").lower() not in ("true", "1"):
        paths = {path for path in paths if "/" not in path[len(inside) :]}
    expand = exchange.request.argument("expand").lower() in ("true", "1")
    ordered = sorted(paths, key=lambda path: (path in view.commit.files, path))
    size = min(exchange.core.page_size, 50) if expand else exchange.core.page_size
    return _page(exchange, [_entry(view, path, expand) for path in ordered], size)


def _paths_info(exchange: Exchange) -> Reply:
    view = exchange.view(may_read)
    if "json" in (exchange.request.headers.get("Content-Type") or ""):
        form = exchange.request.body.json()
        paths, expand = form.get("paths", []), bool(form.get("expand"))
    else:
        fields = parse_qs(exchange.request.body.data.decode())
        paths, expand = fields.get("paths", []), fields.get("expand", [""])[0].lower() in ("true", "1")
    known = [path for path in dict.fromkeys(paths) if path in view.commit.files or path in view.commit.dirs]
    return json_reply([_entry(view, path, expand) for path in known if path])


def _refs(exchange: Exchange) -> Reply:
    repo = exchange.repo()
    data: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    for ref, sha in sorted({**repo.refs, **exchange.moved(repo)}.items()):
        for prefix, group in (("refs/heads/", "branches"), ("refs/tags/", "tags"), ("refs/pr/", "pullRequests")):
            if ref.startswith(prefix):
                name = ref if group == "pullRequests" else ref.removeprefix(prefix)
                data[group].append({"name": name, "ref": ref, "targetCommit": sha})
    if exchange.request.argument("include_prs") not in ("1", "true"):
        del data["pullRequests"]
    return json_reply(data)


def _commits(exchange: Exchange) -> Reply:
    view = exchange.view(may_read)
    items = [
        {
            "id": view.sha if commit is view.commit else commit.sha,
            "title": commit.message,
            "message": commit.description,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in view.repo.history(view.commit.sha)
    ]
    return _page(exchange, items, min(exchange.core.page_size, 50))


def _no_entry(view: View, path: str) -> Refused:
    reply = error(404, "Entry not found", "EntryNotFound")
    reply.headers["X-Repo-Commit"] = view.sha
    return Refused(reply)


def _found(exchange: Exchange) -> tuple[View, str, File]:
    view = exchange.view(may_read)
    path = exchange.part("path")
    if path not in view.commit.files:
        raise _no_entry(view, path)
    return view, path, view.commit.files[path]


def cdn_path(key: RepoKey, sha256: str, path: str) -> str:
    """Return the URL of a large file at the second origin, without the signature."""
    return f"/{key.type}s/{quote(key.id)}/{sha256}/{quote(path)}"


def _resolve(exchange: Exchange) -> Reply:
    view, path, file = _found(exchange)
    key = RepoKey(view.repo.key.type, exchange.part("id"))
    headers = {"X-Repo-Commit": view.sha, "ETag": f'"{file.digest}"', "Accept-Ranges": "bytes"}
    linked = headers | {"X-Linked-ETag": f'"{file.digest}"', "X-Linked-Size": str(file.size)}
    if file.sha256 is not None:
        address = cdn_path(key, file.sha256, path)
        return redirect(302, f"{exchange.core.cdn_url}{address}?signature={exchange.core.sign(address)}", linked)
    if not view.repo.private and not view.repo.gated:
        pinned = f"/api/resolve-cache/{key.type}s/{quote(key.id)}/{view.sha}/{quote(path)}"
        return redirect(307, pinned, linked)
    return _send(exchange, path, file, headers)


def _resolve_cache(exchange: Exchange) -> Reply:
    view, path, file = _found(exchange)
    return _send(exchange, path, file, {"X-Repo-Commit": view.sha, "ETag": f'"{file.digest}"'})


def _send(exchange: Exchange, path: str, file: File, headers: dict[str, str]) -> Reply:
    content = exchange.served(path, file.content) if exchange.request.method == "GET" else file.content
    return content_reply(content, exchange.request.headers.get("Range"), headers)


def _cdn(exchange: Exchange) -> Reply:
    sha256 = exchange.part("oid")
    key = exchange.key
    assert key is not None
    signature = exchange.core.sign(cdn_path(key, sha256, exchange.part("path")))
    content = exchange.core.store.objects.get(sha256)
    if content is None or exchange.request.argument("signature") != signature:
        raise Refused(error(403, "Access denied"))
    if exchange.request.method == "GET":
        content = exchange.served(exchange.part("path"), content)
    return content_reply(content, exchange.request.headers.get("Range"), {"ETag": f'"{sha256}"'})


def _whoami(exchange: Exchange) -> Reply:
    token = exchange.user()
    orgs = [{"type": "org", "name": org, "fullname": org, "roleInOrg": token.role} for org in sorted(token.orgs)]
    access = {"displayName": token.name, "role": token.role}
    about = {"type": "user", "id": token.user, "name": token.user, "fullname": token.user, "isPro": False}
    return json_reply({**about, "orgs": orgs, "auth": {"type": "access_token", "accessToken": access}})


def _auth_check(exchange: Exchange) -> Reply:
    exchange.repo(may_write if exchange.part("write") else may_read)
    return json_reply({})


ROUTES = [
    route("GET", r"/api/whoami-v2", _whoami),
    route("GET", rf"/api/(?P<kind>{ANY_PLURAL})", _list),
    route("GET", rf"{API}/revision/{REV}", _info),
    route("GET", rf"{API}/tree/{REV}(?:/(?P<path>.*))?", _tree),
    route("POST", rf"{API}/paths-info/{REV}", _paths_info),
    route("GET", rf"{API}/refs", _refs),
    route("GET", rf"{API}/commits/{REV}", _commits),
    route("GET", rf"{API}/auth-check(?P<write>/write)?", _auth_check),
    route("GET", rf"{API.replace('/api/', '/api/resolve-cache/')}/{REV}/(?P<path>.+)", _resolve_cache),
    route("GET", API, _info),
    route("GET", rf"{WEB}/resolve/{REV}/(?P<path>.+)", _resolve),
]
CDN_ROUTES = [route("GET", rf"{API.removeprefix('/api')}/(?P<oid>[0-9a-f]{{64}})/(?P<path>.+)", _cdn)]
