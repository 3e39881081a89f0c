"""The journal of a batch: what was found, done and left of each repository, on disk, so that it can be continued.

It is a SQLite database. One process uses it at a time; what it says is no more than where to go on: before anything is
signed the hub is asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from hf_model_signing.errors import HfSignError, RefusedError, UsageError
from hf_model_signing.report.interface import FileRecord, Record
from hf_model_signing.report.statuses import STATUSES

LISTED, PLANNED, DONE = "listed", "planned", "done"
_VERSION = 1
_APPLICATION = 0x6866736A  # "hfsj"
_RANKS = {word: rank for rank, word in enumerate(STATUSES)}
_NAMES = {"about", "repositories", "steps"}
_DONE_WELL = ("signed", "unchanged")

_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE repositories (
    uri TEXT PRIMARY KEY,
    run INTEGER NOT NULL,
    state TEXT NOT NULL,
    settings TEXT NOT NULL,
    head TEXT NOT NULL DEFAULT '',
    after TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    rank INTEGER NOT NULL DEFAULT 0,
    record TEXT NOT NULL
);
CREATE INDEX by_state ON repositories (run, state, not_before);
CREATE INDEX by_rank ON repositories (run, rank, uri);
CREATE TABLE steps (time TEXT NOT NULL, uri TEXT NOT NULL, step TEXT NOT NULL, detail TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Entry:
    """A repository whose turn it is: its record so far, its head as it was planned, and how often it was tried."""

    record: Record
    head: str
    tries: int


class Journal:
    """An open journal; its methods may be called from any thread.

    Every method raises `HfSignError` when the file cannot be read or written.
    """

    def __init__(self, path: str, *, owner: str) -> None:
        """Open the journal at `path`, or begin one for what `owner` names; an empty path is one for this run alone.

        Raises `RefusedError` while another process uses the journal, `UsageError` when it is none, or of something
        else.
        """
        self.path, self._lock = path, threading.RLock()
        self.stopped = ""  # why the run ended before it was through
        self.settings = ""  # stands for whatever makes a signature the one that is wanted
        with _errors(path):
            if path:
                os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it names what is private
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._open(owner)
            except (KeyError, ValueError, OverflowError, TypeError) as error:
                self._database.close()
                raise UsageError(_damaged(path)) from error
            except BaseException:
                self._database.close()
                raise

    def _open(self, owner: str) -> None:
        run = self._database.execute
        run("PRAGMA trusted_schema = OFF")
        run("PRAGMA locking_mode = EXCLUSIVE")
        application, version = run("PRAGMA application_id").fetchone()[0], run("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in run("SELECT name FROM sqlite_master WHERE type <> 'index'")}
        new = not (tables or application or version)
        if new or application == _APPLICATION:  # and no other program's database is changed
            run("PRAGMA journal_mode = WAL")
            run("PRAGMA synchronous = NORMAL")  # what a power cut takes, the hub still knows
        run("BEGIN EXCLUSIVE")  # from here on the file is ours until it is closed, or this process ends
        if new:
            for statement in _TABLES.strip().split(";\n"):
                run(statement)
            run(f"PRAGMA application_id = {_APPLICATION}")
            run(f"PRAGMA user_version = {_VERSION}")
            run("INSERT INTO about VALUES ('owner', ?), ('run', '0')", (owner,))
        elif application != _APPLICATION or (version == _VERSION and tables != _NAMES):
            raise UsageError(f"'{self.path}' is no journal of hf-sign: name another file with --journal")
        elif version != _VERSION:
            raise UsageError(f"the journal '{self.path}' is of another version of hf-sign: name another file")
        about = dict(run("SELECT name, value FROM about").fetchall())
        if about["owner"] != owner:
            raise UsageError(f"the journal '{self.path}' is of '{about['owner']}': name another file for '{owner}'")
        self._run = int(about["run"]) + 1
        run("UPDATE about SET value = ? WHERE name = 'run'", (str(self._run),))
        run("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    # What there is

    def add(self, record: Record, head: str, *, state: str = LISTED) -> None:
        """Take a repository into this run, where an earlier run left it if its head is still the same.

        What is signed already, as it is wanted, is done; what was planned stays planned.
        """
        with self._change():
            before = self._one(
                "SELECT state, settings, head, after, record, run FROM repositories WHERE uri = ?", record.uri
            )
            if before and before["run"] == self._run:
                return
            if before and before["settings"] == self.settings and head:
                old = _record(before["record"])
                if (old.uri, old.kind, old.name) != (record.uri, record.kind, record.name):
                    raise UsageError(_damaged(self.path))
                if state != DONE and before["state"] == DONE and before["after"] == head and old.status in _DONE_WELL:
                    state, record = DONE, replace(old, status="unchanged", private=record.private, gated=record.gated)
                elif state == LISTED and before["state"] in (PLANNED, _busy(PLANNED)) and before["head"] == head:
                    state, record = PLANNED, old
            values = (record.uri, self._run, state, self.settings, head, before["after"] if before else "")
            self._write(
                "INSERT INTO repositories (uri, run, state, settings, head, after, rank, record) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE SET run = excluded.run, "
                "state = excluded.state, settings = excluded.settings, head = excluded.head, tries = 0, "
                "not_before = 0, rank = excluded.rank, record = excluded.record",
                *values,
                _RANKS[record.status],
                _text(record),
            )

    def take(self, state: str) -> Entry | None:
        """The next repository in a state, which is busy from then on; None while there is none that may be tried."""
        with self._change():
            row = self._one(
                "SELECT uri, head, tries, record FROM repositories WHERE run = ? AND state = ? AND not_before <= ? "
                "ORDER BY not_before LIMIT 1",
                self._run,
                state,
                time.time(),
            )
            if row is None:
                return None
            self._write("UPDATE repositories SET state = ? WHERE uri = ?", _busy(state), row["uri"])
            return Entry(_record(row["record"]), row["head"], row["tries"])

    def step(self, uri: str, step: str, detail: str = "") -> None:
        """Record what is about to be done, or what was."""
        with self._change():
            self._note(uri, step, detail)

    def keep(self, record: Record, state: str, *, head: str = "", after: str = "") -> None:
        """Record where a repository stands: its `head`, and the commit `after` it was signed."""
        with self._change():
            self._write(
                "UPDATE repositories SET state = ?, head = ?, after = ?, rank = ?, record = ? WHERE uri = ?",
                state,
                head,
                after,
                _RANKS[record.status],
                _text(record),
                record.uri,
            )
            self._note(record.uri, record.status if state == DONE else state, record.reason)

    def postpone(self, record: Record, state: str, seconds: float) -> None:
        """Put a repository back, to be tried again in some time."""
        with self._change():
            self._write(
                "UPDATE repositories SET state = ?, tries = tries + 1, not_before = ?, record = ? WHERE uri = ?",
                state,
                time.time() + seconds,
                _text(record),
                record.uri,
            )
            self._note(record.uri, "postponed", record.reason)

    # What comes of it

    def left(self, state: str) -> int:
        """How many repositories of this run are in a state, or were taken from it and are busy."""
        with self._read():
            query = "SELECT count(*) AS number FROM repositories WHERE run = ? AND state IN (?, ?)"
            row = self._one(query, self._run, state, _busy(state))
            return int(row["number"]) if row else 0

    def totals(self) -> Mapping[str, int]:
        """The number of repositories of this run by status, the worst first."""
        with self._read():
            # What a run that stopped did not come to is not finished, whatever was planned.
            query = (
                "SELECT iif(? OR state = ?, rank, ?) AS shown, count(*) FROM repositories WHERE run = ? GROUP BY shown"
            )
            values = (not self.stopped, DONE, _RANKS["failed"], self._run)
            counts = dict(self._database.execute(query, values).fetchall())
        return {word: counts[rank] for word, rank in _RANKS.items() if rank in counts}

    def records(self) -> Iterator[Record]:
        """The records of this run, the worst first and then by name; read in pages, so that few are held at once."""
        rank, uri = -1, ""
        while True:
            with self._read():
                page = self._database.execute(
                    "SELECT rank, uri, record, state FROM repositories WHERE run = ? AND (rank, uri) > (?, ?) "
                    "ORDER BY rank, uri LIMIT 100",
                    (self._run, rank, uri),
                ).fetchall()
            for _, _, text, state in page:
                record = _record(text)
                if self.stopped and state != DONE:
                    record = replace(record, status="failed", reason=f"the run stopped before its end: {self.stopped}")
                yield record
            if not page:
                return
            rank, uri = page[-1][0], page[-1][1]

    def _one(self, query: str, *values: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - what SQLite takes
        cursor = self._database.execute(query, values)
        row = cursor.fetchone()
        return None if row is None else dict(zip([column[0] for column in cursor.description], row, strict=True))

    def _write(self, query: str, *values: Any) -> None:  # noqa: ANN401 - what SQLite takes
        self._database.execute(query, values)

    def _note(self, uri: str, step: str, detail: str) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self._write("INSERT INTO steps VALUES (?, ?, ?, ?)", now, uri, step, detail)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction: all of it, or nothing."""
        with self._read():
            self._database.execute("BEGIN")
            try:
                yield
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    @contextlib.contextmanager
    def _read(self) -> Iterator[None]:
        with self._lock, _errors(self.path):
            yield


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise RefusedError(
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


def _busy(state: str) -> str:
    """The state of a repository that was taken from `state`, and is there again when the process ends."""
    return f"{state}, busy"


def _text(record: Record) -> str:
    return json.dumps(asdict(record), separators=(",", ":"))


def _record(text: str) -> Record:
    try:
        return _made(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(_damaged("")) from error


def _damaged(path: str) -> str:
    name = f"'{path}' " if path else ""
    return f"the journal {name}is damaged: remove it, or name another one; what is signed is found out from the hub"


def _made(values: dict[str, Any]) -> Record:
    _ = STATUSES[values["status"]]
    files = tuple(FileRecord(**file) for file in values.pop("files"))
    findings, uncovered = tuple(values.pop("findings")), tuple(values.pop("uncovered"))
    return Record(files=files, findings=findings, uncovered=uncovered, **values)
