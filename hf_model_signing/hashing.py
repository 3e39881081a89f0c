"""From a model on disk to its manifest; the only code that reads the bytes of a model.

Sections 6.1 to 6.3 of the specification. What is hashed is held still by looking twice: each file is checked against
the listing when it is opened, and the whole model is listed again when everything is hashed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from io import FileIO
from typing import Any, NamedTuple, Protocol

from hf_model_signing.errors import ModelError
from hf_model_signing.hub_cache import CachedSnapshot
from hf_model_signing.manifest import HASHES, Manifest, PathError, Serialization, check_name, fits, show
from hf_model_signing.paths import true_place

_BUFFER = 1024 * 1024  # one for each thread; larger ones fall out of the processor's cache
_POINTER_START = b"version https://git-lfs.github.com/spec/"
_POINTER_MAX = 1024  # Git LFS never writes a larger pointer file
_SPECIAL = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device"}


class Progress(Protocol):
    """What wants to know how far hashing is; every method is called from the hashing threads, sizes are in bytes."""

    def total(self, files: int, size: int) -> None:
        """The work as a whole, once, before anything is read."""

    def begin(self, name: str, size: int) -> None:
        """A file is opened."""

    def advance(self, name: str, count: int) -> None:
        """`count` more bytes of it are hashed."""

    def end(self, name: str) -> None:
        """The file is hashed."""


@dataclass(frozen=True)
class Scope:
    """Which files of a folder are looked at.

    `ignored` are exact paths below the root, left out with all that is below them. `only` are patterns; without any,
    everything is taken. `names`, when given, are the only files that are looked at.
    """

    ignored: Set[str] = frozenset()
    only: tuple[str, ...] = ()
    names: Set[str] | None = None

    def takes(self, name: str) -> bool:
        """Whether the file `name` is in the scope, apart from `ignored`, which the walk heeds folder by folder."""
        return (self.names is None or name in self.names) and (not self.only or fits(name, self.only))


class FileState(NamedTuple):
    """A file as it was listed; two listings are equal only when nothing was touched in between."""

    name: str
    path: str
    size: int
    modified: int
    changed: int
    inode: int
    device: int


def hash_model(
    path: str | os.PathLike[str],
    serialization: Serialization,
    *,
    scope: Scope | None = None,
    allow_lfs_pointers: bool = True,
    progress: Progress | None = None,
) -> Manifest:
    """Hash the folder or the single file at `path` as `serialization` says.

    Raises `ModelError` when something in it is not a regular file, has a name that the format cannot carry, changes
    meanwhile, or, unless `allow_lfs_pointers`, is a Git LFS pointer in place of a file.
    """
    _check_supported(serialization)
    root = os.fspath(path)
    chosen = scope or Scope(ignored=frozenset(serialization.ignore_paths))
    files = _list_model(root, chosen)
    digests = _hash_files(files, HASHES[serialization.hash_type], progress, allow_lfs_pointers)
    if _list_model(root, chosen) != files:
        raise ModelError(f"{show(root)} changed while it was hashed; wait until nothing writes to it and try again")
    return Manifest.of(model_name(root), digests, serialization)


def hash_file(path: str | os.PathLike[str], hash_type: str = "sha256") -> bytes:
    """The raw digest of one regular file; raises `ModelError` when it is something else or changes meanwhile."""
    file = describe_file(path)
    return _hash_files([file], HASHES[hash_type], None, True)[file.name]


def describe_file(path: str | os.PathLike[str]) -> FileState:
    """One file as it lies there; raises `ModelError` unless it is a regular one, or a link that stands for one."""
    where = os.fspath(path)
    try:
        return _describe(os.path.basename(where), where, CachedSnapshot.at(true_place(where)))
    except OSError as error:
        raise ModelError(f"cannot read {show(where)}: {error.strerror or error}") from error


def git_blob_id(path: str | os.PathLike[str]) -> str:
    """The id, in hex, that git gives to the file's content; raises as `hash_file` does."""
    file = describe_file(path)
    header = b"blob %d\0" % file.size
    return _hash_files([file], lambda: hashlib.sha1(header, usedforsecurity=False), None, True)[file.name].hex()


def model_name(path: str) -> str:
    """The basename of the model (section 6.5); for a snapshot of the Hugging Face cache, the name of its repository."""
    place = true_place(path)
    snapshot = CachedSnapshot.at(place)
    if snapshot and os.path.basename(place) == snapshot.commit:
        return snapshot.repo_id.rsplit("/", 1)[-1]
    return os.path.basename(os.path.abspath(path)) or "model"


def is_lfs_pointer(path: str | os.PathLike[str]) -> bool:
    """Whether the file at `path` is a Git LFS pointer and not the file it points to."""
    with open(path, "rb") as file:
        return _looks_like_pointer(os.fstat(file.fileno()).st_size, file.read(len(_POINTER_START)))


def _check_supported(serialization: Serialization) -> None:
    if serialization.method != "files":
        raise ModelError(f"the serialization method '{serialization.method}' is not supported by this version")
    if serialization.hash_type not in HASHES:
        raise ModelError(f"the hash algorithm '{serialization.hash_type}' is not supported by this version")
    if serialization.allow_symlinks:
        raise ModelError("following symbolic links (allow_symlinks) is not supported by this version")


