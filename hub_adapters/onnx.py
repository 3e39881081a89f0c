"""ONNX models behind any address: a single file, a file with the data files beside it, or an archive."""

from __future__ import annotations

import mmap
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from hub_adapters.archives.names import MemberNames
from hub_adapters.archives.unpack import lift_lone_folder, unpack
from hub_adapters.errors import BadReferenceError, ContentError, UnsupportedError
from hub_adapters.http.urls import check_address, endpoint, shown
from hub_adapters.interface import FetchOptions, Reference, Snapshot, is_plain_path
from hub_adapters.limits import Limits
from hub_adapters.web import Part, WebAdapter, last_name, reduce_model

_FILE = ".onnx"
_ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
_BLOB = re.compile(r"(/[^/]+/[^/]+)/blob/(.+)")  # GitHub's page about a file; `raw` in its place is the file
# What need not be written so: letters, digits and -._~ (RFC 3986, section 2.3).
_DISGUISED = re.compile(r"%(?:2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
_MOST_BESIDE = 10_000
_LARGEST_GRAPH = 64 * 1024 * 1024  # bytes; a larger file has its weights in itself
# The key, then the value with its length in one byte.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])(.{1,127})", re.DOTALL)


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
            ends = ", ".join((_FILE, *_ARCHIVES))
            raise BadReferenceError(f"'{shown(text)}' is not the address of a model: it would end in {ends}")
        if not is_plain_path(last_name(address)) or "/" in last_name(address):
            raise BadReferenceError(f"'{shown(text)}' does not end in the name of a file")
        if not is_plain_path(unquote(parts.path[1:])) or _DISGUISED.search(parts.path):
            # Rules of a trust policy are about addresses, so none may have several spellings.
            raise BadReferenceError(f"'{shown(text)}' has //, /./, /../ or such as %2E in it: write it plainly")
        name = parts._replace(netloc=_host(parts), query="", fragment="").geturl()
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

    def cached(self, reference: Reference, options: FetchOptions | None = None) -> Snapshot | None:
        """What was downloaded last, when all of it is here."""
        found = [(address, self._cache.known(address), path) for address, path in self._files(reference)]
        parts = [Part(address, stored, path) for address, stored, path in found if stored is not None]
        return self.made_of(reference, parts, options or FetchOptions()) if len(parts) == len(found) else None

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
                names.add(path, folder=False)
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
        if parts[0].path:
            missing = sorted(_data_files(parts[0].stored.path) - {part.path for part in parts})
            if missing:
                options.note(f"'{reference}' keeps data in files beside it, which are no part of this: {missing[:9]}")
        return parts

    def _make(self, reference: Reference, parts: Sequence[Part], place: str, options: FetchOptions) -> None:
        if not parts[0].path:
            super()._make(reference, parts, place, options)
            return
        self.check_copies(parts)
        for part in parts:
            target = os.path.join(place, part.path) if reference.beside else place
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(part.stored.path, target)  # no link: `onnx` refuses data files that have several names
        reduce_model(place, options)


def _data_files(path: str) -> set[str]:
    """The files that an ONNX model names as the place of its weights (TensorProto.external_data, key `location`)."""
    if not 0 < os.path.getsize(path) <= _LARGEST_GRAPH:
        return set()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = {match[2][: match[1][0]] for match in _LOCATION.finditer(data) if len(match[2]) >= match[1][0]}
    names = {name.decode("utf-8", "replace") for name in found}
    return {name for name in names if name.isprintable() and is_plain_path(name)}


def _archive_ending(name: str) -> str:
    return next((ending for ending in sorted(_ARCHIVES, key=len, reverse=True) if name.lower().endswith(ending)), "")


def _host(parts: SplitResult) -> str:
    """The host and the port in the one way in which they are signed."""
    host = (parts.hostname or "").rstrip(".")
    port = parts.port if parts.port != {"https": 443, "http": 80}[parts.scheme] else None
    shown_host = f"[{host}]" if ":" in host else host
    return shown_host if port is None else f"{shown_host}:{port}"


def _file_on_github(address: str) -> str:
    """The file, where the address is that of GitHub's page about it."""
    base = endpoint("HF_SIGN_GITHUB_ENDPOINT", "https://github.com")
    match = _BLOB.fullmatch(urlsplit(address).path)
    if not match or not address.startswith(f"{base}/"):
        return address
    return urlsplit(address)._replace(path=f"{match[1]}/raw/{match[2]}").geturl()
