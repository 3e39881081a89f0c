"""Journals that earlier releases wrote; `assets` has one as SQL, with a repository in every state."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hf_model_signing.organisation import journal as journal_module
from hf_model_signing.organisation.database import Schema
from hf_model_signing.organisation.journal import Journal, State
from hf_model_signing.organisation.options import BatchOptions
from hf_model_signing.report.interface import FileRecord, Record
from hf_model_signing.report.statuses import FileCoverage, Status
from tests.helpers import ROOT

OWNER = "acme at https://huggingface.co"
SIGNER = "key P-256 " + "a" * 64
HEAD, AFTER = "a" * 40, "b" * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    sql = (ROOT / "tests/organisation/assets/journal_of_release_0.1.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as database:
        database.executescript(sql)
    return path


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(str(path), owner=OWNER)
    opened.settings = BatchOptions().settings(SIGNER)
    yield opened
    opened.close()


def add(journal: Journal, name: str, head: str = HEAD) -> None:
    journal.add(Record(f"hf://acme/{name}", "model", f"acme/{name}", Status.UNSIGNED), head)


def test_signed_repository_is_done(journal: Journal) -> None:
    add(journal, "signed", AFTER)
    (record,) = journal.records()
    assert (record.status, record.signer, record.verified) == (Status.UNCHANGED, SIGNER, True)
    assert record.files == (
        FileRecord("config.json", 2, FileCoverage.SIGNED),
        FileRecord("logs/a.txt", 1, FileCoverage.IGNORED),
        FileRecord("x.bin", 9, FileCoverage.UNSIGNED),
    )
    assert record.uncovered == ("logs/a.txt", "x.bin")


@pytest.mark.parametrize(("name", "status"), [("planned", Status.STALE), ("interrupted", Status.UNSIGNED)])
def test_planned_repository_stays_planned(journal: Journal, name: str, status: Status) -> None:
    add(journal, name)
    entry = journal.next_entry(State.PLANNED)
    assert entry is not None
    assert (entry.record.status, entry.head, entry.tries) == (status, HEAD, 0)


@pytest.mark.parametrize("name", ["listed", "judging", "archived"])
def test_other_repository_is_planned_again(journal: Journal, name: str) -> None:
    add(journal, name)
    assert journal.next_entry(State.PLANNED) is None
    assert journal.next_entry(State.LISTED) is not None


def test_column_added_by_a_later_release(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Journal(str(path), owner=OWNER)
    before.close()
    tables = dict(journal_module._SCHEMA.tables)
    tables["repositories"] = {**tables["repositories"], "worker": "TEXT NOT NULL DEFAULT ''"}
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "_SCHEMA", Schema(tables, journal_module._SCHEMA.indexes))
        later = Journal(str(path), owner=OWNER)
        add(later, "signed")
        row = later._row("hf://acme/signed")
        assert row is not None
        assert row["worker"] == ""
        later.detach()
        assert len(list(later.records())) == 1
    earlier = Journal(str(path), owner=OWNER)  # a release that does not know the column
    add(earlier, "new")
    assert [record.name for record in earlier.records()] == ["acme/new"]
    earlier.close()
