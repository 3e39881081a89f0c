from __future__ import annotations

import json
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_model_signing.errors import UsageError
from hf_model_signing.report import destination
from hf_model_signing.report.formats import FORMATS
from hf_model_signing.report.interface import Record
from hf_model_signing.report.statuses import Status
from hf_model_signing.report.writing import check_report_file, write_report
from tests.helpers import names_below, run_python
from tests.report.samples import hostile, record, report


@pytest.mark.parametrize("suffix", FORMATS)
def test_write_hostile_report(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"report{suffix.upper()}"
    check_report_file(path)
    write_report(path, hostile())
    assert path.read_bytes().decode("utf-8")
    assert names_below(tmp_path) == {path.name}


@pytest.mark.parametrize("name", ["report", "report.pdf", ".html"])
def test_unknown_suffix_says_which_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"end the name in \.html, \.json, \.csv, \.sarif, \.txt"):
        check_report_file(tmp_path / name)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist: create it first"):
        check_report_file(tmp_path / "nowhere" / "r.html")


def test_path_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "r.html").mkdir()
    with pytest.raises(UsageError, match="would replace a folder"):
        check_report_file(tmp_path / "r.html")


def test_folder_cannot_be_written(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # root, who may run the tests, can write everywhere else
    try:
        with pytest.raises(UsageError, match=r"cannot be written to \(File too large\)"):
            check_report_file(tmp_path / "r.html")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_error_half_way_keeps_old_report(tmp_path: Path) -> None:
    def broken() -> Iterator[Record]:
        yield record()
        raise OSError("the disk is gone")

    (tmp_path / "r.json").write_text("old")
    with pytest.raises(OSError, match="gone"):
        write_report(tmp_path / "r.json", report((), totals={Status.SIGNED: 2}, records=broken))
    assert (tmp_path / "r.json").read_text() == "old"
    assert names_below(tmp_path) == {"r.json"}


def _read_in_thread(path: Path) -> tuple[threading.Thread, list[bytes]]:
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(path.read_bytes()))
    thread.start()
    return thread, found


@pytest.mark.parametrize("link", [False, True])
def test_fifo_gets_the_report_and_stays(tmp_path: Path, *, link: bool) -> None:
    path = tmp_path / "r.csv"
    os.mkfifo(tmp_path / "fifo.csv")
    path.symlink_to("fifo.csv") if link else os.rename(tmp_path / "fifo.csv", path)
    check_report_file(path)
    thread, found = _read_in_thread(path)
    write_report(path, hostile())
    thread.join(10)
    assert found[0].startswith(b"name,kind,status")
    assert path.is_fifo()
    assert path.is_symlink() == link


def test_fifo_that_no_process_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination, "_PATIENCE", 0.1)
    os.mkfifo(tmp_path / "r.csv")
    with pytest.raises(OSError, match="no process reads what is written there"):
        write_report(tmp_path / "r.csv", hostile())


def test_device_is_written_to_and_stays(tmp_path: Path) -> None:
    (tmp_path / "r.json").symlink_to("/dev/null")
    check_report_file(tmp_path / "r.json")
    write_report(tmp_path / "r.json", hostile())
    assert Path("/dev/null").is_char_device()
    assert os.readlink(tmp_path / "r.json") == "/dev/null"


def test_standard_output_through_a_link(tmp_path: Path) -> None:
    code = "import sys\nfrom tests.report.samples import *\nfrom hf_model_signing.report.writing import *\n"
    code += "check_report_file(sys.argv[1]); write_report(sys.argv[1], hostile())"
    (tmp_path / "r.json").symlink_to("/dev/stdout")
    done = run_python(code, tmp_path / "r.json")
    assert json.loads(done.stdout)["owner"] == "acme", done.stderr


@pytest.mark.parametrize("target", ["other.json", "nowhere.json", "first.json"])
def test_own_link_is_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "other.json").write_text("old")
    (tmp_path / "first.json").symlink_to("other.json")
    (tmp_path / "r.json").symlink_to(target)
    check_report_file(tmp_path / "r.json")
    write_report(tmp_path / "r.json", hostile())
    assert os.readlink(tmp_path / "r.json") == target
    assert json.loads((tmp_path / "r.json").read_text())["owner"] == "acme"


def test_link_that_leads_to_itself(tmp_path: Path) -> None:
    (tmp_path / "r.json").symlink_to("r.json")
    with pytest.raises(UsageError, match="is a link that leads to itself"):
        check_report_file(tmp_path / "r.json")


@pytest.mark.parametrize("kind", ["link", "second link", "FIFO"])
def test_what_another_user_has_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (tmp_path / "secret.json").write_text("old")
    if kind == "FIFO":
        os.mkfifo(tmp_path / "foreign.json")
    else:
        (tmp_path / "foreign.json").symlink_to("secret.json")
    path = tmp_path / "foreign.json"
    if kind == "second link":
        path = tmp_path / "r.json"
        path.symlink_to("foreign.json")
    own = destination._is_own
    foreign = os.lstat(tmp_path / "foreign.json")
    monkeypatch.setattr(destination, "_is_own", lambda status: not os.path.samestat(status, foreign) and own(status))
    for write in (check_report_file, lambda path: write_report(path, hostile())):
        with pytest.raises(UsageError, match="of another user: name a file"):
            write(path)
    assert (tmp_path / "secret.json").read_text() == "old"


def test_owners() -> None:
    status = os.stat("/")
    assert destination._is_own(status)
    assert destination._is_own(os.stat(__file__))
    assert not destination._is_own(os.stat_result((*status[:4], os.geteuid() + 1, *status[5:])))
