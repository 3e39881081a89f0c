"""ONNX models behind any address: a single file, a file with the data files beside it, or an archive."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import quote, urljoin, urlsplit

from hub_adapters.archive import lift_lone_folder, unpack
from hub_adapters.archive_names import MemberNames
from hub_adapters.errors import BadReferenceError, ContentError, UnsupportedError
from hub_adapters.interface import FetchOptions, Reference, Snapshot, is_plain_path
from hub_adapters.limits import Limits
from hub_adapters.urls import check_address, endpoint, shown
from hub_adapters.web import Part, WebAdapter, last_name

_FILE = ".onnx"
_ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
_BLOB = re.compile(r"(/[^/]+/[^/]+)/blob/(.+)")  # GitHub's page about a file; `raw` in its place is the file
_MOST_BESIDE = 10_000


class OnnxAdapter(WebAdapter):
    """Whatever https serves under a name that ends in .onnx, or in what an archive ends in."""

    hub = "https"
    title = "a web server"

    @classmethod
    def parse(cls, text: str) -> Reference | None:
        """Understands `https://HOST/…/NAME.onnx`, also `.tar.gz`, `.tgz`, `.zip` and their kin."""
        if not text.startswith(("https://", "http://")):
            return None
        check_address(text)
        address = _file_on_github(text)
        parts = urlsplit(address)
        if not parts.path.lower().endswith((_FILE, *_ARCHIVES)):
            ends = ", ".join((_FILE, *_ARCHIVES[:3]))
            raise BadReferenceError(f"'{shown(text)}' is not the address of a model: it would end in {ends}")
        if not is_plain_path(last_name(address)) or "/" in last_name(address):
            raise BadReferenceError(f"'{shown(text)}' does not end in the name of a file")
        name = parts._replace(netloc=parts.netloc.rpartition("@")[2].lower(), query="", fragment="").geturl()
        return Reference(parts.scheme, "model", name.partition("://")[2], address=address)

    def names_files(self, reference: Reference) -> bool:
        """An archive holds all files of a model; an .onnx may have its data beside it."""
        return not _archive_ending(last_name(reference.address))

    def beside(self, reference: Reference, names: Iterable[str]) -> Reference:
        """The .onnx together with the data files; the names are relative to the folder that it lies in."""
        if not self.names_files(reference):
            raise UnsupportedError(f"'{reference}' is an archive: there is nothing to name beside it")
        others = dict.fromkeys([*reference.beside, *names])
        others.pop(last_name(reference.address), None)
        return replace(reference, beside=tuple(others))

    def addresses(self, reference: Reference) -> Sequence[str]:
        """The address itself."""
        return [reference.address]

    def model_name(self, reference: Reference) -> str:
        """The name of the file, without what it ends in where that names a folder."""
        name = last_name(reference.address)
        ending = _archive_ending(name) or (_FILE if reference.beside else "")
        stem = name[: len(name) - len(ending)]
        return "model" if stem in ("", ".", "..") else stem

    def make_model(self, reference: Reference, archive: str, place: str, limits: Limits) -> None:
        """Unpack the archive; one folder that everything lies in is the model itself."""
        unpack(archive, place, limits)
        lift_lone_folder(place)

    def cached(self, reference: Reference) -> Snapshot | None:
        """What was downloaded last, when all of it is here."""
        found = [(address, self._cache.known(address), path) for address, path in self._files(reference)]
        parts = [Part(address, stored, path) for address, stored, path in found if stored is not None]
        path = self._cache.find_model(*self._model_of(reference, parts)) if len(parts) == len(found) else None
        return None if path is None else self._snapshot(reference, parts, path, fresh=False)

    def _files(self, reference: Reference) -> list[tuple[str, str]]:
        """The address of each file and its path in the model, which is empty for an archive of it."""
        name = last_name(reference.address)
        if _archive_ending(name):
            return [(reference.address, "")]
        paths = dict.fromkeys([name, *reference.beside])
        names = MemberNames(_MOST_BESIDE)
        for path in paths:
            if not is_plain_path(path):
                raise BadReferenceError(f"'{path}' is no path below the folder of '{reference}'")
            try:
                names.take(path, folder=False)
            except ContentError:
                raise BadReferenceError(f"'{path}' cannot lie beside the other files of '{reference}'") from None
        query = urlsplit(reference.address).query
        return [(reference.address, name)] + [
            (urlsplit(urljoin(reference.address, quote(path)))._replace(query=query).geturl(), path)
            for path in paths
            if path != name
        ]

    def _parts(self, reference: Reference, options: FetchOptions) -> list[Part]:
        parts: list[Part] = []
        left = options.limits.max_download
        for address, path in self._files(reference):
            rest = replace(options, limits=replace(options.limits, max_download=left))
            parts.append(Part(address, self._cache.get(address, rest), path))
            left -= parts[-1].stored.size
        return parts

    def _make(self, reference: Reference, parts: Sequence[Part], place: str, limits: Limits) -> None:
        if not parts[0].path:
            super()._make(reference, parts, place, limits)
            return
        self.check_copies(parts)
        for part in parts:
            target = os.path.join(place, part.path) if reference.beside else place
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                os.link(part.stored.path, target)
            except OSError:  # a file system without hard links
                shutil.copyfile(part.stored.path, target)
            os.chmod(target, 0o644)


def _archive_ending(name: str) -> str:
    return next((ending for ending in sorted(_ARCHIVES, key=len, reverse=True) if name.lower().endswith(ending)), "")


def _file_on_github(address: str) -> str:
    """The file, where the address is that of GitHub's page about it."""
    base = endpoint("HF_SIGN_GITHUB_ENDPOINT", "https://github.com")
    match = _BLOB.fullmatch(urlsplit(address).path)
    if not match or not address.startswith(f"{base}/"):
        return address
    return urlsplit(address)._replace(path=f"{match[1]}/raw/{match[2]}").geturl()
