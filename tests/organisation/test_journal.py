"""The journal of a batch, without a hub."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.organisation.journal import Journal, State
from hf_model_signing.organisation.records import with_files
from hf_model_signing.report.interface import FileRecord, Record
from hf_model_signing.report.statuses import FileCoverage, Finding, Status
from hub_adapters.interface import RemoteFile

HEAD, AFTER = "a" * 40, "b" * 40
Open = Callable[..., Journal]


def record(name: str = "m", status: str = "unsigned") -> Record:
    return Record(f"hf://acme/{name}", "model", f"acme/{name}", Status(status))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    journals: list[Journal] = []

    def open_journal(settings: str = "s", owner: str = "acme") -> Journal:
        if journals:
            journals[-1].close()
        journals.append(Journal(str(tmp_path / "journal"), owner=owner))
        journals[-1].settings = settings
        return journals[-1]

    yield open_journal
    journals[-1].close()


def fill(journal: Journal) -> None:
    for number in range(1000):
        journal.add(record("n" * 500 + str(number)), HEAD)


def signed(journal: Journal) -> None:
    journal.add(record(), HEAD)
    journal.next_entry(State.LISTED)
    journal.save(record(status="signed"), State.DONE, head=HEAD, after=AFTER)


@pytest.mark.parametrize(("head", "status"), [(AFTER, "unchanged"), (HEAD, "unsigned"), ("", "unsigned")])
def test_signed_repository_is_done_while_its_head_is_what_was_committed(opened: Open, head: str, status: str) -> None:
    signed(opened())
    journal = opened()
    journal.add(record(), head)
    assert journal.totals() == {status: 1}
    assert (journal.next_entry(State.LISTED) is None) == (status == "unchanged")


def test_signed_repository_is_checked_again_for_another_signer(opened: Open) -> None:
    signed(opened())
    journal = opened(settings="another")
    journal.add(record(), AFTER)
    assert journal.next_entry(State.LISTED) is not None


def test_one_that_was_not_judged_yet_is_not_planned(opened: Open) -> None:
    journal = opened()
    journal.add(record(), HEAD)
    journal.next_entry(State.LISTED)  # and the process ended in the middle
    journal = opened()
    journal.add(record(), HEAD)
    assert journal.next_entry(State.PLANNED) is None
    assert journal.next_entry(State.LISTED) is not None


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize(("head", "state"), [(HEAD, State.PLANNED), (AFTER, State.LISTED)])
def test_plan_is_kept_while_the_head_is_the_same(opened: Open, head: str, state: State, taken: bool) -> None:
    journal = opened()
    journal.add(record(), HEAD)
    journal.next_entry(State.LISTED)
    journal.save(record(status="stale"), State.PLANNED, head=HEAD)
    if taken:  # and the process ended in the middle
        journal.next_entry(State.PLANNED)
    journal = opened()
    journal.add(record(), head)
    entry = journal.next_entry(state)
    assert entry is not None
    assert entry.record.status == ("stale" if head == HEAD else "unsigned")


def test_what_is_not_listed_any_more_is_not_reported(opened: Open) -> None:
    signed(opened())
    journal = opened()
    journal.add(record("other"), HEAD)
    assert [found.name for found in journal.records()] == ["acme/other"]


def test_postponed_waits_and_counts(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened()
    now = 1000.0
    monkeypatch.setattr("hf_model_signing.organisation.journal.time.time", lambda: now)
    journal.add(record(), HEAD)
    journal.next_entry(State.LISTED)
    journal.postpone(record(), State.LISTED, 8.0)
    assert (journal.next_entry(State.LISTED), journal.remaining(State.LISTED)) == (None, 1)
    now = 1008.0
    entry = journal.next_entry(State.LISTED)
    assert entry is not None
    assert entry.tries == 1


def test_records_come_worst_first_and_page_by_page(opened: Open) -> None:
    journal = opened()
    for number in range(250):
        journal.add(record(f"m{number:03}", "empty" if number % 2 else "unsigned"), "", state=State.DONE)
    names = [found.name for found in journal.records()]
    assert len(names) == 250
    assert names == [f"acme/m{number:03}" for number in (*range(0, 250, 2), *range(1, 250, 2))]


def test_record_is_read_as_it_was_written(opened: Open) -> None:
    journal = opened()
    full = replace(
        record(),
        files=(FileRecord("ä\n", 3, FileCoverage.SIGNED),),
        findings=(Finding.STALE,),
        uncovered=("x",),
        verified=True,
    )
    journal.add(full, HEAD)
    assert list(journal.records()) == [full]


def test_each_repository_is_taken_once(opened: Open) -> None:
    journal = opened()
    for number in range(100):
        journal.add(record(f"m{number}"), HEAD)
    taken: list[str] = []

    def take() -> None:
        while entry := journal.next_entry(State.LISTED):
            taken.append(entry.record.uri)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 100


def test_second_one_over_the_same_file_is_refused(opened: Open, tmp_path: Path) -> None:
    opened()
    with pytest.raises(HfSignError, match="another batch is using the journal"):
        Journal(str(tmp_path / "journal"), owner="acme")


def test_version_to_come(opened: Open, tmp_path: Path) -> None:
    opened().close()
    with closing(sqlite3.connect(tmp_path / "journal")) as database:
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(UsageError, match="of another version"):
        opened()


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM about WHERE name = 'run'",
        "UPDATE about SET value = 'x' WHERE name = 'run'",
        "DELETE FROM about",
        "CREATE TABLE more (x)",
        "CREATE TRIGGER t AFTER UPDATE ON about BEGIN DELETE FROM steps; END",
        "DROP TABLE steps",
    ],
)
def test_damaged_journal(opened: Open, tmp_path: Path, change: str) -> None:
    opened().close()
    with closing(sqlite3.connect(tmp_path / "journal")) as database:
        database.execute(change)
        database.commit()
    with pytest.raises(UsageError, match="is damaged: remove it|is no journal"):
        opened()


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "x", "[]", '{"files": 3}', '{"status": "odd"}', '{"status": []}'),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param('{"files": [' + "[]," * 200_000 + "[]]}", id="much memory"),
    ],
)
def test_damaged_record(opened: Open, tmp_path: Path, text: str) -> None:
    signed(opened())
    opened().close()
    with closing(sqlite3.connect(tmp_path / "journal")) as database:
        database.execute("UPDATE repositories SET record = ?", (text,))
        database.commit()
    journal = opened()
    with pytest.raises(UsageError, match="is damaged"):
        journal.add(record(), AFTER)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="SQLite has no limits that Python can set")
def test_record_that_is_too_long(opened: Open, tmp_path: Path) -> None:
    signed(opened())
    opened().close()
    with closing(sqlite3.connect(tmp_path / "journal")) as database:
        database.execute("UPDATE repositories SET record = zeroblob(20000000)")
        database.commit()
    journal = opened()
    with pytest.raises(HfSignError, match="the journal .* cannot be used"):
        journal.add(record(), AFTER)


def test_record_of_long_paths() -> None:
    listing = {name: RemoteFile(name, 1, "") for name in (f"{number:03}" + "p" * 4_000 for number in range(200))}
    made = with_files(record(), listing)
    assert made.file_count == 200
    assert [file.path for file in made.files] == sorted(listing)[:24]


def test_foreign_database_without_tables_is_left_alone(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA application_id = 77")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is no journal"):
        Journal(str(path), owner="acme")
    assert path.read_bytes() == before
    opened()


def test_journal_is_private(opened: Open, tmp_path: Path) -> None:
    opened()
    assert (tmp_path / "journal").stat().st_mode & 0o077 == 0


def test_journal_that_is_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    with pytest.raises(UsageError, match="is a FIFO: name a file with --journal"):
        Journal(str(tmp_path / "f"), owner="acme")
    assert (tmp_path / "f").is_fifo()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HfSignError, match="cannot be made"):
        Journal(str(tmp_path / "file" / "journal"), owner="acme")


def test_full_disk_is_reported(opened: Open) -> None:
    journal = opened()
    journal._database._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(HfSignError, match="full.*the same command goes on") as caught:
        fill(journal)
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    before = sum(journal.totals().values())
    journal._database._connection.execute("PRAGMA max_page_count = 2000")
    journal.add(record("more"), HEAD)
    assert sum(journal.totals().values()) == before + 1
