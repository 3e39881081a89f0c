"""From a model on disk to its manifest (section 6.3 of the specification).

This is the only code that reads the bytes of a model that is signed or verified; `hub_adapters.web` and
`hub_adapters.onnx` read what they download.

A model that changes while it is hashed is an error: the state of each file is recorded when it is opened, and compared
with the states of all files after everything is hashed. So the manifest describes the model at that last moment.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from hf_model_signing._util.hashing_opens import open_to_hash
from hf_model_signing._util.paths import true_place, utf8_name
from hf_model_signing._util.text import show
from hf_model_signing.errors import ModelError
from hf_model_signing.hashing.file_tree import (
    FileState,
    Listed,
    Scope,
    current_state,
    describe_file,
    list_model,
    list_names,
    state_of,
)
from hf_model_signing.hashing.git_objects import POINTER_MAX, POINTER_START, looks_like_pointer
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot
from hf_model_signing.oms.hash_algorithms import HASHES
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.shards import content_of, shard_ranges, split_shard_name

if TYPE_CHECKING:
    from hf_model_signing.hashing.receipts import Receipts

_BUFFER = 1024 * 1024  # bytes, for each thread; a larger one does not fit into the processor's cache
_TINY = 16 * 1024  # bytes; below, threads lose more time waiting for each other than they save
_PIECE = 64 * 1024 * 1024  # bytes of a file in shards that one thread hashes at a time
_MAX_SHARDS = 1_000_000  # more than a bundle can list
# The file may have been replaced since it was listed: a link must not be followed, and a FIFO must not block.
_OPEN = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


@runtime_checkable
class Progress(Protocol):
    """Observer of hashing. Its methods are called from the hashing threads; sizes are in bytes."""

    def total(self, files: int, size: int) -> None:
        """Receive the total work, once, before anything is read."""

    def begin(self, name: str, size: int) -> None:
        """Receive the start of a file, or of a piece of one."""

    def advance(self, name: str, count: int) -> None:
        """Receive `count` more hashed bytes of it."""

    def end(self, name: str) -> None:
        """Receive the end of the file, or of the piece."""


def hash_model(
    path: str | os.PathLike[str],
    serialization: Serialization,
    *,
    scope: Scope | None = None,
    allow_lfs_pointers: bool = True,
    progress: Progress | None = None,
    receipts: Receipts | None = None,
) -> Manifest:
    """Hash the directory or single file at `path` according to `serialization`, or use digests from `receipts`.

    `scope` defaults to everything but the ignored paths of `serialization`. Raises `ModelError` when a file is not a
    regular one, has a name that is not valid in a manifest, changes while it is hashed or, unless `allow_lfs_pointers`,
    is a Git LFS pointer. Issues a `ModelWarning` for followed links as section 6.1.1 demands.
    """
    root = os.fspath(path)
    chosen = scope or Scope(ignored=frozenset(serialization.ignore_paths))
    follow = serialization.allow_symlinks
    listed = list_names(root, chosen, allow_symlinks=follow)
    work = _work_for(listed, serialization, allow_lfs_pointers, progress)
    digests = work.run(receipts)
    if list_model(root, chosen, allow_symlinks=follow) != work.states:
        raise ModelError(f"{show(root)} changed while it was hashed; wait until nothing writes to it and try again")
    if receipts:
        receipts.remember(work.states, digests, work.started)
    if serialization.shard_size is None:
        return Manifest.of(model_name(root), {name: found[0] for name, found in digests.items()}, serialization)
    sharded = {file.name: (file.size, digests[file.name]) for file in work.states}
    return Manifest.of_shards(model_name(root), sharded, serialization)


def hash_listed(
    files: Sequence[Listed], serialization: Serialization, *, receipts: Receipts | None = None
) -> dict[FileState, bytes]:
    """Return the content digest of each listed file (see `Manifest.digests`), by the state in which it was hashed.

    Unlike `hash_model` it allows other files to appear in the directory. Raises `ModelError` as `hash_model` does.
    """
    work = _work_for(files, serialization, True, None)
    digests = work.run(receipts)
    if [current_state(file) for file in files] != work.states:
        raise ModelError("a file changed while it was hashed; wait until nothing writes to it and try again")
    if receipts:
        receipts.remember(work.states, digests, work.started)
    whole = serialization.shard_size is None
    return {file: digests[file.name][0] if whole else content_of(file.size, digests[file.name]) for file in work.states}


def hash_file(path: str | os.PathLike[str], serialization: Serialization | None = None) -> bytes:
    """Return the content digest of one regular file (see `Manifest.digests`): by default its raw SHA-256.

    Raises `ModelError` when it is not a regular file or changes while it is hashed.
    """
    how = serialization or Serialization()
    file = describe_file(path)
    digests = _digests_of(path, file, _work_for([Listed(file.name, file.path)], how, True, None))
    return digests[0] if how.shard_size is None else content_of(file.size, digests)


def hash_bytes(data: bytes, serialization: Serialization | None = None) -> bytes:
    """Return the content digest of a file that is held in memory, as `hash_file` does for one on disk."""
    how = serialization or Serialization()
    digests = _digests_of_bytes(data, how)
    return digests[0] if how.shard_size is None else content_of(len(data), digests)


def with_bytes(manifest: Manifest, path: str, data: bytes) -> Manifest:
    """Return the manifest of the same model with the file at `path` replaced by `data`, or added."""
    how = manifest.serialization
    if how.shard_size is None:
        return Manifest.of(manifest.name, {**manifest.digests, path: hash_bytes(data, how)}, how)
    new = Manifest.of_shards(manifest.name, {path: (len(data), _digests_of_bytes(data, how))}, how)
    entries = [entry for entry in manifest.entries if split_shard_name(entry.name)[0] != path]
    empty = {*manifest.empty_files} - {path} | {*new.empty_files}
    return replace(new, entries=tuple(sorted([*entries, *new.entries])), empty_files=tuple(sorted(empty)))


def _digests_of_bytes(data: bytes, how: Serialization) -> list[bytes]:
    """Return the digest of the bytes or, for shards, the digest of each shard."""
    new = HASHES[how.hash_type].new
    whole = how.shard_size is None
    ranges = [(0, len(data))] if whole else shard_ranges(len(data), how.shard_size or 0)
    return [new(data[start:end]).digest() for start, end in ranges]


def git_blob_id(path: str | os.PathLike[str]) -> str:
    """Return the id of the git blob with the file's content, in hex; raises as `hash_file` does."""
    file = describe_file(path)
    header = b"blob %d\0" % file.size

    def new(data: bytes = b"") -> Any:  # noqa: ANN401 - as hashlib's constructors
        return hashlib.sha1(header + bytes(data), usedforsecurity=False)

    return _digests_of(path, file, _Work([Listed(file.name, file.path)], new, None, True, None))[0].hex()


