"""The cache of downloads: files by SHA-256, found by URL and ETag, and the models that are built of them.

    blobs/<sha256>           a complete downloaded file
    addresses/<key>.json     the last response for a URL: ETag, SHA-256, final URL after redirects
    partial/<key>            an incomplete file, with a .json with the data to resume it
    models/<key>/model/<name>   a model as programs open it; beside it a list of its files and their states

Everything is renamed into place under a lock, so that it is complete or missing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from hub_adapters._util.atomic_files import write_file
from hub_adapters._util.file_lock import locked
from hub_adapters._util.json_memory import read_json
from hub_adapters._util.own_cache import own_directory
from hub_adapters.errors import HubError, UnavailableError
from hub_adapters.http.download import Download, NotModifiedError, Received, too_large
from hub_adapters.http.urls import shown
from hub_adapters.interface import FetchOptions

_FOLDER = "downloads"
_LIST = "files.json"  # the state of each file of the model when it was built
_LARGEST_LIST = 400_000_000  # bytes of memory, for 300,000 files
_LARGEST_NOTES = 1_000_000  # bytes of memory
_MODEL = "model"  # a directory of its own, so that the name of a model cannot be that of the list


@dataclass(frozen=True)
class Stored:
    """A downloaded file. `path` is in the cache; `url` is the final URL after redirects, without secrets.

    `fresh` is true if this call downloaded it. `size` is in bytes.
    """

    path: str
    url: str
    etag: str
    sha256: str
    size: int
    content_type: str
    fresh: bool = True


class DownloadCache:
    """The directory `downloads` in the cache of this program; any number of processes may use it."""

    def get(self, address: str, options: FetchOptions) -> Stored:
        """Download the URL `address`, unless the server confirms the cached copy; raises `HubError`."""
        asked = time.time_ns()

        def waiting() -> None:
            options.note(f"another process is downloading '{shown(address)}'; waiting for it")

        with self._locked(_key(address), waiting) as waited:
            known = self._read(address)
            if known and waited and os.stat(self._notes(address)).st_mtime_ns >= asked:
                stored = known  # the other process downloaded it
            else:
                stored = self._download(address, None if options.anew else known, options)
        if stored.size > options.limits.max_download:
            raise too_large(address, f"{stored.size:,} bytes", options)
        return stored

    def known(self, address: str) -> Stored | None:
        """Return the cached file for the URL `address` without a request, or None."""
        return self._read(address)

    def last_asked(self, address: str) -> int:
        """Return the time of the last response for the URL `address` in nanoseconds; 0 without one."""
        try:
            return os.stat(self._notes(address)).st_mtime_ns
        except FileNotFoundError:
            return 0

    def forget(self, address: str) -> None:
        """Remove the cached file for the URL `address` because it is invalid."""
        with self._locked(_key(address)):
            stored = self._read(address)
            _remove(self._notes(address), *([stored.path] if stored else []))

    def model(self, key: str, name: str, make: Callable[[str], None]) -> tuple[str, bool]:
        """Return the path of the model `name`, and True if it was built by this call.

        `make` writes the model to the path that it receives. It is called if the model is missing or any of its files
        was changed since it was built; `key` identifies the components of the model.
        """
        home = self._home(key, name)
        with self._locked(os.path.basename(home)):
            if _is_intact(home):
                return os.path.join(home, _MODEL, name), False
            making = self._place("making", os.path.basename(home))
            os.makedirs(os.path.join(making, _MODEL), 0o700)
            try:
                make(os.path.join(making, _MODEL, name))
                with open(os.path.join(making, _LIST), "w", encoding="utf-8") as file:
                    json.dump(_states(os.path.join(making, _MODEL)), file)
                if os.path.lexists(home):
                    os.rename(home, f"{making}.old")  # another process may be opening it: it is missing only briefly
                os.rename(making, home)
            finally:
                self._clear_up(os.path.basename(home))
        return os.path.join(home, _MODEL, name), True

    def remove_model(self, path: str) -> None:
        """Remove a model that `model` returned."""
        home = os.path.dirname(os.path.dirname(path))
        with self._locked(os.path.basename(home)):
            shutil.rmtree(home, ignore_errors=True)

    def _download(self, address: str, known: Stored | None, options: FetchOptions) -> Stored:
        partial = self._place("partial", _key(address))
        notes = f"{partial}.json"

        def note(received: Received) -> None:
            # Readable only for this user, and without the URL, which may contain a secret.
            write_file(notes, json.dumps(asdict(replace(received, url=""))).encode(), mode=0o600, follow_links=False)

        with open(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+b") as file:
            have = Received(known.url, known.etag) if known else Received()
            download = Download(address, file, options, _read_notes(notes), have, note)
            try:
                received = download.run()
                os.fsync(file.fileno())
            except NotModifiedError:
                _remove(partial, notes)
                os.utime(self._notes(address))
                return cast("Stored", known)  # not None: the request was conditional
            except (UnavailableError, KeyboardInterrupt):
                if not download.known.validator:
                    _remove(partial, notes)  # without a validator it cannot be resumed
                raise
            except BaseException:
                _remove(partial, notes)
                raise
        return self._keep(address, partial, download, received)

    def _keep(self, address: str, partial: str, download: Download, received: Received) -> Stored:
        blob = self._place("blobs", download.sha256)
        os.replace(partial, blob)
        _remove(f"{partial}.json")
        url, kind = shown(received.url), received.content_type
        stored = Stored(blob, url, received.etag, download.sha256, download.size, kind)
        write_file(self._notes(address), json.dumps(asdict(stored)).encode(), mode=0o600, follow_links=False)
        return stored

    def _read(self, address: str) -> Stored | None:
        try:
            notes = read_json(self._notes(address), _LARGEST_NOTES)
            stored = replace(Stored(**_checked(notes, Stored)), fresh=False)
            size = os.stat(stored.path).st_size
        except (OSError, ValueError, TypeError):
            return None  # a damaged record only causes another download
        whole = size == stored.size and stored.path == self._place("blobs", stored.sha256)
        return stored if whole else None

    def _notes(self, address: str) -> str:
        return self._place("addresses", f"{_key(address)}.json")

    def _home(self, key: str, name: str) -> str:
        return self._place("models", _key(f"{key}\n{name}"))

    def _place(self, folder: str, name: str) -> str:
        with _disk():
            return os.path.join(own_directory(_FOLDER, folder), name)

    @contextlib.contextmanager
    def _locked(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[bool]:
        with _disk(), locked(self._place("locks", key), waiting=waiting, long=True) as waited:
            self._clear_up(key)
            yield waited

    def _clear_up(self, key: str) -> None:
        """Remove files of a killed process; the lock is held, so no other process uses them."""
        for name in (key, f"{key}.old"):
            shutil.rmtree(self._place("making", name), ignore_errors=True)


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """Turn an error of the local disk into a `HubError`, the only error that callers expect."""
    try:
        yield
    except OSError as error:
        full = error.errno == errno.ENOSPC
        where = f": '{error.filename}'" if isinstance(error.filename, str) else ""
        what = "the disk is full" if full else f"cannot keep what is downloaded: {error.strerror or error}"
        raise HubError(f"{what}{where}; XDG_CACHE_HOME can name another place for it") from error


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _remove(*paths: str) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _read_notes(path: str) -> Received:
    try:
        return Received(**_checked(read_json(path, _LARGEST_NOTES), Received))
    except (OSError, ValueError, TypeError):
        return Received()


def _checked(values: Any, kind: type[Stored] | type[Received]) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the values of a record; raises `ValueError` or `TypeError` for one of the wrong type."""
    numbers = {"size", "total", "fresh"}
    if not isinstance(values, dict):
        raise TypeError(f"the note of a {kind.__name__} is damaged")
    for name, value in values.items():
        if not isinstance(value, int if name in numbers else str) and not (name == "total" and value is None):
            raise ValueError(f"the note of a {kind.__name__} is damaged")
    return dict(values)


def _is_intact(home: str) -> bool:
    try:
        return bool(read_json(os.path.join(home, _LIST), _LARGEST_LIST) == _states(os.path.join(home, _MODEL)))
    except (OSError, ValueError):
        return False


def _states(path: str) -> dict[str, list[int]]:
    """Return the state of each file and directory below `path`, which shows any change; of directories, the mode."""
    found = {}
    for folder, folders, files in os.walk(path):
        for entry in (*folders, *files):
            full = os.path.join(folder, entry)
            found[os.path.relpath(full, path)] = _state(full)
    return found


def _state(path: str) -> list[int]:
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        return [status.st_mode]
    return [status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
