"""Properties of all formats, and of those that are not pages."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from hf_model_signing._util.text import one_line
from hf_model_signing.report import sarif
from hf_model_signing.report.csv_format import CsvFormat
from hf_model_signing.report.formats import FORMATS
from hf_model_signing.report.interface import FileRecord, Format, Record
from hf_model_signing.report.json_format import JsonFormat
from hf_model_signing.report.sarif import SarifFormat
from hf_model_signing.report.statuses import FileCoverage, Finding, Group, RunKind, Status
from hf_model_signing.report.text import TextFormat
from tests.needs import NODE_FOLDER
from tests.report.samples import HOSTILE, hostile, many, record, report, usual

_SARIF_SCHEMA = NODE_FOLDER / "node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"


def _text(form: Format, *records: Record) -> str:
    return "".join(form.render(report(records)))


def _sarif(*records: Record) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(_text(SarifFormat(), *records))["runs"][0]
    return run


@pytest.mark.parametrize("suffix", FORMATS)
def test_memory_does_not_grow(suffix: str) -> None:
    peaks = []
    for count in (500, 3000):
        pieces = FORMATS[suffix]().render(many(count, files=1))
        next(pieces)  # modules that are imported once
        tracemalloc.start()
        longest = max(len(piece) for piece in pieces)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert longest < 1_000_000
    assert peaks[1] < peaks[0] + 1_000_000  # 2,500 records take more; garbage that is not yet collected takes less


@pytest.mark.parametrize("suffix", FORMATS)
def test_records_are_taken_one_by_one(suffix: str) -> None:
    passes: list[int] = []

    def endless() -> Iterator[Record]:
        passes.append(0)
        yield record()
        if len(passes) > 3:
            pytest.fail("more than three passes over the records")

    assert "".join(FORMATS[suffix]().render(report((), totals={Status.SIGNED: 1}, records=endless)))


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_found_is_a_report(suffix: str) -> None:
    assert "".join(FORMATS[suffix]().render(report(())))


def test_json_round_trip() -> None:
    document = json.loads("".join(JsonFormat().render(hostile())))
    assert {one["name"] for one in document["records"]} == set(HOSTILE)
    assert list(document)[:2] == ["schema", "command"]
    assert list(document["records"][0])[:4] == ["uri", "kind", "name", "status"]


def test_json_counts() -> None:
    document = json.loads(_text(JsonFormat(), record("a"), record("b", "unsigned"), record("c", "empty")))
    assert (document["count"], document["totals"]) == (3, {"unsigned": 1, "signed": 1, "empty": 1})
    assert document["groups"] == {"good": 1, "bad": 1, "neutral": 1}


def test_csv_hostile_cells() -> None:
    rows = list(csv.DictReader(io.StringIO("".join(CsvFormat().render(hostile())), newline="")))
    assert len(rows) == len(HOSTILE)
    assert {row["name"].replace("'", "") for row in rows} == {one_line(text).replace("'", "") for text in HOSTILE}
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


_FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(1)",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff201",
    "\ufe661",
    "\u22121",
    "\u207a1",
)
_BEFORE = (
    "",
    " ",
    "\t",
    "\r\n",
    "\n",
    "x;",
    "x; ",
    'x;"',
    "x\t",
    "x,",
    "x, ",
    "x|",
    "x\n",
    "x\r",
    "x;'",
    '"',
    "\u3000",
    "x;;",
)


@pytest.mark.parametrize("before", _BEFORE, ids=ascii)
def test_csv_cell_that_starts_a_formula(before: str) -> None:
    names = [f"{before}{formula}" for formula in _FORMULAS]
    text = _text(CsvFormat(), *(record(name, signed_at=name, reason=f"a b{name}") for name in names))
    for delimiter in ",;\t|":
        split = [cell for line in text.splitlines() for cell in line.split(delimiter)]
        parsed = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
        for cell in (*split, *parsed):
            start = unicodedata.normalize("NFKC", cell.lstrip(' "')[:1]).replace("\u2212", "-")
            assert not start.startswith(("=", "+", "-", "@", "\t", "\r")), cell


def test_csv_cells_that_start_no_formula() -> None:
    names = ["acme/a-b", "a=b", "a; b", "x@y", "1-2;3", "a;b-c"]
    rows = csv.DictReader(io.StringIO(_text(CsvFormat(), *map(record, names)), newline=""))
    assert {row["name"] for row in rows} == set(names)


def test_csv_line_ends_and_values() -> None:
    lines = _text(
        CsvFormat(), record("a/b", "signed", verified=True, findings=(Finding.UNTRUSTED, Finding.STALE))
    ).split("\r\n")
    assert lines[1].startswith("a/b,model,signed,good,untrusted stale,,release@acme.example,sigstore,")
    assert (len(lines), lines[2]) == (3, "")
    assert ",true," in lines[1]


def test_text_stays_on_its_lines() -> None:
    text = "".join(TextFormat().render(hostile()))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert len(text.split("\n\n")[1].splitlines()) == hostile().count


def test_text_counts_first_and_aligned() -> None:
    lines = "".join(TextFormat().render(usual())).splitlines()
    assert lines[303] == "12 of 300 repositories are not signed."
    assert "   12  Not signed: It has no model.sig." in lines
    table = lines[2:302]
    assert len(table) == 300
    assert len({line.index("acme/") for line in table}) == 1


@pytest.mark.needs("node")
def test_sarif_fits_schema() -> None:
    schema = json.loads(_SARIF_SCHEMA.read_text(encoding="utf-8"))
    checker = jsonschema.Draft4Validator(schema, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)
    for made in (hostile(), usual(), report(())):
        checker.validate(json.loads("".join(SarifFormat().render(made))))


def test_sarif_paths_stay_below() -> None:
    for result in json.loads("".join(SarifFormat().render(hostile())))["runs"][0]["results"]:
        path = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert path.isascii()
        assert path.endswith("/model.sig")
        assert not {":", "..", ""} & set(path.split("/"))
        assert ":" not in path
        assert ".." not in unquote(path).split("/")


def test_sarif_result_for_each_bad_finding() -> None:
    run = _sarif(record("a/b", "untrusted", kind="dataset", findings=(Finding.UNTRUSTED, Finding.STALE)), record("c"))
    assert [result["ruleId"] for result in run["results"]] == ["untrusted", "stale"]
    places = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]}
    assert places == {"datasets/a/b/model.sig"}
    prints = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
    assert len(set(prints)) == 2
    assert all(run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])


def test_sarif_has_rule_for_each_bad_status() -> None:
    rules = {rule["id"] for rule in _sarif()["tool"]["driver"]["rules"]}
    assert rules == {status for status in Status if status.group == Group.BAD}


@pytest.mark.parametrize("status", [status for status in Status if status.group == Group.BAD])
def test_headline_has_words_for_each_bad_status(status: Status) -> None:
    assert _text(TextFormat(), record(status=status)).count("1 of 1 repository ") == 1


@pytest.mark.parametrize("kind", RunKind)
def test_title_has_words_for_each_kind_of_run(kind: RunKind) -> None:
    assert "".join(TextFormat().render(report((), command=kind))).startswith("acme: ")


def test_words_of_findings_are_statuses() -> None:
    assert [finding.status.rank for finding in Finding] == sorted(finding.status.rank for finding in Finding)


def test_sarif_message_has_no_links_nor_placeholders() -> None:
    run = _sarif(record("[link](1) {0}", "unsigned", reason="x"))
    assert run["results"][0]["message"]["text"] == "model \\[link\\](1) {{0}}: x"


def test_sarif_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MAX_RESULTS", 2)
    run = _sarif(*(record(f"a/{n}", "unsigned") for n in range(5)))
    assert (len(run["results"]), run["properties"]["resultsLeftOut"]) == (2, 3)
    told = run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    assert told.startswith("3 results are left out")


def test_file_record_in_json() -> None:
    files = (FileRecord("a.bin", 3, FileCoverage.SIGNED),)
    document = json.loads(_text(JsonFormat(), record("a", files=files, file_count=1)))
    assert document["records"][0]["files"] == [{"path": "a.bin", "size": 3, "state": "signed"}]


def test_signers_are_counted_where_there_are_several() -> None:
    from hf_model_signing.report.html import HtmlFormat

    one, other = "key P-256 " + "a" * 64, "key P-256 " + "b" * 64
    records = [record(f"r{number}", "signed", signer=one if number else other) for number in range(3)]
    text = _text(TextFormat(), *records)
    assert "Signatures: 2 by key P-256 aaaaaaaaaaaa…; 1 by key P-256 bbbbbbbbbbbb…." in text
    assert f"Signatures: 2 by {one}; 1 by {other}." in _text(HtmlFormat(), *records)
    assert "Signatures:" not in _text(TextFormat(), *records[1:])
