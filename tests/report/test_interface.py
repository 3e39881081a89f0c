"""The report as a value of the Python API: JSON values, a table for notebooks, comparison, and the exit code."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable

import pytest
import yaml

from hf_model_signing.report.interface import HeldRecords, Report
from hf_model_signing.report.statuses import Status
from tests.report.samples import hostile, one_of_each, record, report, usual


@pytest.mark.parametrize("make", [usual, one_of_each, hostile])
def test_values_are_those_of_json(make: Callable[[], Report]) -> None:
    made = make()
    values = made.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert yaml.safe_load(yaml.safe_dump(made.head())) == made.head()
    assert {type(each["status"]) for each in values["records"]} == {str}
    assert {type(name) for name in values["totals"]} == {str}


def test_copy_holds_the_records() -> None:
    made = dataclasses.replace(usual(), records=HeldRecords(tuple(usual().records())))
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert again.to_dict() == made.to_dict()
    assert pickle.loads(pickle.dumps(usual())) == usual()  # its records are a function that cannot be pickled


def test_reports_that_differ() -> None:
    one = report([record("acme/a")])
    assert one == report([record("acme/a")])
    assert one != report([record("acme/b")])
    assert one != report([record("acme/a"), record("acme/b")])
    assert one != "report"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_totals_are_zero_for_what_does_not_occur() -> None:
    totals = report([record()]).totals
    assert (totals["signed"], totals[Status.UNSIGNED], totals["unsigned"]) == (1, 0, 0)  # type: ignore[index]
    assert totals == {"signed": 1}


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ((), 0),
        (("signed", "unsigned", "invalid"), 0),
        (("signed", "refused"), 1),
        (("forbidden",), 1),
        (("refused", "failed"), 3),
    ],
)
def test_exit_code(statuses: tuple[str, ...], code: int) -> None:
    assert report([record(f"acme/{status}", status) for status in statuses]).exit_code == code


def test_table_shows_the_worst_records() -> None:
    text = usual()._repr_html_()
    assert "the first 20 of 300 repositories, the worst first" in text
    shown = [each.name for each in usual().records()]
    assert all(f"<td>{name}</td>" in text for name in shown[:20])
    assert f"<td>{shown[20]}</td>" not in text
    assert "It has no model.sig." in text


def test_table_escapes_what_comes_from_outside() -> None:
    text = hostile()._repr_html_()
    assert "<script>" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text


def test_record_is_short() -> None:
    assert repr(record("acme/model", "stale")) == "Record('hf://model/acme/model', 'stale')"
