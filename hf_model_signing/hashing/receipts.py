"""Receipts: digests of files that were hashed on this machine, keyed by the state of the file and never by its name.

Receipts are stored in the user's cache. One is valid for the inode with the size, modification time and change time
that it had when it was hashed. A program cannot set the change time, so every write invalidates the receipt. Writes to
memory that is mapped from the file show as well, because the file is written back before it is hashed; where that does
not help (see `file_systems.py`) there are no receipts. There are none for a file that others can write.
"""

# Why: docs/decisions/005-receipts.md

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_model_signing._util.own_cache import own_directory
from hf_model_signing.hashing.file_systems import LARGE, shows_writes
from hf_model_signing.hashing.file_tree import FileState
from hf_model_signing.hashing.shared_files import other_writer
from hf_model_signing.oms.hash_algorithms import HASHES
from hf_model_signing.oms.manifest import Serialization
from hf_model_signing.oms.shards import content_of

if TYPE_CHECKING:
    import sqlite3

SMALLEST = LARGE  # bytes; hashing a smaller file is faster than looking up its receipt

_TICK = 20_000_000  # nanoseconds; kernels record change times in steps of up to 10 ms
_COARSE_TICK = 2_000_000_000  # nanoseconds, for file systems with whole seconds (FAT: only even ones)
_MOST = 100_000  # receipts; the oldest are removed
_LONGEST = 64 * 1024 * 1024  # bytes of a value: the digests of two million shards
# In messages of SQLite that tell nothing about the content of the file.
_TROUBLE = ("locked", "full", "readonly", "unable to open", "disk I/O")
_TABLE = """
CREATE TABLE IF NOT EXISTS receipts (
    device TEXT, inode TEXT, size INTEGER, modified INTEGER, changed INTEGER,
    way TEXT, digests BLOB, made INTEGER,
    PRIMARY KEY (device, inode, way)
)
"""


@dataclass(frozen=True)
class Receipts:
    """The receipts for one serialization and one purpose; those for another purpose are not used.

    `signed` are the content digests of a verified signature by path (see `Manifest.digests`). A receipt is used only if
    it agrees with them; without `signed`, receipts are written but not used. `note` receives messages for the user.
    """

    serialization: Serialization
    signed: Mapping[str, bytes] | None = None
    note: Callable[[str], None] = lambda _: None
    purpose: str = ""

    def settle(self, files: Sequence[FileState]) -> int:
        """Wait until a change to the large files would show in their times; return the time then, in nanoseconds.

        A file that was written in the same clock step in which it is hashed could be written again without a new time.
        """
        now = time.time_ns()
        newest = max((file.changed for file in files if file.size >= SMALLEST), default=0)
        if 0 <= now - newest <= _TICK:
            time.sleep((_TICK - (now - newest) + 1) / 1e9)
            now = time.time_ns()
        return now

    def recall(self, files: Sequence[FileState]) -> dict[str, Sequence[bytes]]:
        """Return the digests, by name, of the files with a valid receipt."""
        if self.signed is None:
            return {}
        found = self._recall(files)
        large = sum(file.size >= SMALLEST for file in files)
        self.note(f"{len(found)} of {large} large files have not changed since this machine hashed them to sign them")
        return found

    def _recall(self, files: Sequence[FileState]) -> dict[str, Sequence[bytes]]:
        wanted = [file for file in files if file.size >= SMALLEST and file.name in (self.signed or {})]
        if not wanted:
            return {}
        import sqlite3  # late: most models are signed without a receipt

        try:
            with _open() as database:
                found = {file: self._find(database, file) for file in wanted}
        except (OSError, sqlite3.Error) as error:
            _log("warning", "cannot read the receipts, so every file is hashed: %s", error)
            return {}
        size = HASHES[self.serialization.hash_type].size
        split = {file: [joined[at : at + size] for at in range(0, len(joined), size)] for file, joined in found.items()}
        return {file.name: digests for file, digests in split.items() if digests and self._is_signed(file, digests)}

    def remember(self, files: Sequence[FileState], digests: Mapping[str, Sequence[bytes]], started: int) -> None:
        """Write receipts for files hashed since the time `started`, in nanoseconds; a failure is only logged."""
        rows = [
            (*_key(file), self._way, b"".join(digests[file.name]), time.time_ns())
            for file in files
            if file.size >= SMALLEST and not may_change_unseen(file, started)
        ]
        if not rows:
            return
        import sqlite3

        try:
            with _open() as database:
                database.executemany("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                database.execute(
                    "DELETE FROM receipts WHERE rowid NOT IN (SELECT rowid FROM receipts ORDER BY made DESC LIMIT ?)",
                    (_MOST,),
                )
        except (OSError, sqlite3.Error) as error:
            _log("info", "cannot write receipts, so these files will be hashed again: %s", error)

    @property
    def _way(self) -> str:
        how = self.serialization
        return f"{how.method}:{how.hash_type}:{how.shard_size}{self.purpose and ':'}{self.purpose}"

    def _is_signed(self, file: FileState, digests: Sequence[bytes]) -> bool:
        whole = self.serialization.shard_size is None
        return (self.signed or {})[file.name] == (digests[0] if whole else content_of(file.size, digests))

    def _find(self, database: sqlite3.Connection, file: FileState) -> bytes:
        row = database.execute(
            "SELECT digests FROM receipts WHERE device = ? AND inode = ? AND size = ? AND modified = ? AND changed = ? "
            "AND way = ?",
            (*_key(file), self._way),
        ).fetchone()
        return row[0] if row and isinstance(row[0], bytes) else b""


def _key(file: FileState) -> tuple[str, str, int, int, int]:
    # Device and inode as text: they can exceed the 63 bits of SQLite's integers.
    return str(file.device), str(file.inode), file.size, file.modified, file.changed


def changed_just_before(file: FileState, started: int) -> bool:
    """Return True if a file was written so shortly before it was read that the next write may leave its times.

    Of the reasons of `may_change_unseen` it is the one that passes. `started` is the time before the file was read, in
    nanoseconds.
    """
    tick = _TICK if file.changed % 1_000_000_000 else _COARSE_TICK
    return file.changed + tick > started


def may_change_unseen(file: FileState, started: int) -> bool:
    """Return True if the file could have been written after it was read without a change of its times.

    That is never ruled out for a file that others can write. `started` is the time before it was read, in nanoseconds.
    """
    if changed_just_before(file, started) or not shows_writes(file.path, file.size, file.device):
        return True
    try:
        return other_writer(file.path) is not None
    except OSError:
        return True


def _log(level: str, message: str, error: Exception) -> None:
    import logging  # late: every start of the program would load it

    getattr(logging.getLogger(__name__), level)(message, error)


@contextlib.contextmanager
def _open() -> Iterator[sqlite3.Connection]:
    import sqlite3

    folder = own_directory("receipts")
    other = other_writer(folder)
    if other is not None:
        raise PermissionError(str(other))  # anyone who can write here could forge receipts
    path = os.path.join(folder, "receipts.sqlite")
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
    database = sqlite3.connect(path, timeout=2)
    if sys.version_info >= (3, 11):
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    deadline = time.monotonic() + 5  # a manipulated database can make a query take forever
    database.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
    is_damaged = False
    try:
        with database:  # commits, or rolls back
            database.execute(_TABLE)
            yield database
    except sqlite3.DatabaseError as error:
        is_damaged = not any(words in str(error) for words in _TROUBLE)
        raise
    finally:
        database.close()
        if is_damaged:  # or not what this program makes: it would fail each time, so the next run begins a new one
            for end in ("", "-journal", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    os.unlink(path + end)
