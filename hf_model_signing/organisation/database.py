"""The SQLite file of a journal: locking, schema, transactions, and the sentences for its errors."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hf_model_signing._util.own_cache import make_private
from hf_model_signing._util.regular_files import kind_of
from hf_model_signing.errors import HfSignError, UsageError

_FORMAT_VERSION = 1
_LONGEST = 16 * 1024 * 1024  # bytes of a value; the file may be a manipulated one
_APPLICATION_ID = 0x6866736A  # "hfsj"


@dataclass(frozen=True)
class Schema:
    """Tables, each with its columns and their SQL definitions, and the definitions of indexes by name."""

    tables: Mapping[str, Mapping[str, str]]
    indexes: Mapping[str, str]


class Database:
    """An open database, which no other process can open. Its methods may be called from any thread.

    Every method raises `HfSignError` if the file cannot be read or written.
    """

    def __init__(self, path: str, schema: Schema, *, about: Mapping[str, str]) -> None:
        """Open or create the database at `path`; an empty path is a temporary one. `about` is stored in a new one.

        Raises `RefusedError` while another process has it open, and `UsageError` if it is not a journal.
        """
        self.path, self._schema, self._lock = path, schema, threading.RLock()
        with _translated(path):
            if path:
                _check_is_file(path)
                make_private(os.path.dirname(os.path.abspath(path)))
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it names private repositories
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            if sys.version_info >= (3, 11):
                self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
            self._finalizer = weakref.finalize(self, self._connection.close)
            self._finalizer.atexit = False  # daemon threads may still use it then
            try:
                self._open(about)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file, so that another process can open it."""
        with self._lock:
            self._finalizer()

    def rows(self, query: str, *values: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - any type that SQLite accepts
        """Return the rows that `query` selects, each by column."""
        with self._translated():
            cursor = self._connection.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def write(self, statement: str, *values: Any) -> None:  # noqa: ANN401 - any type that SQLite accepts
        """Execute a statement that changes the database."""
        with self._translated():
            self._connection.execute(statement, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes in the block atomic; no other thread uses the database during it."""
        with self._translated():
            self._connection.execute("BEGIN")
            try:
                yield
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def temporary_copy(self, table: str, where: str, *values: Any) -> Database:  # noqa: ANN401 - as in `rows`
        """Return a temporary database with the rows of `table` that `where` selects."""
        columns = ", ".join(self._schema.tables[table])
        marks = ", ".join("?" for _ in self._schema.tables[table])
        copy = Database("", self._schema, about={})
        with self._translated(), copy.transaction():
            rows = self._connection.execute(f"SELECT {columns} FROM {table} WHERE {where}", values)  # noqa: S608 - names
            copy._connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608 - names
        return copy

    def _open(self, about: Mapping[str, str]) -> None:
        run = self._connection.execute
        run("PRAGMA trusted_schema = OFF")
        run("PRAGMA locking_mode = EXCLUSIVE")
        application, version = run("PRAGMA application_id").fetchone()[0], run("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in run("SELECT name FROM sqlite_master WHERE type <> 'index'")}
        new = not (tables or application or version)
        if new or application == _APPLICATION_ID:  # a database of another program is not changed
            run("PRAGMA journal_mode = WAL")
            run("PRAGMA synchronous = NORMAL")  # what a power failure loses can be read from the hub again
        run("BEGIN EXCLUSIVE")  # the lock stays until the file is closed, or the process ends
        if new:
            self._create(about)
        elif application != _APPLICATION_ID or (version == _FORMAT_VERSION and tables != set(self._schema.tables)):
            raise UsageError(f"'{self.path}' is no journal of hf-sign: name another file with --journal")
        elif version != _FORMAT_VERSION:
            raise UsageError(f"the journal '{self.path}' is of another version of hf-sign: name another file")
        self._add_columns()
        run("COMMIT")

    def _create(self, about: Mapping[str, str]) -> None:
        run = self._connection.execute
        for table, columns in self._schema.tables.items():
            run(f"CREATE TABLE {table} ({_listed(columns)})")
        for index, definition in self._schema.indexes.items():
            run(f"CREATE INDEX {index} ON {definition}")
        run(f"PRAGMA application_id = {_APPLICATION_ID}")
        run(f"PRAGMA user_version = {_FORMAT_VERSION}")
        self._connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())

    def _add_columns(self) -> None:
        """Add the columns that a release of hf-sign before this one did not have yet."""
        for table, columns in self._schema.tables.items():
            present = {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}
            for name, definition in columns.items():
                if name not in present:
                    self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        with self._lock, _translated(self.path):
            yield


def _check_is_file(path: str) -> None:
    """Raise `UsageError` for a path that leads to something else than a regular file."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise UsageError(f"the journal '{path}' is {kind_of(mode)}: name a file with --journal")


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {definition}" for name, definition in columns.items())


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise HfSignError(
                f"another batch is using the journal '{path}': wait until it ends, or name another one with --journal"
            ) from error
        if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
            raise UsageError(f"'{path}' is no journal of hf-sign: name another file with --journal") from error
        raise HfSignError(
            f"the journal '{path}' cannot be used ({error}); what was signed stands, and the same command goes on "
            "from there once that is mended"
        ) from error
    except OSError as error:
        raise HfSignError(f"the journal '{path}' cannot be made: {error.strerror}") from error
