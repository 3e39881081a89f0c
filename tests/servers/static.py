"""Local hosts of files in the role of tfhub.dev, github.com and other web servers: redirects, ranges, ETags.

`with StaticHosts() as hosts:` serves at `hosts.url`; large files come from `hosts.cdn_url`, as with the real ones.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType

from tests.servers.hub_faults import Cut, Delay, Fail, Fault, Faults, Record, Spoil
from tests.servers.hub_http import Log, Reply, Request, Server, content_reply, error, redirect
from tests.servers.hub_store import Blob, Content
from tests.servers.wire_faults import Wire, WireFault


@dataclass(frozen=True)
class Page:
    """The resource at a URL: content, or a redirect.

    Without `ranges` every response has the whole content; with `always`, every request for a range gets it.
    """

    content: Content = Blob(b"")
    etag: str | None = None
    modified: str | None = None
    content_type: str = "application/octet-stream"
    ranges: bool = True
    always: bool = False
    chunked: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    leads_to: str | None = None
    status: int = 302


class StaticHosts:
    """Two origins on one machine; methods fill them, observe them and make them misbehave."""

    def __init__(self) -> None:
        self._log = Log()
        self._faults = Faults()
        self._servers = [Server(origin, self._answer, self._log) for origin in ("hub", "cdn")]
        self.url, self.cdn_url = (server.url for server in self._servers)
        self._pages: dict[str, Page] = {}
        self.ranges: list[str | None] = []
        self._stopping = threading.Event()

    def __enter__(self) -> StaticHosts:
        for server in self._servers:
            server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for server in self._servers:
            server.stop()

    @property
    def requests(self) -> list[Record]:
        """All requests, in order."""
        return self._log.records()

    @property
    def sent(self) -> int:
        """The number of bytes of bodies that were sent."""
        return sum(record.bytes_sent for record in self.requests)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which clients contact these hosts."""
        return {"HF_SIGN_TFHUB_ENDPOINT": self.url, "HF_SIGN_GITHUB_ENDPOINT": self.url}

    def forget(self) -> None:
        """Reset the counters."""
        self._log.clear()
        self.ranges.clear()

    def put(self, path: str, data: bytes | Content, page: Page | None = None) -> str:
        """Serve `data` at a path of either host, with a strong ETag unless `page` differs; returns the URL."""
        content = Blob(data) if isinstance(data, bytes) else data
        etag = f'"{hashlib.sha256(b"".join(content.chunks(0, content.size))).hexdigest()[:32]}"'
        self._pages[path] = replace(page, content=content) if page else Page(content, etag)
        return f"{self.url}{path}"

    def page(self, path: str) -> bytes:
        """Serve a page at a path."""
        content = self._pages[path].content
        return b"".join(content.chunks(0, content.size))

    def lead(self, path: str, to: str, status: int = 302) -> str:
        """Redirect a path to another URL; returns the URL of the path."""
        self._pages[path] = Page(leads_to=to, status=status)
        return f"{self.url}{path}"

    def remove(self, path: str) -> None:
        """Remove the resource."""
        self._pages.pop(path, None)

    def tfhub(self, handle: str, tarball: bytes) -> None:
        """Serve a model of TensorFlow Hub: its URL is a page for browsers unless the archive is requested."""
        self.put(f"/{handle}", b"<!doctype html><title>A model</title>", Page(content_type="text/html"))
        stored = f"/tfhub-modules/{handle}.tar.gz"
        self.lead(f"/{handle}?tf-hub-format=compressed", f"/moved/{handle}", 301)  # a relative one
        self.lead(f"/moved/{handle}", f"{self.cdn_url}{stored}?X-Goog-Signature=s3cret")
        self.put(stored, tarball)

    def github(self, repository: str, ref: str, archive: bytes) -> None:
        """Serve the archive of a ref as GitHub does: in chunks, with a weak ETag and without ranges."""
        stored = f"/{repository}/zip/{ref}"
        for path in (f"/{repository}/archive/{ref}.zip", f"/{repository}/zipball/{ref}"):
            self.lead(path, f"{self.cdn_url}{stored}")
        etag = f'W/"{hashlib.sha256(archive).hexdigest()}"'
        self.put(stored, archive, Page(etag=etag, content_type="application/zip", ranges=False, chunked=True))

    def raw(self, repository: str, ref: str, path: str, data: bytes) -> str:
        """Serve a file of a repository; returns the URL of GitHub's page about it. The file has another URL."""
        self.put(f"/{repository}/blob/{ref}/{path}", b"<!DOCTYPE html>\n<html>", Page(content_type="text/html"))
        stored = f"/media/{repository}/{ref}/{path}"
        self.lead(f"/{repository}/raw/{ref}/{path}", f"{self.cdn_url}{stored}")
        self.put(stored, data)
        return f"{self.url}/{repository}/blob/{ref}/{path}"

    def fail(self, status: int, path: str = "", times: int | None = 1, **headers: str) -> Fault:
        """Respond with an error."""
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return self._faults.add(Fault(Fail(status, "not now", named), path=path, times=times))

    def cut(self, after: int, path: str = "", times: int | None = 1) -> Fault:
        """Close the connection in the middle of a body."""
        return self._faults.add(Fault(Cut(after), path=path, times=times))

    def delay(self, seconds: float, path: str = "", times: int | None = 1) -> Fault:
        """Delay the response."""
        return self._faults.add(Fault(Delay(seconds), path=path, times=times))

    def spoil(self, change: Callable[[Reply], Reply], path: str = "", times: int | None = 1) -> Fault:
        """Change a response before it is sent."""
        return self._faults.add(Fault(Spoil(change), path=path, times=times))

    def break_wire(self, fault: WireFault, *, origin: str = "hub") -> Wire:
        """Break the connections of all requests to an origin, `hub` or `cdn`, in place of an answer."""
        server = next(server for server in self._servers if server.origin == origin)
        server.wire = Wire(fault)
        return server.wire

    def _answer(self, request: Request) -> Reply:
        record = request.record
        for delay in self._faults.take(Delay, record, None):
            self._stopping.wait(delay.seconds)
        reply = self._reply(request)
        fail = next(self._faults.take(Fail, record, None), None)
        if fail:
            reply = error(fail.status, fail.message, **{name.replace("-", "_"): value for name, value in fail.headers})
        spoil = next(self._faults.take(Spoil, record, None), None)
        if spoil:
            reply = spoil.change(reply)
        # One at a time: each of several cuts applies to another response.
        cut = next(self._faults.take(Cut, record, None), None) if reply.status in (200, 206) else None
        if cut:
            reply.cut = cut.after
        return reply

    def _reply(self, request: Request) -> Reply:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        with_query = f"{request.record.path}?{request.record.query}"
        page = self._pages.get(with_query) or self._pages.get(request.record.path)
        if page is None:
            return error(404, "Not Found")
        if page.leads_to is not None:
            return redirect(page.status, page.leads_to)
        named = {"ETag": page.etag, "Last-Modified": page.modified, "Content-Type": page.content_type}
        headers = {name: value for name, value in named.items() if value is not None} | dict(page.headers)
        if page.etag is not None and request.headers.get("If-None-Match") == page.etag:
            return Reply(304, headers)
        condition = request.headers.get("If-Range")
        same = not condition or page.always or condition in (page.etag, page.modified)  # an empty one counts as absent
        reply = content_reply(page.content, wanted if same and page.ranges else None, headers)
        reply.chunked = page.chunked
        return reply