def _list_model(root: str, scope: Scope) -> list[FileState]:
    """List the model at `root`, by name. A single file is listed under its basename."""
    try:
        snapshot = CachedSnapshot.at(true_place(root))
        if os.path.isdir(root):
            return sorted(_walk(root, scope, snapshot), key=lambda file: file.name)
        return [_describe(_checked(os.path.basename(os.path.abspath(root)), root), root, snapshot)]
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else root
        raise ModelError(f"cannot read {show(where)}: {error.strerror or error}") from error


def _walk(root: str, scope: Scope, snapshot: CachedSnapshot | None) -> Iterator[FileState]:
    folders = [("", root)]
    while folders:
        prefix, folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if name in scope.ignored:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append((f"{name}/", entry.path))
                elif scope.takes(name):
                    yield _describe(_checked(name, entry.path), entry.path, snapshot)


def _checked(name: str, path: str) -> str:
    try:
        return check_name(name)
    except PathError as error:
        raise ModelError(f"a file cannot be part of a signed model: {error}; rename or ignore it") from error


def _describe(name: str, path: str, snapshot: CachedSnapshot | None) -> FileState:
    status = os.stat(path, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        target = snapshot.target(path) if snapshot else None
        if target is None:
            where = "a blob of this repository's cache" if snapshot else "a file of the model"
            raise ModelError(f"{show(path)} is a symbolic link and not {where}; replace it by the file itself")
        path = target
        status = os.stat(path, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        what = _SPECIAL.get(stat.S_IFMT(status.st_mode), "not a regular file")
        raise ModelError(f"{show(path)} is {what}; a model holds regular files only")
    return FileState(name, path, *_state(status))


def _state(status: os.stat_result) -> tuple[int, int, int, int, int]:
    # The change time as well: a program can set the modification time back.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


def _hash_files(
    files: list[FileState], new_hash: Callable[[], Any], progress: Progress | None, allow_lfs_pointers: bool
) -> dict[str, bytes]:
    if progress:
        progress.total(len(files), sum(file.size for file in files))
    # Big files first, so that the last thread does not start one when the others are done.
    queue = iter(sorted(files, key=lambda file: file.size, reverse=True))
    work = _Work(queue, new_hash, progress, allow_lfs_pointers)
    threads = [threading.Thread(target=work.run, daemon=True) for _ in range(min(_workers(), len(files)) - 1)]
    for thread in threads:
        thread.start()
    try:
        work.run()
    except BaseException:
        work.stop()
        raise
    finally:
        for thread in threads:
            thread.join()
    if work.error:
        raise work.error
    if len(work.digests) != len(files):
        raise ModelError("not every file was hashed")
    return work.digests


def _workers() -> int:
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class _Work:
    """What the hashing threads share: the queue they take from and the results they fill in."""

    def __init__(
        self,
        queue: Iterator[FileState],
        new_hash: Callable[[], Any],
        progress: Progress | None,
        allow_lfs_pointers: bool,
    ) -> None:
        self.digests: dict[str, bytes] = {}
        self.error: BaseException | None = None
        self._queue = queue
        self._lock = threading.Lock()
        self._stopped = False
        self._new_hash = new_hash
        self._progress = progress
        self._allow_lfs_pointers = allow_lfs_pointers

    def run(self) -> None:
        buffer = memoryview(bytearray(_BUFFER))
        while file := self._next():
            try:
                self.digests[file.name] = self._hash(file, buffer)
            except BaseException as error:  # noqa: BLE001 - kept, and raised where the threads are joined
                self.error = self.error or error
                self.stop()

    def stop(self) -> None:
        self._stopped = True

    def _next(self) -> FileState | None:
        with self._lock:
            return None if self._stopped else next(self._queue, None)

    def _hash(self, file: FileState, buffer: memoryview) -> bytes:
        try:
            with open(file.path, "rb", buffering=0, opener=_open_regular) as source:
                return self._hash_open(file, source, buffer)
        except OSError as error:
            raise ModelError(f"cannot read {show(file.path)}: {error.strerror or error}") from error

    def _hash_open(self, file: FileState, source: FileIO, buffer: memoryview) -> bytes:
        self._check_unchanged(file, source)
        digest = self._new_hash()
        if self._progress:
            self._progress.begin(file.name, file.size)
        count = source.readinto(buffer)
        if not self._allow_lfs_pointers and _looks_like_pointer(
            file.size, bytes(buffer[: min(count, len(_POINTER_START))])
        ):
            raise ModelError(
                f"{show(file.name)} is a Git LFS pointer, not the file itself: run `git lfs pull` first, "
                "or pass --allow-lfs-pointers to sign the pointer"
            )
        while count:
            digest.update(buffer[:count])
            if self._progress:
                self._progress.advance(file.name, count)
            if self._stopped:
                break
            count = source.readinto(buffer)
        self._check_unchanged(file, source)
        if self._progress:
            self._progress.end(file.name)
        result: bytes = digest.digest()
        return result

    def _check_unchanged(self, file: FileState, source: FileIO) -> None:
        status = os.fstat(source.fileno())
        if (file.name, file.path, *_state(status)) != file or not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{show(file.name)} changed while it was hashed; wait until nothing writes to it")


def _open_regular(path: str, flags: int) -> int:
    # A link or FIFO that took the file's place since it was listed must neither be followed nor waited for.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _looks_like_pointer(size: int, start: bytes) -> bool:
    return size < _POINTER_MAX and start.startswith(_POINTER_START)
