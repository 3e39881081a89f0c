"""From a model on disk to its manifest; the only code that reads the bytes of a model.

Section 6.3 of the specification. What is hashed is held still by looking twice: each file is checked against the
listing when it was read, and the whole model is listed again when everything is hashed.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hf_model_signing.errors import ModelError
from hf_model_signing.hashes import HASHES
from hf_model_signing.hub_cache import CachedSnapshot
from hf_model_signing.manifest import Manifest, Serialization, show
from hf_model_signing.paths import true_place
from hf_model_signing.shards import content_of, shard_ranges
from hf_model_signing.walking import FileState, Scope, describe_file, list_model, state_of

if TYPE_CHECKING:
    from hf_model_signing.receipts import Receipts

_BUFFER = 1024 * 1024  # one for each thread; larger ones fall out of the processor's cache
_TINY = 16 * 1024  # bytes; below, threads cost more in waiting for each other than they gain
_PIECE = 64 * 1024 * 1024  # how much of a file in shards one thread takes at a time, in bytes
_MAX_SHARDS = 1_000_000  # more than a bundle can list
# A link or FIFO that took a file's place since it was listed must neither be followed nor waited for.
_OPEN = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_POINTER_START = b"version https://git-lfs.github.com/spec/"
_POINTER_MAX = 1024  # bytes, and fewer than _TINY; Git LFS never writes a larger pointer file


class Progress(Protocol):
    """What wants to know how far hashing is; every method is called from the hashing threads, sizes are in bytes."""

    def total(self, files: int, size: int) -> None:
        """The work as a whole, once, before anything is read."""

    def begin(self, name: str, size: int) -> None:
        """A file, or a piece of one, is opened."""

    def advance(self, name: str, count: int) -> None:
        """`count` more bytes of it are hashed."""

    def end(self, name: str) -> None:
        """The file, or the piece, is hashed."""


def hash_model(
    path: str | os.PathLike[str],
    serialization: Serialization,
    *,
    scope: Scope | None = None,
    allow_lfs_pointers: bool = True,
    progress: Progress | None = None,
    receipts: Receipts | None = None,
) -> Manifest:
    """Hash the folder or the single file at `path` as `serialization` says, or take the digests that `receipts` know.

    Raises `ModelError` when something in it is not a regular file, has a name that the format cannot carry, changes
    meanwhile, or, unless `allow_lfs_pointers`, is a Git LFS pointer in place of a file. Following links, it warns with
    `ModelWarning` of those that the specification wants a warning for (section 6.1.1).
    """
    root = os.fspath(path)
    chosen = scope or Scope(ignored=frozenset(serialization.ignore_paths))
    follow = serialization.allow_symlinks
    files = list_model(root, chosen, allow_symlinks=follow)
    started = receipts.settle(files) if receipts else 0
    known = receipts.recall(files) if receipts else {}
    rest = [file for file in files if file.name not in known] if known else files
    digests = {
        **known,
        **hash_files(rest, serialization, allow_lfs_pointers=allow_lfs_pointers, progress=progress),
    }
    if list_model(root, chosen, allow_symlinks=follow, warn=False) != files:
        raise ModelError(f"{show(root)} changed while it was hashed; wait until nothing writes to it and try again")
    if receipts:
        receipts.remember(files, digests, started)
    if serialization.shard_size is None:
        return Manifest.of(model_name(root), {name: parts[0] for name, parts in digests.items()}, serialization)
    sizes = {file.name: file.size for file in files}
    sharded = {name: (sizes[name], parts) for name, parts in digests.items()}
    return Manifest.of_shards(model_name(root), sharded, serialization)


def hash_files(
    files: Sequence[FileState],
    serialization: Serialization,
    *,
    allow_lfs_pointers: bool = True,
    progress: Progress | None = None,
) -> Mapping[str, Sequence[bytes]]:
    """The raw digests of listed files by name: one each, or one for each shard; raises as `hash_model` does."""
    algorithm = HASHES.get(serialization.hash_type)
    if algorithm is None:
        raise ModelError(f"the hash algorithm '{serialization.hash_type}' is not supported by this version")
    if serialization.method not in ("files", "shards") or (serialization.method == "shards") != bool(
        serialization.shard_size and serialization.shard_size > 0
    ):
        raise ModelError(
            f"the serialization method '{serialization.method}' with shards of {serialization.shard_size} bytes "
            "is not supported"
        )
    if progress:
        progress.total(len(files), sum(file.size for file in files))
    return _Work(files, algorithm.new, serialization.shard_size, allow_lfs_pointers, progress).done()


def hash_file(path: str | os.PathLike[str], serialization: Serialization | None = None) -> bytes:
    """What tells the content of one regular file, as in `Manifest.digests`: by default its raw SHA-256.

    Raises `ModelError` when it is something else or changes meanwhile.
    """
    file = describe_file(path)
    how = serialization or Serialization()
    (digests,) = hash_files([file], how).values()
    return digests[0] if how.shard_size is None else content_of(file.size, digests)


def git_blob_id(path: str | os.PathLike[str]) -> str:
    """The id, in hex, that git gives to the file's content; raises as `hash_file` does."""
    file = describe_file(path)
    header = b"blob %d\0" % file.size

    def new(data: bytes = b"") -> Any:  # noqa: ANN401 - as hashlib's constructors
        return hashlib.sha1(header + bytes(data), usedforsecurity=False)

    return _Work([file], new, None, True, None).done()[file.name][0].hex()


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


