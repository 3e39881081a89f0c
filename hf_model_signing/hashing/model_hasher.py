"""From a model on disk to its manifest; the only code that reads the bytes of a model.

Section 6.3 of the specification. What is hashed is held still by looking twice: at each file when it is opened, and at
the whole model once more when everything is hashed. A manifest is what the model was at that last moment.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hf_model_signing._util.paths import true_place
from hf_model_signing._util.text import show
from hf_model_signing.errors import ModelError
from hf_model_signing.hashing.file_tree import (
    FileState,
    Listed,
    Scope,
    describe_file,
    list_model,
    list_names,
    look_at,
    state_of,
)
from hf_model_signing.hashing.git_objects import POINTER_MAX, POINTER_START, looks_like_pointer
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot
from hf_model_signing.oms.hash_algorithms import HASHES
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.shards import content_of, shard_ranges, split_shard_name

if TYPE_CHECKING:
    from hf_model_signing.hashing.receipts import Receipts

_BUFFER = 1024 * 1024  # one for each thread; larger ones fall out of the processor's cache
_TINY = 16 * 1024  # bytes; below, threads cost more in waiting for each other than they gain
_PIECE = 64 * 1024 * 1024  # how much of a file in shards one thread takes at a time, in bytes
_MAX_SHARDS = 1_000_000  # more than a bundle can list
# A link or FIFO that took a file's place since it was listed must neither be followed nor waited for.
_OPEN = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


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
    listed = list_names(root, chosen, allow_symlinks=follow)
    work = _work_for(listed, serialization, allow_lfs_pointers, progress)
    digests = work.done(receipts)
    if list_model(root, chosen, allow_symlinks=follow) != work.states:
        raise ModelError(f"{show(root)} changed while it was hashed; wait until nothing writes to it and try again")
    if receipts:
        receipts.remember(work.states, digests, work.started)
    if serialization.shard_size is None:
        return Manifest.of(model_name(root), {name: parts[0] for name, parts in digests.items()}, serialization)
    sharded = {file.name: (file.size, digests[file.name]) for file in work.states}
    return Manifest.of_shards(model_name(root), sharded, serialization)


def hash_listed(
    files: Sequence[Listed], serialization: Serialization, *, receipts: Receipts | None = None
) -> dict[FileState, bytes]:
    """What tells the content of each listed file, as in `Manifest.digests`, by the state in which it was hashed.

    For files that others may join meanwhile. Raises `ModelError` as `hash_model` does.
    """
    work = _work_for(files, serialization, True, None)
    digests = work.done(receipts)
    if [look_at(file) for file in files] != work.states:
        raise ModelError("a file changed while it was hashed; wait until nothing writes to it and try again")
    if receipts:
        receipts.remember(work.states, digests, work.started)
    whole = serialization.shard_size is None
    return {file: digests[file.name][0] if whole else content_of(file.size, digests[file.name]) for file in work.states}


def hash_file(path: str | os.PathLike[str], serialization: Serialization | None = None) -> bytes:
    """What tells the content of one regular file, as in `Manifest.digests`: by default its raw SHA-256.

    Raises `ModelError` when it is something else or changes meanwhile.
    """
    how = serialization or Serialization()
    file = describe_file(path)
    digests = _digests_of(path, file, _work_for([Listed(file.name, file.path)], how, True, None))
    return digests[0] if how.shard_size is None else content_of(file.size, digests)


def hash_bytes(data: bytes, serialization: Serialization | None = None) -> bytes:
    """What tells the content of a file that is held in memory, as `hash_file` does of one on disk."""
    how = serialization or Serialization()
    digests = _parts(data, how)
    return digests[0] if how.shard_size is None else content_of(len(data), digests)


def with_bytes(manifest: Manifest, path: str, data: bytes) -> Manifest:
    """The manifest of the same model when a file that is held in memory takes the place of the one at `path`.

    There need not have been one.
    """
    how = manifest.serialization
    if how.shard_size is None:
        return Manifest.of(manifest.name, {**manifest.digests, path: hash_bytes(data, how)}, how)
    new = Manifest.of_shards(manifest.name, {path: (len(data), _parts(data, how))}, how)
    entries = [entry for entry in manifest.entries if split_shard_name(entry.name)[0] != path]
    empty = {*manifest.empty_files} - {path} | {*new.empty_files}
    return replace(new, entries=tuple(sorted([*entries, *new.entries])), empty_files=tuple(sorted(empty)))


def _parts(data: bytes, how: Serialization) -> list[bytes]:
    """The digest of the bytes, or for shards that of each."""
    new = HASHES[how.hash_type].new
    whole = how.shard_size is None
    ranges = [(0, len(data))] if whole else shard_ranges(len(data), how.shard_size or 0)
    return [new(data[start:end]).digest() for start, end in ranges]


def git_blob_id(path: str | os.PathLike[str]) -> str:
    """The id, in hex, that git gives to the file's content; raises as `hash_file` does."""
    file = describe_file(path)
    header = b"blob %d\0" % file.size

    def new(data: bytes = b"") -> Any:  # noqa: ANN401 - as hashlib's constructors
        return hashlib.sha1(header + bytes(data), usedforsecurity=False)

    return _digests_of(path, file, _Work([Listed(file.name, file.path)], new, None, True, None))[0].hex()


