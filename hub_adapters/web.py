"""What hubs have in common that are web servers: a model is what one address gives, and nobody lists what is in it."""

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

# What is known of a download, as signatures record it.
URL, ETAG, ARCHIVE_SHA256 = "url", "etag", "archive_sha256"


@dataclass(frozen=True)
class Part:
    """A downloaded file, the address that was asked for it, and its path in the model; empty for an archive of it."""

    address: str
    stored: Stored
    path: str = ""


class _DamagedCopyError(HubError):
    """What was downloaded earlier is not any more what came then."""


class WebAdapter(HubAdapter):
    """A hub whose models are downloaded whole, each from an address that follows from the reference."""

    def __init__(self) -> None:
        self._cache = DownloadCache()

    @abstractmethod
    def addresses(self, reference: Reference) -> Sequence[str]:
        """Where the model may be, the first place first; what is not there is looked for at the next."""

    @abstractmethod
    def model_name(self, reference: Reference) -> str:
        """What the model is called on this disk."""

    def resolve(self, reference: Reference) -> Resolved:
        """Nothing is asked: what an address stands for shows when it is downloaded, and is in the snapshot's pins."""
        return Resolved(reference, reference.name, reference.revision or "")

    def fetch(
        self,
        resolved: Resolved,
        files: Collection[RemoteFile] | None = None,
        *,
        to: str | None = None,
        options: FetchOptions | None = None,
    ) -> Snapshot:
        """Download the model, unless what is here is what the server still has."""
        if files is not None or to is not None:
            raise UnsupportedError(f"{self.title} gives whole models: '{resolved.reference}' comes into the cache")
        chosen = options or FetchOptions()
        try:
            return self._fetch(resolved.reference, chosen)
        except _DamagedCopyError:
            return self._fetch(resolved.reference, chosen)  # it was removed, so now it is downloaded

    def _fetch(self, reference: Reference, options: FetchOptions) -> Snapshot:
        parts = self._parts(reference, options)
        try:
            for part in parts:
                check_content(part.stored.path, part.stored.content_type, shown(part.address))
        except ContentError:
            self._forget(parts)
            raise
        try:
            path, _ = self._cache.model(
                *self._model_of(reference, parts, options), lambda place: self._make(reference, parts, place, options)
            )
        except ContentError as error:
            self._forget(parts)
            raise ContentError(f"'{reference}': {error}") from error
        return self._snapshot(reference, parts, path, fresh=any(part.stored.fresh for part in parts))

    def cached(self, reference: Reference, options: FetchOptions | None = None) -> Snapshot | None:
        """What was downloaded last, when all of it is here."""
        known = [(address, self._cache.known(address)) for address in self.addresses(reference)]
        there = [(address, stored) for address, stored in known if stored is not None]
        # A branch that was there once may have become another one.
        for address, stored in sorted(there, key=lambda each: self._cache.last_asked(each[0]), reverse=True):
            snapshot = self.made_of(reference, [Part(address, stored)], options or FetchOptions())
            if snapshot is not None:
                return snapshot
        return None

    def made_of(self, reference: Reference, parts: Sequence[Part], options: FetchOptions) -> Snapshot | None:
        """The model of what was downloaded earlier, made anew if somebody changed it; None if that cannot be done."""
        try:
            path, _ = self._cache.model(
                *self._model_of(reference, parts, options), lambda place: self._make(reference, parts, place, options)
            )
            return self._snapshot(reference, parts, path, fresh=False)
        except HubError:
            return None

    def discard(self, snapshot: Snapshot, names: Collection[str]) -> None:
        """Remove the model; what it is made of stays, and is what it is."""
        if names:
            self._cache.remove_model(snapshot.path)

    def make_model(self, reference: Reference, archive: str, place: str, limits: Limits) -> None:
        """Write what is in the archive to `place`."""
        unpack(archive, place, limits)

    def pins(self, reference: Reference, part: Part) -> dict[str, str]:
        """What tells exactly what was fetched."""
        found = {URL: part.stored.url, ETAG: part.stored.etag}
        if not part.path:
            found[ARCHIVE_SHA256] = part.stored.sha256
        return {name: text for name, text in found.items() if text}

    def _parts(self, reference: Reference, options: FetchOptions) -> list[Part]:
        return [self._first_of(self.addresses(reference), options)]

    def _first_of(self, addresses: Sequence[str], options: FetchOptions, path: str = "") -> Part:
        """Download from the first of the addresses at which something is."""
        for address in addresses:
            try:
                return Part(address, self._cache.get(address, options), path)
            except NotFoundError:
                if len(addresses) == 1:
                    raise
        places = ", ".join(f"'{shown(address)}'" for address in addresses)
        raise NotFoundError(f"there is nothing at any of the places of a model: {places}")

    def _model_of(self, reference: Reference, parts: Sequence[Part], options: FetchOptions) -> tuple[str, str]:
        """The key of the cache for what is made of these parts, and its name."""
        made = [[part.path, part.stored.sha256] for part in parts]
        kept = None if options.keep is None else sorted(options.keep)
        return json.dumps([self.hub, made, sorted(options.leave_out), kept]), self.model_name(reference)

    def check_copies(self, parts: Sequence[Part]) -> None:
        """Remove a file that was downloaded earlier and is not any more what came then, and raise."""
        for part in parts:
            if not part.stored.fresh and _sha256(part.stored.path) != part.stored.sha256:
                self._forget([part])
                raise _DamagedCopyError(f"the copy of '{shown(part.address)}' in the cache is damaged")

    def _make(self, reference: Reference, parts: Sequence[Part], place: str, options: FetchOptions) -> None:
        self.check_copies(parts)
        self.make_model(reference, parts[0].stored.path, place, options.limits)
        reduce_model(place, options)

    def _forget(self, parts: Sequence[Part]) -> None:
        for part in parts:
            self._cache.forget(part.address)

    def _snapshot(self, reference: Reference, parts: Sequence[Part], path: str, *, fresh: bool) -> Snapshot:
        pins = self.pins(reference, parts[0])
        return Snapshot(path, pins.get("revision", ""), frozenset({"."} if fresh else ()), pins=pins)


def reduce_model(folder: str, options: FetchOptions) -> None:
    """Remove of a model what is not to be kept; nothing of one that is a single file."""
    for where, folders, names in os.walk(folder):
        below = os.path.relpath(where, folder).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        for name in {name for name in folders if prefix + name in options.leave_out}:
            shutil.rmtree(os.path.join(where, name))
            folders.remove(name)
        for name in names:
            path = prefix + name
            if path in options.leave_out or (options.keep is not None and path not in options.keep):
                os.unlink(os.path.join(where, name))


def last_name(address: str) -> str:
    """The name of the file that an address ends in, as it is called on this disk."""
    return unquote(urlsplit(address).path.rpartition("/")[2])


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()