class _Piece(NamedTuple):
    """What one thread hashes in one go: a file, or consecutive shards of it."""

    file: FileState
    start: int
    end: int


def _pieces(files: Iterable[FileState], shard_size: int | None) -> list[_Piece]:
    if shard_size is None:
        return [_Piece(file, 0, file.size) for file in files]
    size = max(shard_size, _PIECE // shard_size * shard_size)
    return [_Piece(file, *part) for file in files for part in shard_ranges(file.size, size)]


def _check_count(files: Iterable[FileState], shard_size: int) -> None:
    count = sum(-(-file.size // shard_size) for file in files)
    if count > _MAX_SHARDS:
        raise ModelError(f"shards of {shard_size:,} bytes would be {count:,}, too many to sign; choose larger ones")


def _workers() -> int:
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass
class _Work:
    """What the hashing threads share: the pieces they take from a queue, and the digests that they found."""

    files: Sequence[FileState]
    new_hash: Callable[..., Any]
    shard_size: int | None
    allow_lfs_pointers: bool
    progress: Progress | None

    def __post_init__(self) -> None:
        if self.shard_size is not None:
            _check_count(self.files, self.shard_size)
        tiny = min(_TINY, self.shard_size or _TINY)
        self._tiny = [file for file in self.files if file.size <= tiny]
        pieces = _pieces((file for file in self.files if file.size > tiny), self.shard_size)
        # Big pieces first, so that the last thread does not start one when the others are done.
        self._queue: Iterator[_Piece] = iter(sorted(pieces, key=lambda piece: piece.end - piece.start, reverse=True))
        self._pieces = len(pieces)
        self._found: list[tuple[str, int, list[bytes]]] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def done(self) -> Mapping[str, Sequence[bytes]]:
        """Hash everything, large files in as many threads as there are processors, and return the digests by name."""
        threads = [threading.Thread(target=self._run, daemon=True) for _ in range(min(_workers(), self._pieces) - 1)]
        for thread in threads:
            thread.start()
        try:
            # In one thread: with several they would wait for each other more than for the disk.
            digests = {file.name: self._hash_tiny(file) for file in self._tiny}
            self._run()
        except BaseException:
            self._stopped = True
            raise
        finally:
            for thread in threads:
                thread.join()
        if self._error:
            raise self._error
        for name, _, parts in sorted(self._found):
            digests.setdefault(name, []).extend(parts)
        if len(self._found) != self._pieces or len(digests) != len(self.files):
            raise ModelError("not every file was hashed")
        return digests

    def _hash_tiny(self, file: FileState) -> list[bytes]:
        """The digest of a file that is read at once: fewer calls than for a large one."""
        if self._stopped:
            return []
        try:
            handle = os.open(file.path, _OPEN)
            try:
                if self.progress:
                    self.progress.begin(file.name, file.size)
                data = os.read(handle, file.size) if file.size else b""
                if self.progress and data:
                    self.progress.advance(file.name, len(data))
                _check_unchanged(file, handle, len(data) == file.size)
            finally:
                os.close(handle)
        except OSError as error:
            raise ModelError(_unreadable(file, error)) from error
        if not self.allow_lfs_pointers:
            _refuse_pointer(file, data)
        if self.progress:
            self.progress.end(file.name)
        return [self.new_hash(data).digest()] if data or self.shard_size is None else []

    def _run(self) -> None:
        buffer = memoryview(bytearray(_BUFFER)) if self._pieces else memoryview(b"")
        while piece := self._next():
            try:
                self._found.append((piece.file.name, piece.start, self._hash(piece, buffer)))
            except BaseException as error:  # noqa: BLE001 - kept, and raised where the threads are joined
                self._error = self._error or error
                self._stopped = True

    def _next(self) -> _Piece | None:
        with self._lock:
            return None if self._stopped else next(self._queue, None)

    def _hash(self, piece: _Piece, buffer: memoryview) -> list[bytes]:
        file, start, end = piece
        size = self.shard_size or end
        try:
            with FileIO(file.path, "rb", opener=_open) as source:
                if self.progress:
                    self.progress.begin(file.name, end - start)
                if not self.allow_lfs_pointers and file.size < _POINTER_MAX:
                    _refuse_pointer(file, source.read(len(_POINTER_START)) or b"")
                source.seek(start)
                ranges = shard_ranges(end - start, size)
                digests = [self._hash_next(source, file, last - first, buffer) for first, last in ranges]
                _check_unchanged(file, source.fileno(), True)
        except OSError as error:
            raise ModelError(_unreadable(file, error)) from error
        if self.progress:
            self.progress.end(file.name)
        return digests

    def _hash_next(self, source: FileIO, file: FileState, left: int, buffer: memoryview) -> bytes:
        """The digest of the `left` bytes that come next in the file."""
        digest = self.new_hash()
        while left and not self._stopped:
            count = source.readinto(buffer[:left])
            if not count:
                raise ModelError(_changed(file))
            digest.update(buffer[:count])
            left -= count
            if self.progress:
                self.progress.advance(file.name, count)
        result: bytes = digest.digest()
        return result


def _open(path: str, _: int) -> int:
    return os.open(path, _OPEN)


def _check_unchanged(file: FileState, handle: int, whole: bool) -> None:
    # After reading: what is now as it was listed was so all the time.
    if not whole or state_of(os.fstat(handle)) != file[2:]:
        raise ModelError(_changed(file))


def _unreadable(file: FileState, error: OSError) -> str:
    return f"cannot read {show(file.path)}: {error.strerror or error}"


def _changed(file: FileState) -> str:
    return f"{show(file.name)} changed while it was hashed; wait until nothing writes to it"


def _refuse_pointer(file: FileState, start: bytes) -> None:
    if _looks_like_pointer(file.size, start):
        raise ModelError(
            f"{show(file.name)} is a Git LFS pointer, not the file itself: run `git lfs pull` first, "
            "or pass --allow-lfs-pointers to sign the pointer"
        )


def _looks_like_pointer(size: int, start: bytes) -> bool:
    return size < _POINTER_MAX and start.startswith(_POINTER_START)