def _digests_of(path: str | os.PathLike[str], file: FileState, work: _Work) -> Sequence[bytes]:
    """Return the digests of the only file of `work`; raises `ModelError` unless its state is still `file`."""
    digests = work.run()[file.name]
    if work.states != [file] or describe_file(path) != file:
        raise ModelError(_changed(file.name))
    return digests


def _work_for(
    files: Sequence[Listed], serialization: Serialization, allow_lfs_pointers: bool, progress: Progress | None
) -> _Work:
    """Prepare the hashing of listed files; raises `ModelError` for an unsupported serialization."""
    how, size = serialization, serialization.shard_size
    if how.hash_type not in HASHES:
        raise ModelError(f"the hash algorithm '{how.hash_type}' is not supported by this version")
    if how.method not in ("files", "shards") or (how.method == "shards") != bool(size and size > 0):
        raise ModelError(f"the serialization method '{how.method}' with shards of {size} bytes is not supported")
    return _Work(files, HASHES[how.hash_type].new, size, allow_lfs_pointers, progress)


def model_name(path: str) -> str:
    """Return the basename of the model (section 6.5) or, for a snapshot in the Hugging Face cache, of its repository.

    The basename of a snapshot is a commit, which means nothing to a reader of the signature.
    """
    real_path = true_place(path)
    snapshot = CachedSnapshot.at(real_path)
    if snapshot and os.path.basename(real_path) == snapshot.commit:
        return snapshot.repo_id.rsplit("/", 1)[-1]
    return utf8_name(os.path.basename(os.path.abspath(path))) or "model"


class _Piece(NamedTuple):
    """The unit of work of a thread: a file, or consecutive shards of one."""

    file: FileState
    start: int
    end: int


