from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_model_signing.errors import UsageError
from hf_model_signing.report.formats import FORMATS
from hf_model_signing.report.interface import Record
from hf_model_signing.report.statuses import Status
from hf_model_signing.report.writing import check_report_file, write_report
from tests.helpers import names_below
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


def test_folder_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root, who may run the tests, can write everywhere
    with pytest.raises(UsageError, match="cannot be written to"):
        check_report_file(tmp_path / "r.html")


def test_error_half_way_keeps_old_report(tmp_path: Path) -> None:
    def broken() -> Iterator[Record]:
        yield record()
        raise OSError("the disk is gone")

    (tmp_path / "r.json").write_text("old")
    with pytest.raises(OSError, match="gone"):
        write_report(tmp_path / "r.json", report((), totals={Status.SIGNED: 2}, records=broken))
    assert (tmp_path / "r.json").read_text() == "old"
    assert names_below(tmp_path) == {"r.json"}
