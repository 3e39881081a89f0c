"""What was downloaded before: files by their SHA-256, found by address and ETag, and the models made of them.

    blobs/<sha256>           a file as it came, whole
    addresses/<key>.json     what an address was when it was asked last: ETag, SHA-256, where it led to
    partial/<key>            a file on its way, with a .json that says how to go on
    models/<key>/model/<name>   a model, as programs open it; beside it a list of what belongs to it

Everything takes its place at once and under a lock, so that it is whole or not there.
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

from hub_adapters._util.atomic_files import remove_leftovers, write_file
from hub_adapters._util.file_lock import locked
from hub_adapters.errors import HubError, UnavailableError
from hub_adapters.http.download import Download, NotModifiedError, Received, too_large
from hub_adapters.http.urls import shown
from hub_adapters.interface import FetchOptions

_LIST = "files.json"  # the state of each file of the model when it was made
_LEFT = 60.0  # seconds after which the temporary file of a note, which takes milliseconds, is not in use
_MODEL = "model"  # the folder that it is in, so that no name of a model is that of the list


@dataclass(frozen=True)
class Stored:
    """A downloaded file: its place, the address it came from in the end, and how both are recognized.

    `url` has no secrets. `fresh` says that it came with this call.
    """

    path: str
    url: str
    etag: str
    sha256: str
    size: int
    content_type: str
    fresh: bool = True


class DownloadCache:
    """The folder `downloads` of the cache of this program; any number of processes may use it."""

    def __init__(self) -> None:
        # Where `hf_model_signing` remembers things, which this package does not import.
        named = os.environ.get("XDG_CACHE_HOME", "")
        cache = named if os.path.isabs(named) else os.path.join(os.path.expanduser("~"), ".cache")
        self.root = os.path.join(cache, "hf-sign", "downloads")

    def get(self, address: str, options: FetchOptions) -> Stored:
        """Download `address`, unless the server says that it is still what is here; raises `HubError`."""
        asked = time.time_ns()

        def waiting() -> None:
            options.note(f"another process is downloading '{shown(address)}'; waiting for it")

        with self._locked(_key(address), waiting) as waited:
            known = self._read(address)
            if known and waited and os.stat(self._notes(address)).st_mtime_ns >= asked:
                stored = known  # it came while this process waited
            else:
                stored = self._download(address, None if options.anew else known, options)
        if stored.size > options.limits.max_download:
            raise too_large(address, f"{stored.size:,} bytes", options)
        return stored

    def known(self, address: str) -> Stored | None:
        """What is here of `address`, without asking whether that is still so."""
        return self._read(address)

    def last_asked(self, address: str) -> int:
        """When the server last said what is at `address`, in nanoseconds; 0 when it is not known here."""
        try:
            return os.stat(self._notes(address)).st_mtime_ns
        except FileNotFoundError:
            return 0

    def forget(self, address: str) -> None:
        """Remove what came from `address`, because it is no good."""
        with self._locked(_key(address)):
            stored = self._read(address)
            _remove(self._notes(address), *([stored.path] if stored else []))

    def model(self, key: str, name: str, make: Callable[[str], None]) -> tuple[str, bool]:
        """The path of the model `name` that `make` writes to the path it is given, and whether it was made now.

        It is made anew when anything of it was changed since; `key` tells what it is made of.
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
                    os.rename(home, f"{making}.old")  # somebody may be opening it: it is away for a moment only
                os.rename(making, home)
            finally:
                self._clear_up(os.path.basename(home))
        return os.path.join(home, _MODEL, name), True

    def remove_model(self, path: str) -> None:
        """Remove a model that `model` made."""
        home = os.path.dirname(os.path.dirname(path))
        with self._locked(os.path.basename(home)):
            shutil.rmtree(home, ignore_errors=True)

    def _download(self, address: str, known: Stored | None, options: FetchOptions) -> Stored:
        partial = self._place("partial", _key(address))
        notes = f"{partial}.json"

        def note(received: Received) -> None:
            # Only for this user, and without the URL: it may hold a secret.
            write_file(notes, json.dumps(asdict(replace(received, url=""))).encode(), mode=0o600)

        with open(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+b") as file:
            have = Received(known.url, known.etag) if known else Received()
            download = Download(address, file, options, _read_notes(notes), have, note)
            try:
                received = download.run()
                os.fsync(file.fileno())
            except NotModifiedError:
                _remove(partial, notes)
                os.utime(self._notes(address))
                return cast("Stored", known)  # only who has something is told that it is still so
            except (UnavailableError, KeyboardInterrupt):
                if not download.known.validator:
                    _remove(partial, notes)  # nothing could go on from there
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
        write_file(self._notes(address), json.dumps(asdict(stored)).encode(), mode=0o600)
        return stored

    def _read(self, address: str) -> Stored | None:
        try:
            with open(self._notes(address), encoding="utf-8") as file:
                stored = replace(Stored(**_checked(json.load(file), Stored)), fresh=False)
            size = os.stat(stored.path).st_size
        except (OSError, ValueError, TypeError, RecursionError):
            return None  # then it is downloaded again
        whole = size == stored.size and stored.path == self._place("blobs", stored.sha256)
        return stored if whole else None

    def _notes(self, address: str) -> str:
        return self._place("addresses", f"{_key(address)}.json")

    def _home(self, key: str, name: str) -> str:
        return self._place("models", _key(f"{key}\n{name}"))

    def _place(self, folder: str, name: str) -> str:
        with _disk():
            for level in (os.path.dirname(self.root), self.root, os.path.join(self.root, folder)):
                os.makedirs(level, mode=0o700, exist_ok=True)
        return os.path.join(self.root, folder, name)

    @contextlib.contextmanager
    def _locked(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
        with _disk(), locked(self._place("locks", key), waiting=waiting) as waited:
            self._clear_up(key)
            yield waited

    def _clear_up(self, key: str) -> None:
        """Remove what a process that was killed has left of this; nobody else works on it now."""
        for name in (key, f"{key}.old"):
            shutil.rmtree(self._place("making", name), ignore_errors=True)
        for folder in ("addresses", "partial"):
            remove_leftovers(os.path.dirname(self._place(folder, key)), older_than=_LEFT)


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """What goes wrong on this disk, as the error of a hub, of which nothing else is expected."""
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
        with open(path, encoding="utf-8") as file:
            return Received(**_checked(json.load(file), Received))
    except (OSError, ValueError, TypeError, RecursionError):
        return Received()


def _checked(values: Any, kind: type[Stored] | type[Received]) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The values of a note; raises `ValueError` for one of another type than it was written with."""
    numbers = {"size", "total", "fresh"}
    if not isinstance(values, dict):
        raise TypeError(f"the note of a {kind.__name__} is damaged")
    for name, value in values.items():
        if not isinstance(value, int if name in numbers else str) and not (name == "total" and value is None):
            raise ValueError(f"the note of a {kind.__name__} is damaged")
    return dict(values)


def _is_intact(home: str) -> bool:
    try:
        with open(os.path.join(home, _LIST), encoding="utf-8") as file:
            return bool(json.load(file) == _states(os.path.join(home, _MODEL)))
    except (OSError, ValueError, RecursionError):
        return False


def _states(path: str) -> dict[str, list[int]]:
    """What tells that nobody has changed a file or a folder, or put one there; of folders, that they are some."""
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
