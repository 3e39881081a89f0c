"""ONNX models at any URL: a single file, a file with data files beside it, or an archive."""

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
from hub_adapters.web import Component, WebAdapter, file_name_in, reduce_model

_FILE = ".onnx"
_ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
_BLOB = re.compile(r"(/[^/]+/[^/]+)/blob/(.+)")  # GitHub's page about a file; with `raw` instead it is the file
# Percent-encoded characters that need no encoding: letters, digits and -._~ (RFC 3986, section 2.3).
_NEEDLESSLY_ENCODED = re.compile(r"%(?:2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
_MOST_BESIDE = 10_000
_LARGEST_GRAPH = 64 * 1024 * 1024  # bytes; a larger file contains its weights
# TensorProto.external_data in protobuf encoding: the key `location`, then the length of the value and the value.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])(.{1,127})", re.DOTALL)


class OnnxAdapter(WebAdapter):
    """Files on any web server with a name that ends in .onnx or in the suffix of an archive."""

    hub = "https"
    title = "a web server"

    @classmethod
    def parse(cls, text: str) -> Reference | None:
        """Parse `https://HOST/…/NAME.onnx`, or a URL with the suffix of an archive, such as `.tar.gz` or `.zip`."""
        if not text.startswith(("https://", "http://")):
            return None
        check_address(text)
        url = _file_on_github(text)
        parts = urlsplit(url)
        if not parts.path.lower().endswith((_FILE, *_ARCHIVES)):
            ends = ", ".join((_FILE, *_ARCHIVES))
            raise BadReferenceError(f"'{shown(text)}' is not the address of a model: it would end in {ends}")
        if not is_plain_path(file_name_in(url)) or "/" in file_name_in(url):
            raise BadReferenceError(f"'{shown(text)}' does not end in the name of a file")
        if not is_plain_path(unquote(parts.path[1:])) or _NEEDLESSLY_ENCODED.search(parts.path):
            # Rules of a trust policy match URLs, so a URL must have only one spelling.
            raise BadReferenceError(f"'{shown(text)}' has //, /./, /../ or such as %2E in it: write it plainly")
        name = parts._replace(netloc=_host(parts), query="", fragment="").geturl()
        return Reference(parts.scheme, "model", name.partition("://")[2], url=url)

    def names_files(self, reference: Reference) -> bool:
        """Return True for an .onnx file, which may have data files beside it; an archive contains all files."""
        return not _archive_suffix(file_name_in(reference.url))

    def beside(self, reference: Reference, names: Iterable[str]) -> Reference:
        """Return the reference with data files; `names` are relative to the directory of the .onnx file."""
        if not self.names_files(reference):
            raise UnsupportedError(f"'{reference}' is an archive: there is nothing to name beside it")
        others = dict.fromkeys([*reference.beside, *names])
        others.pop(file_name_in(reference.url), None)
        return replace(reference, beside=tuple(others))

    def urls(self, reference: Reference) -> Sequence[str]:
        """Return the URL of the reference."""
        return [reference.url]

    def model_name(self, reference: Reference) -> str:
        """Return the file name; without its suffix if the model is a directory."""
        name = file_name_in(reference.url)
        suffix = _archive_suffix(name) or (_FILE if reference.beside else "")
        stem = name[: len(name) - len(suffix)]
        return "model" if stem in ("", ".", "..") else stem

    def make_model(self, reference: Reference, archive: str, target: str, limits: Limits) -> None:
        """Unpack the archive; a single directory at its top is the model itself."""
        unpack(archive, target, limits)
        lift_lone_folder(target)

    def cached(self, reference: Reference, options: FetchOptions | None = None) -> Snapshot | None:
        """Return the model that was downloaded last, if all of it is in the cache."""
        found = [(url, self._cache.known(url), path) for url, path in self._files(reference)]
        components = [Component(url, stored, path) for url, stored, path in found if stored is not None]
        if len(components) != len(found):
            return None
        return self.from_cache(reference, components, options or FetchOptions())

    def _files(self, reference: Reference) -> list[tuple[str, str]]:
        """Return the URL of each file and its path in the model, which is empty for an archive of the model."""
        name = file_name_in(reference.url)
        if _archive_suffix(name):
            return [(reference.url, "")]
        paths = dict.fromkeys([name, *reference.beside])
        names = MemberNames(_MOST_BESIDE)
        for path in paths:
            if not is_plain_path(path):
                raise BadReferenceError(f"'{path}' is no path below the folder of '{reference}'")
            try:
                names.add(path, folder=False)
            except ContentError:
                raise BadReferenceError(f"'{path}' cannot lie beside the other files of '{reference}'") from None
        query = urlsplit(reference.url).query
        return [(reference.url, name)] + [
            (urlsplit(urljoin(reference.url, quote(path)))._replace(query=query).geturl(), path)
            for path in paths
            if path != name
        ]

    def _components(self, reference: Reference, options: FetchOptions) -> list[Component]:
        components: list[Component] = []
        left = options.limits.max_download  # for all files together
        for url, path in self._files(reference):
            rest = replace(options, limits=replace(options.limits, max_download=left))
            components.append(Component(url, self._cache.get(url, rest), path))
            left -= components[-1].stored.size
        if components[0].path:
            missing = sorted(_data_files(components[0].stored.path) - {component.path for component in components})
            if missing:
                options.note(f"'{reference}' keeps data in files beside it, which are no part of this: {missing[:9]}")
        return components

    def _make(self, reference: Reference, components: Sequence[Component], target: str, options: FetchOptions) -> None:
        if not components[0].path:
            super()._make(reference, components, target, options)
            return
        self.check_copies(components)
        for component in components:
            path = os.path.join(target, component.path) if reference.beside else target
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copyfile(component.stored.path, path)  # not a hard link: `onnx` rejects data files with several
        reduce_model(target, options)


def _data_files(path: str) -> set[str]:
    """Return the data files that an ONNX model names; a search for their encoding, which needs no protobuf parser."""
    if not 0 < os.path.getsize(path) <= _LARGEST_GRAPH:
        return set()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = {match[2][: match[1][0]] for match in _LOCATION.finditer(data) if len(match[2]) >= match[1][0]}
    names = {name.decode("utf-8", "replace") for name in found}
    return {name for name in names if name.isprintable() and is_plain_path(name)}


def _archive_suffix(name: str) -> str:
    return next((suffix for suffix in sorted(_ARCHIVES, key=len, reverse=True) if name.lower().endswith(suffix)), "")


def _host(parts: SplitResult) -> str:
    """Return host and port in canonical form, in which they are signed."""
    host = (parts.hostname or "").rstrip(".")
    port = parts.port if parts.port != {"https": 443, "http": 80}[parts.scheme] else None
    shown_host = f"[{host}]" if ":" in host else host
    return shown_host if port is None else f"{shown_host}:{port}"


def _file_on_github(url: str) -> str:
    """Return the URL of the file if `url` is GitHub's page about it, otherwise `url`."""
    base = endpoint("HF_SIGN_GITHUB_ENDPOINT", "https://github.com")
    match = _BLOB.fullmatch(urlsplit(url).path)
    if not match or not url.startswith(f"{base}/"):
        return url
    return urlsplit(url)._replace(path=f"{match[1]}/raw/{match[2]}").geturl()
