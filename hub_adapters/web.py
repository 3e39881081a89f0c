"""Base class for hubs that are web servers: a model is one download, and nothing lists its files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from hub_adapters.archives.unpack import unpack
from hub_adapters.errors import ContentError, HubError, NotFoundError, UnsupportedError
from hub_adapters.http.cache import DownloadCache, Stored
from hub_adapters.http.content_sniffing import check_content
from hub_adapters.http.urls import shown
from hub_adapters.interface import FetchOptions, HubAdapter, Reference, RemoteFile, Resolved, Snapshot
from hub_adapters.limits import Limits

_CHUNK = 1024 * 1024

# Names of the download facts in signatures.
URL, ETAG, ARCHIVE_SHA256 = "url", "etag", "archive_sha256"


@dataclass(frozen=True)
class Component:
    """A downloaded file, the requested URL, and its path in the model, which is empty for an archive of the model."""

    url: str
    stored: Stored
    path: str = ""


class _DamagedCopyError(HubError):
    """A cached file differs from what was downloaded."""


class WebAdapter(HubAdapter):
    """A hub that serves whole models, each at a URL that follows from the reference."""

    def __init__(self) -> None:
        self._cache = DownloadCache()

    @abstractmethod
    def urls(self, reference: Reference) -> Sequence[str]:
        """Return the URLs of the model; each is tried when the ones before it do not exist."""

    @abstractmethod
    def model_name(self, reference: Reference) -> str:
        """Return the name of the file or directory of the model in the cache."""

    def resolve(self, reference: Reference) -> Resolved:
        """Return the reference without a request: the version is known only from the download (`Snapshot.pins`)."""
        return Resolved(reference, reference.name, reference.revision or "")

    def fetch(
        self,
        resolved: Resolved,
        files: Collection[RemoteFile] | None = None,
        *,
        to: str | None = None,
        options: FetchOptions | None = None,
    ) -> Snapshot:
        """Download the model, or return the cached copy if the server confirms that it is current."""
        if files is not None or to is not None:
            raise UnsupportedError(f"{self.title} gives whole models: '{resolved.reference}' comes into the cache")
        chosen = options or FetchOptions()
        try:
            return self._fetch(resolved.reference, chosen)
        except _DamagedCopyError:
            return self._fetch(resolved.reference, chosen)  # the damaged copy was removed, so this downloads it

    def _fetch(self, reference: Reference, options: FetchOptions) -> Snapshot:
        components = self._components(reference, options)
        try:
            for component in components:
                check_content(component.stored.path, component.stored.content_type, shown(component.url))
        except ContentError:
            self._forget(components)
            raise
        try:
            path = self._build(reference, components, options)
        except ContentError as error:
            self._forget(components)
            raise ContentError(f"'{reference}': {error}") from error
        return self._snapshot(reference, components, path, fresh=any(each.stored.fresh for each in components))

    def cached(self, reference: Reference, options: FetchOptions | None = None) -> Snapshot | None:
        """Return the model that was downloaded last, if all of it is in the cache."""
        known = [(url, self._cache.known(url)) for url in self.urls(reference)]
        there = [(url, stored) for url, stored in known if stored is not None]
        # The last request decides, not the order of the URLs: the default branch may have been renamed.
        for url, stored in sorted(there, key=lambda each: self._cache.last_asked(each[0]), reverse=True):
            snapshot = self.from_cache(reference, [Component(url, stored)], options or FetchOptions())
            if snapshot is not None:
                return snapshot
        return None

    def from_cache(
        self, reference: Reference, components: Sequence[Component], options: FetchOptions
    ) -> Snapshot | None:
        """Return the model of cached components, built again if its files were changed; None if that fails."""
        try:
            return self._snapshot(reference, components, self._build(reference, components, options), fresh=False)
        except HubError:
            return None

    def discard(self, snapshot: Snapshot, names: Collection[str]) -> None:
        """Remove the model but not its components, whose digests are checked before they are used again."""
        if names:
            self._cache.remove_model(snapshot.path)

    def make_model(self, reference: Reference, archive: str, target: str, limits: Limits) -> None:
        """Unpack the archive to `target`."""
        unpack(archive, target, limits)

    def pins(self, reference: Reference, component: Component) -> dict[str, str]:
        """Return the download facts, which identify exactly what was downloaded."""
        found = {URL: component.stored.url, ETAG: component.stored.etag}
        if not component.path:
            found[ARCHIVE_SHA256] = component.stored.sha256
        return {name: text for name, text in found.items() if text}

    def _components(self, reference: Reference, options: FetchOptions) -> list[Component]:
        return [self._first_of(self.urls(reference), options)]

    def _first_of(self, urls: Sequence[str], options: FetchOptions, path: str = "") -> Component:
        """Download from the first URL that exists."""
        for url in urls:
            try:
                return Component(url, self._cache.get(url, options), path)
            except NotFoundError:
                if len(urls) == 1:
                    raise
        tried = ", ".join(f"'{shown(url)}'" for url in urls)
        raise NotFoundError(f"there is nothing at any of the places of a model: {tried}")

    def _build(self, reference: Reference, components: Sequence[Component], options: FetchOptions) -> str:
        """Return the path of the model in the cache, where it is built from its components if necessary."""
        key, name = self._cache_key(components, options), self.model_name(reference)
        path, _ = self._cache.model(key, name, lambda target: self._make(reference, components, target, options))
        return path

    def _cache_key(self, components: Sequence[Component], options: FetchOptions) -> str:
        digests = [[component.path, component.stored.sha256] for component in components]
        kept = None if options.keep is None else sorted(options.keep)
        return json.dumps([self.hub, digests, sorted(options.leave_out), kept])

    def check_copies(self, components: Sequence[Component]) -> None:
        """Raise for a cached file that differs from what was downloaded, after removing it."""
        for component in components:
            if not component.stored.fresh and _sha256(component.stored.path) != component.stored.sha256:
                self._forget([component])
                raise _DamagedCopyError(f"the copy of '{shown(component.url)}' in the cache is damaged")

    def _make(self, reference: Reference, components: Sequence[Component], target: str, options: FetchOptions) -> None:
        self.check_copies(components)
        self.make_model(reference, components[0].stored.path, target, options.limits)
        reduce_model(target, options)

    def _forget(self, components: Sequence[Component]) -> None:
        for component in components:
            self._cache.forget(component.url)

    def _snapshot(self, reference: Reference, components: Sequence[Component], path: str, *, fresh: bool) -> Snapshot:
        pins = self.pins(reference, components[0])
        return Snapshot(path, pins.get("revision", ""), frozenset({"."} if fresh else ()), pins=pins)


def reduce_model(model: str, options: FetchOptions) -> None:
    """Remove the files that `options` do not keep from the directory `model`; a single file remains as it is."""
    for directory, subdirectories, names in os.walk(model):
        below = os.path.relpath(directory, model).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        for name in {name for name in subdirectories if prefix + name in options.leave_out}:
            shutil.rmtree(os.path.join(directory, name))
            subdirectories.remove(name)
        for name in names:
            path = prefix + name
            if path in options.leave_out or (options.keep is not None and path not in options.keep):
                os.unlink(os.path.join(directory, name))


def file_name_in(url: str) -> str:
    """Return the decoded last component of the path of a URL."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()
