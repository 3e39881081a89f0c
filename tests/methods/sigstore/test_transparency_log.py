"""Log entries in a bundle, and the URLs at which they can be looked up."""

from __future__ import annotations

from typing import Any

import pytest

from hf_model_signing.methods.sigstore.transparency_log import log_entries

PUBLIC = "wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0="


def _entry(origin: str = "rekor.acme.example - 42", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {
        "logIndex": "256042",
        "logId": {"keyId": "AAAA"},
        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": "1746234602",
        "inclusionProof": {"checkpoint": {"envelope": f"{origin}\n7\nAAAA\n\n"}},
        **changes,
    }


def _address(**changes: Any) -> str:  # noqa: ANN401 - JSON
    (found,) = log_entries({"tlogEntries": [_entry(**changes)]})
    return found.address


def test_address_of_the_public_log_is_its_page() -> None:
    assert _address(logId={"keyId": PUBLIC}) == "https://search.sigstore.dev/?logIndex=256042"


@pytest.mark.parametrize("origin", ["rekor.acme.example", "rekor.acme.example - 42"])
def test_address_in_another_log_of_version_1(origin: str) -> None:
    assert _address(origin=origin) == "https://rekor.acme.example/api/v1/log/entries?logIndex=256042"


@pytest.mark.parametrize(
    ("index", "place"),
    [
        ("0", "000 (entry 0)"),
        ("256042", "x001/000 (entry 42)"),
        ("255", "000 (entry 255)"),
        (str(1234067 * 256), "x001/x234/067 (entry 0)"),
    ],
)
def test_address_in_a_log_of_version_2(index: str, place: str) -> None:
    assert _address(logIndex=index, integratedTime="0") == f"https://rekor.acme.example/tile/entries/{place}"


@pytest.mark.parametrize("origin", ["", "javascript:alert(1)", "a b", "host/\x1b[31m", "x@y", "../.."])
def test_origin_that_is_not_a_url(origin: str) -> None:
    assert "\x1b" not in _address(origin=origin)
    assert _address(origin=origin) in ("", "https://../../api/v1/log/entries?logIndex=256042")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logIndex", "-1"),
        ("logIndex", "1e3"),
        ("logIndex", "9" * 30),
        ("integratedTime", "-5"),
        ("integratedTime", "9" * 18),
    ],
)
def test_malformed_numbers(field: str, value: str) -> None:
    (found,) = log_entries({"tlogEntries": [_entry(**{field: value})]})
    assert (found.index if field == "logIndex" else found.time) in ("", None)


def test_entry_of_nothing() -> None:
    (found,) = log_entries({"tlogEntries": [{}]})
    assert (found.index, found.log_id, found.time, found.kind, found.address) == ("", "", None, "", "")