def _pieces(files: Iterable[FileState], shard_size: int | None) -> list[_Piece]:
    if shard_size is None:
        return [_Piece(file, 0, file.size) for file in files]
    size = max(shard_size, _PIECE // shard_size * shard_size)
    return [_Piece(file, *ends) for file in files for ends in shard_ranges(file.size, size)]


def _check_count(files: Iterable[FileState], shard_size: int) -> None:
    count = sum(-(-file.size // shard_size) for file in files)
    if count > _MAX_SHARDS:
        raise ModelError(f"shards of {shard_size:,} bytes would be {count:,}, too many to sign; choose larger ones")


def _workers() -> int:
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass
class _Work:
    """The state that the hashing threads share: a queue of pieces, and the digests of those that are done.

    `states` are the states of the files when they were first opened.
    """

    files: Sequence[Listed]
    new_hash: Callable[..., Any]
    shard_size: int | None
    allow_lfs_pointers: bool
    progress: Progress | None

    def __post_init__(self) -> None:
        self.states: list[FileState] = []
        self.started = 0
        self.is_lasting = False  # digests may be kept, so a later write must show in the times of the file
        self._queue: Iterator[_Piece] = iter(())
        self._found: list[tuple[str, int, list[bytes]]] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, receipts: Receipts | None = None) -> Mapping[str, Sequence[bytes]]:
        """Hash every file without a receipt, and return the digests of all files by name."""
        self.is_lasting = receipts is not None
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
            _write_back_large([state for state in large if state.name not in digests])
        digests.update(self._hash_large([file for file in large if file.name not in digests]))
        if len(digests) != len(self.files):
            raise ModelError("not every file was hashed")
        return digests

    def _open_first(self, listed: Listed) -> Sequence[bytes] | None:
        """Record the state of a file, and return its digest if it is tiny, otherwise None."""
        # In one thread: with tiny files, threads wait for each other more than for the disk.
        try:
            handle = open_to_hash(listed.path, _OPEN)
            try:
                status = os.fstat(handle)
                if self.is_lasting and stat.S_ISREG(status.st_mode) and _write_back_small(handle, status.st_size):
                    status = os.fstat(handle)
                file = FileState._make((*listed, *state_of(status)))
                self.states.append(file)
                if not stat.S_ISREG(status.st_mode):
                    raise ModelError(_changed(file.name))
                if file.size > _TINY or (self.shard_size is not None and file.size > self.shard_size):
                    return None
                if self.progress:
                    self.progress.begin(file.name, file.size)
                data = os.read(handle, file.size + 1)  # one more: the file may have grown
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
        """Return the digests of files that are not tiny, using one thread per processor."""
        if self.shard_size is not None:
            _check_count(files, self.shard_size)
        pieces = _pieces(files, self.shard_size)
        # Large pieces first: a large one that starts last would keep a single thread busy.
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
        for name, _, found in sorted(self._found):
            digests.setdefault(name, []).extend(found)
        return digests

    def _run(self) -> None:
        buffer = memoryview(bytearray(_BUFFER))
        while piece := self._next():
            try:
                self._found.append((piece.file.name, piece.start, self._hash(piece, buffer)))
            except BaseException as error:  # noqa: BLE001 - raised after the threads are joined
                self._error = self._error or error
                self._stopped = True

    def _next(self) -> _Piece | None:
        with self._lock:
            return None if self._stopped else next(self._queue, None)

    def _hash(self, piece: _Piece, buffer: memoryview) -> list[bytes]:
        file, start, end = piece
        size = self.shard_size or end
        try:
            with FileIO(open_to_hash(file.path, _OPEN), "rb") as source:
                if self.progress:
                    self.progress.begin(file.name, end - start)
                if not self.allow_lfs_pointers and file.size < POINTER_MAX:
                    _refuse_pointer(file, source.read(len(POINTER_START)) or b"")
                source.seek(start)
                ranges = shard_ranges(end - start, size)
                digests = [self._hash_next(source, file, last - first, buffer) for first, last in ranges]
                if end == file.size and source.read(1):
                    raise ModelError(_changed(file.name))
                # Checked after reading: if the state is the one at the first opening, nothing was written in between.
                if state_of(os.fstat(source.fileno())) != file[2:]:
                    raise ModelError(_changed(file.name))
        except OSError as error:
            raise ModelError(_unreadable(file, error)) from error
        if self.progress:
            self.progress.end(file.name)
        return digests

    def _hash_next(self, source: FileIO, file: FileState, left: int, buffer: memoryview) -> bytes:
        """Return the digest of the next `left` bytes of the file."""
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


# The module of file systems is imported late: a run that keeps no receipts does not need it.
def _write_back_small(handle: int, size: int) -> bool:
    from hf_model_signing.hashing.file_systems import LARGE, write_back

    if size >= LARGE:
        return False
    write_back(handle, size)
    return True


def _write_back_large(files: Iterable[FileState]) -> None:
    from hf_model_signing.hashing.file_systems import LARGE, write_back

    # After the clock has moved on from their last change: the next write sets another time.
    for file in files:
        if file.size < LARGE:
            continue
        try:
            with FileIO(open_to_hash(file.path, _OPEN), "rb") as source:
                write_back(source.fileno(), file.size)
        except OSError as error:
            raise ModelError(_unreadable(file, error)) from error


def _size_of(file: Listed) -> int:
    try:
        return os.stat(file.path).st_size
    except OSError:  # only for the progress bar; opening the file reports the error
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
