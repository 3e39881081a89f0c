"""The journal of a run: a row for each repository, on disk, so that a run that was stopped can be continued.

A journal only says where to continue: before anything is signed the hub is asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from hf_model_signing._util.json_memory import parse_json
from hf_model_signing._util.str_enum import StrEnum
from hf_model_signing.errors import UsageError
from hf_model_signing.organisation.database import Database, Schema
from hf_model_signing.report.interface import FileRecord, Record
from hf_model_signing.report.statuses import FileCoverage, Finding, Status

# To add a column: define it here with a default, then write it in `add`, `save` or `postpone` and read it in
# `next_entry` or `records`. A journal of an earlier release gets the column when it is opened. Frozen: the names, the
# types and the meaning of columns that exist, because earlier releases read them.
_SCHEMA = Schema(
    tables={
        "about": {"name": "TEXT PRIMARY KEY", "value": "TEXT NOT NULL"},
        "repositories": {
            "uri": "TEXT PRIMARY KEY",
            "run": "INTEGER NOT NULL",  # number of the last run that listed the repository
            "state": "TEXT NOT NULL",  # a `State`
            "settings": "TEXT NOT NULL",  # digest of the options that the signature depends on
            "head": "TEXT NOT NULL DEFAULT ''",  # commit that was listed or planned
            "after": "TEXT NOT NULL DEFAULT ''",  # commit with the signature
            "tries": "INTEGER NOT NULL DEFAULT 0",
            "not_before": "REAL NOT NULL DEFAULT 0",  # Unix time of the next attempt
            "rank": "INTEGER NOT NULL DEFAULT 0",  # of the status
            "record": "TEXT NOT NULL",  # the `Record` as JSON
        },
        "steps": {  # a log for people who look into the file; no code reads it
            "time": "TEXT NOT NULL",
            "uri": "TEXT NOT NULL",
            "step": "TEXT NOT NULL",
            "detail": "TEXT NOT NULL",
        },
    },
    indexes={
        "by_state": "repositories (run, state, not_before)",
        "by_rank": "repositories (run, rank, uri)",
    },
)
_DONE_WELL = (Status.SIGNED, Status.UNCHANGED)
_PAGE = 25  # records that are in memory at once
_MAX_MEMORY = 50_000_000  # bytes to parse a record, whose paths have a limit together


class State(StrEnum):
    """Progress of a repository in a run. It is busy from the start of a task until its result is saved."""

    LISTED = "listed"
    LISTED_BUSY = "listed, busy"
    PLANNED = "planned"
    PLANNED_BUSY = "planned, busy"
    DONE = "done"

    @property
    def busy(self) -> State:
        """The state of a repository of this state while a task works on it."""
        return State(f"{self.value}, busy")


@dataclass(frozen=True)
class Entry:
    """The row of one repository: its record so far, the commit that was listed or planned, and earlier attempts."""

    record: Record
    head: str
    tries: int


class Journal:
    """An open journal. Its methods may be called from any thread, and raise `HfSignError` as `Database` does.

    `settings` identifies the options that the signature depends on. `stopped` is the reason why the run ended early.
    """

    def __init__(self, path: str, *, owner: str) -> None:
        """Open the journal at `path`, or create one for `owner`; an empty path is a journal for this run alone.

        Raises `RefusedError` while another process uses it, and `UsageError` if it is damaged or of another owner.
        """
        self.path, self.settings, self.stopped = path, "", ""
        self._database = Database(path, _SCHEMA, about={"owner": owner, "run": "0"})
        try:
            self._run = self._begin(owner)
        except (KeyError, ValueError, OverflowError, TypeError) as error:
            self.close()
            raise UsageError(_damaged(path)) from error
        except BaseException:
            self.close()
            raise

    def _begin(self, owner: str) -> int:
        about = {row["name"]: row["value"] for row in self._database.rows("SELECT name, value FROM about")}
        if about["owner"] != owner:
            raise UsageError(f"the journal '{self.path}' is of '{about['owner']}': name another file for '{owner}'")
        run = int(about["run"]) + 1
        self._database.write("UPDATE about SET value = ? WHERE name = 'run'", str(run))
        return run

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    def detach(self) -> None:
        """Release the file for another run; the records of this run stay readable as long as this object exists."""
        if self.path:
            file, self._database = self._database, self._database.temporary_copy("repositories", "run = ?", self._run)
            file.close()

    def add(self, record: Record, head: str, *, state: State = State.LISTED) -> None:
        """Add a repository to this run, in the state in which an earlier run left it if its head is still the same.

        What is signed already with these settings is done; what was planned stays planned.
        """
        with self._database.transaction():
            before = self._row(record.uri)
            if before and before["run"] == self._run:
                return
            if before and before["settings"] == self.settings and head:
                state, record = self._continued(before, record, head, state)
            values = {
                "uri": record.uri,
                "run": self._run,
                "state": state,
                "settings": self.settings,
                "head": head,
                "tries": 0,
                "not_before": 0,
                "rank": record.status.rank,
                "record": _to_json(record),
            }
            changes = ", ".join(f"{name} = excluded.{name}" for name in values)
            self._database.write(
                f"INSERT INTO repositories ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "  # noqa: S608
                f"ON CONFLICT (uri) DO UPDATE SET {changes}",
                *values.values(),
            )

    def next_entry(self, state: State) -> Entry | None:
        """Return an entry in `state` that may be tried now, and mark it as busy; None if no entry is left."""
        with self._database.transaction():
            rows = self._database.rows(
                "SELECT uri, head, tries, record FROM repositories WHERE run = ? AND state = ? AND not_before <= ? "
                "ORDER BY not_before LIMIT 1",
                self._run,
                state.value,
                time.time(),
            )
            if not rows:
                return None
            (row,) = rows
            self._update(row["uri"], state=state.busy)
            return Entry(_from_json(row["record"]), row["head"], row["tries"])

    def step(self, uri: str, step: str, detail: str = "") -> None:
        """Log a step of the work on a repository."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self._database.write("INSERT INTO steps (time, uri, step, detail) VALUES (?, ?, ?, ?)", now, uri, step, detail)

    def save(self, record: Record, state: State, *, head: str = "", after: str = "") -> None:
        """Save the record of a repository with its state, its `head`, and the commit `after` it was signed."""
        with self._database.transaction():
            self._update(
                record.uri, state=state, head=head, after=after, rank=record.status.rank, record=_to_json(record)
            )
            self.step(record.uri, record.status if state == State.DONE else state, record.reason)

    def postpone(self, record: Record, state: State, seconds: float) -> None:
        """Return a repository to `state`, for another attempt in `seconds`."""
        with self._database.transaction():
            row = self._row(record.uri)
            tries = row["tries"] + 1 if row else 1
            self._update(
                record.uri, state=state, tries=tries, not_before=time.time() + seconds, record=_to_json(record)
            )
            self.step(record.uri, "postponed", record.reason)

    def remaining(self, state: State) -> int:
        """Count the repositories of this run that are in `state`, or busy since they were."""
        query = "SELECT count(*) AS number FROM repositories WHERE run = ? AND state IN (?, ?)"
        (row,) = self._database.rows(query, self._run, state.value, state.busy.value)
        return int(row["number"])

    def totals(self) -> Mapping[Status, int]:
        """Count the repositories of this run by status, the worst first."""
        # After a run that stopped, repositories that are not done have failed, even if a plan exists.
        query = "SELECT iif(? OR state = ?, rank, ?) AS rank, count(*) AS number FROM repositories WHERE run = ? "
        values = (not self.stopped, State.DONE.value, Status.FAILED.rank, self._run)
        counts = {row["rank"]: row["number"] for row in self._database.rows(query + "GROUP BY 1", *values)}
        return {status: counts[status.rank] for status in Status if status.rank in counts}

    def records(self) -> Iterator[Record]:
        """Yield the records of this run, the worst first and then by name, with few of them in memory."""
        rank, uri = -1, ""
        while True:
            page = self._database.rows(
                "SELECT rank, uri, record, state FROM repositories WHERE run = ? AND (rank, uri) > (?, ?) "
                "ORDER BY rank, uri LIMIT ?",
                self._run,
                rank,
                uri,
                _PAGE,
            )
            for row in page:
                record = _from_json(row["record"])
                if self.stopped and row["state"] != State.DONE:
                    reason = f"the run stopped before its end: {self.stopped}"
                    record = replace(record, status=Status.FAILED, reason=reason)
                yield record
            if not page:
                return
            rank, uri = page[-1]["rank"], page[-1]["uri"]

    def _continued(self, before: Mapping[str, Any], record: Record, head: str, state: State) -> tuple[State, Record]:
        """Return the state and the record with which this run continues the row of an earlier one."""
        old = _from_json(before["record"])
        if (old.uri, old.kind, old.name) != (record.uri, record.kind, record.name):
            raise UsageError(_damaged(self.path))
        signed = before["state"] == State.DONE and before["after"] == head and old.status in _DONE_WELL
        if state != State.DONE and signed:
            return State.DONE, replace(old, status=Status.UNCHANGED, private=record.private, gated=record.gated)
        planned = before["state"] in (State.PLANNED, State.PLANNED_BUSY) and before["head"] == head
        return (State.PLANNED, old) if state == State.LISTED and planned else (state, record)

    def _row(self, uri: str) -> Mapping[str, Any] | None:
        return next(iter(self._database.rows("SELECT * FROM repositories WHERE uri = ?", uri)), None)

    def _update(self, uri: str, **values: str | float) -> None:
        changes = ", ".join(f"{name} = ?" for name in values)
        self._database.write(f"UPDATE repositories SET {changes} WHERE uri = ?", *values.values(), uri)  # noqa: S608


def _to_json(record: Record) -> str:
    return json.dumps(asdict(record), separators=(",", ":"))


def _from_json(text: str) -> Record:
    try:
        values: dict[str, Any] = parse_json(text.encode("utf-8"), _MAX_MEMORY)
        status = Status(values.pop("status"))
        findings = tuple(Finding(word) for word in values.pop("findings"))
        files = tuple(FileRecord(**{**file, "state": FileCoverage(file["state"])}) for file in values.pop("files"))
        uncovered = tuple(values.pop("uncovered"))
        return Record(status=status, findings=findings, files=files, uncovered=uncovered, **values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(_damaged("")) from error


def _damaged(path: str) -> str:
    name = f"'{path}' " if path else ""
    return f"the journal {name}is damaged: remove it, or name another one; what is signed is found out from the hub"
