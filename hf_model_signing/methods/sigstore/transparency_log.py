"""The unverified transparency log entries of a bundle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from hf_model_signing.errors import BundleError
from hf_model_signing.methods.sigstore.limits import LATEST
from hf_model_signing.oms.dsse import decode_base64

# The id of the log of the public instance, which has a web page: the SHA-256 of its key.
_PUBLIC_LOG = "c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d"
_PUBLIC_PAGE = "https://search.sigstore.dev/?logIndex="

_NUMBER = re.compile(r"[0-9]{1,19}")
_ORIGIN = re.compile(r"(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9./_-]*)?)(?: - [0-9]+)?")
_TILE = 256  # entries in one file of a log of version 2


@dataclass(frozen=True)
class LogEntry:
    """An entry: its index, the id of the log in hex, the time of inclusion (UTC), its kind, and its URL."""

    index: str
    log_id: str
    time: datetime | None
    kind: str
    address: str


def log_entries(material: Mapping[str, Any]) -> list[LogEntry]:
    """Return the entries in the `verificationMaterial` of a bundle; missing or malformed fields are empty."""
    return [_entry(entry) for entry in material.get("tlogEntries", [])]


def _entry(entry: Mapping[str, Any]) -> LogEntry:
    index = _number(entry.get("logIndex"))
    kind = entry.get("kindVersion", {})
    named = f"{kind.get('kind', '')} {kind.get('version', '')}".strip()
    return LogEntry(index, _log_id(entry), logged_at(entry), named, _address(entry, index))


def logged_at(entry: Mapping[str, Any]) -> datetime | None:
    """Return the time of inclusion that the log states; a log of version 2 states none."""
    seconds = int(_number(entry.get("integratedTime")) or 0)
    return datetime.fromtimestamp(seconds, timezone.utc) if 0 < seconds < LATEST else None


def _log_id(entry: Mapping[str, Any]) -> str:
    try:
        return decode_base64(entry.get("logId", {}).get("keyId"), "the log id").hex()
    except BundleError:
        return ""


def _address(entry: Mapping[str, Any], index: str) -> str:
    if not index:
        return ""
    if _log_id(entry) == _PUBLIC_LOG:
        return f"{_PUBLIC_PAGE}{index}"
    note = entry.get("inclusionProof", {}).get("checkpoint", {}).get("envelope", "")
    origin = _ORIGIN.fullmatch(note.partition("\n")[0])
    if origin is None:
        return ""
    if entry.get("integratedTime", "0") != "0":
        return f"https://{origin['host']}/api/v1/log/entries?logIndex={index}"
    # https://c2sp.org/tlog-tiles: files of 256 entries, in directories by three digits of their number.
    return (
        f"https://{origin['host']}/tile/entries/{quote(_tile_path(int(index) // _TILE))} (entry {int(index) % _TILE})"
    )


def _tile_path(number: int) -> str:
    folders = [f"{number % 1000:03}"]
    while number := number // 1000:
        folders.insert(0, f"x{number % 1000:03}")
    return "/".join(folders)


def _number(value: object) -> str:
    return value if isinstance(value, str) and _NUMBER.fullmatch(value) else ""