def _digests_of(path: str | os.PathLike[str], file: FileState, work: _Work) -> Sequence[bytes]:
    """The digests of the one file of `work`, which was `file` before; raises `ModelError` if it is not any more."""
    digests = work.done()[file.name]
    if work.states != [file] or describe_file(path) != file:
        raise ModelError(_changed(file.name))
    return digests


def _work_for(
    files: Sequence[Listed], serialization: Serialization, allow_lfs_pointers: bool, progress: Progress | None
) -> _Work:
    """The work of hashing listed files; raises `ModelError` for a serialization that there is not."""
    how, size = serialization, serialization.shard_size
    if how.hash_type not in HASHES:
        raise ModelError(f"the hash algorithm '{how.hash_type}' is not supported by this version")
    if how.method not in ("files", "shards") or (how.method == "shards") != bool(size and size > 0):
        raise ModelError(f"the serialization method '{how.method}' with shards of {size} bytes is not supported")
    return _Work(files, HASHES[how.hash_type].new, size, allow_lfs_pointers, progress)


def model_name(path: str) -> str:
    """The basename of the model (section 6.5); for a snapshot of the Hugging Face cache, the name of its repository."""
    place = true_place(path)
    snapshot = CachedSnapshot.at(place)
    if snapshot and os.path.basename(place) == snapshot.commit:
        return snapshot.repo_id.rsplit("/", 1)[-1]
    return os.path.basename(os.path.abspath(path)) or "model"


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
    """What the hashing threads share: the pieces they take from a queue, and the digests that they found.

    `states` has each file as it was when it was opened.
    """

    files: Sequence[Listed]
    new_hash: Callable[..., Any]
    shard_size: int | None
    allow_lfs_pointers: bool
    progress: Progress | None

    def __post_init__(self) -> None:
        self.states: list[FileState] = []
        self.started = 0
        self._queue: Iterator[_Piece] = iter(())
        self._found: list[tuple[str, int, list[bytes]]] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def done(self, receipts: Receipts | None = None) -> Mapping[str, Sequence[bytes]]:
        """Hash everything that `receipts` do not know, and return the digests by name."""
        if self.progress:
            self.progress.total(len(self.files), sum(map(_size_of, self.files)))
        digests: dict[str, Sequence[bytes]] = {}
        for file in self.files:
            found = self._open_first(file)
            if found is not None:
                digests[file.name] = found
        large = [file for file in self.states if file.name not in digests]
        if receipts:
            self.started = receipts.settle(large)
            digests.update(receipts.recall(large))
        digests.update(self._hash_large([file for file in large if file.name not in digests]))
        if len(digests) != len(self.files):
            raise ModelError("not every file was hashed")
        return digests

    def _open_first(self, listed: Listed) -> Sequence[bytes] | None:
        """Note the state of a file, and hash it if it is tiny; None for another one."""
        # All in one thread: for such files several would wait for each other more than for the disk.
        try:
            handle = os.open(listed.path, _OPEN)
            try:
                status = os.fstat(handle)
                file = FileState._make((*listed, *state_of(status)))
                self.states.append(file)
                if not stat.S_ISREG(status.st_mode):
                    raise ModelError(_changed(file.name))
                if file.size > _TINY or (self.shard_size is not None and file.size > self.shard_size):
                    return None
                if self.progress:
                    self.progress.begin(file.name, file.size)
                data = os.read(handle, file.size + 1)  # one more: some files have more than they say
            finally:
                os.close(handle)
        except OSError as error:
            raise ModelError(_unreadable(listed, error)) from error
        return self._hash_tiny(file, data)

    def _hash_tiny(self, file: FileState, data: bytes) -> Sequence[bytes]:
        if len(data) != file.size:
            raise ModelError(_changed(file.name))
        if not self.allow_lfs_pointers:
            _refuse_pointer(file, data)
        if self.progress:
            self.progress.advance(file.name, len(data))
            self.progress.end(file.name)
        return [self.new_hash(data).digest()] if data or self.shard_size is None else []

    def _hash_large(self, files: Sequence[FileState]) -> Mapping[str, Sequence[bytes]]:
        """The digests of files that are read piece by piece, in as many threads as there are processors."""
        if self.shard_size is not None:
            _check_count(files, self.shard_size)
        pieces = _pieces(files, self.shard_size)
        # Big pieces first, so that the last thread does not start one when the others are done.
        self._queue = iter(sorted(pieces, key=lambda piece: piece.end - piece.start, reverse=True))
        threads = [threading.Thread(target=self._run, daemon=True) for _ in range(min(_workers(), len(pieces)) - 1)]
        for thread in threads:
            thread.start()
        try:
            if pieces:
                self._run()
        except BaseException:
            self._stopped = True
            raise
        finally:
            for thread in threads:
                thread.join()
        if self._error:
            raise self._error
        if len(self._found) != len(pieces):
            raise ModelError("not every file was hashed")
        digests: dict[str, list[bytes]] = {}
        for name, _, parts in sorted(self._found):
            digests.setdefault(name, []).extend(parts)
        return digests

    def _run(self) -> None:
        buffer = memoryview(bytearray(_BUFFER))
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
            with FileIO(os.open(file.path, _OPEN), "rb") as source:
                if self.progress:
                    self.progress.begin(file.name, end - start)
                if not self.allow_lfs_pointers and file.size < POINTER_MAX:
                    _refuse_pointer(file, source.read(len(POINTER_START)) or b"")
                source.seek(start)
                ranges = shard_ranges(end - start, size)
                digests = [self._hash_next(source, file, last - first, buffer) for first, last in ranges]
                if end == file.size and source.read(1):
                    raise ModelError(_changed(file.name))
                # After reading: what is as it was when it was first opened was so all the time.
                if state_of(os.fstat(source.fileno())) != file[2:]:
                    raise ModelError(_changed(file.name))
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
                raise ModelError(_changed(file.name))
            digest.update(buffer[:count])
            left -= count
            if self.progress:
                self.progress.advance(file.name, count)
        result: bytes = digest.digest()
        return result


def _size_of(file: Listed) -> int:
    try:
        return os.stat(file.path).st_size
    except OSError:  # whoever opens it will say so
        return 0


def _unreadable(file: Listed | FileState, error: OSError) -> str:
    return f"cannot read {show(file.path)}: {error.strerror or error}"


def _changed(name: str) -> str:
    return f"{show(name)} changed while it was hashed; wait until nothing writes to it"


def _refuse_pointer(file: FileState, start: bytes) -> None:
    if looks_like_pointer(file.size, start):
        raise ModelError(
            f"{show(file.name)} is a Git LFS pointer, not the file itself: run `git lfs pull` first, "
            "or pass --allow-lfs-pointers to sign the pointer"
        )
