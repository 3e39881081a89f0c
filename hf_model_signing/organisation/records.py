"""From what a hub lists and a signature says to the record of a repository in a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hf_model_signing.oms.difference import Difference
from hf_model_signing.oms.names import SIGNATURE_NAME, is_below
from hf_model_signing.oms.statement import REVISION, SIGNED_AT, Statement
from hf_model_signing.report.interface import FileRecord, Record
from hub_adapters.interface import ListedRepository, Reference, RemoteFile

HARMLESS = frozenset({".gitattributes", ".gitignore", SIGNATURE_NAME})  # read by no loader
_SHOWN = 200  # files of one repository; a page of thousands of repositories has to open
_STATES = ("changed", "missing", "unsigned", "ignored", "signed")  # what matters first


def new_record(listed: ListedRepository, url: str, status: str) -> Record:
    """The record of a repository of which only the list is known."""
    reference = listed.reference
    return Record(
        reference.uri,
        reference.kind,
        reference.name,
        status,
        url=url,
        revision=listed.commit,
        private=listed.private,
        gated=listed.gated,
    )


def reference_of(record: Record, revision: str | None) -> Reference:
    """The repository that a record is of, at a branch."""
    return Reference("hf", record.kind, record.name, revision)


def with_files(
    record: Record,
    listing: Mapping[str, RemoteFile],
    statement: Statement | None = None,
    difference: Difference | None = None,
) -> Record:
    """The record with the files that the hub lists, as a signature covers them; without one none is."""
    states = _states(listing, statement, difference)
    sizes = {path: listing[path].size if path in listing else 0 for path in states}
    ordered = sorted(states, key=lambda path: (_STATES.index(states[path]), path))
    files = tuple(FileRecord(path, sizes[path], states[path]) for path in ordered[:_SHOWN])
    uncovered = tuple(path for path in ordered if states[path] in ("unsigned", "ignored") and path not in HARMLESS)
    return replace(record, files=files, file_count=len(states), uncovered=uncovered[:_SHOWN] if statement else ())


def with_statement(record: Record, statement: Statement, **signed_by: Any) -> Record:  # noqa: ANN401 - of Record
    """The record with what a signature says; `signed_by` are the fields of the record that tell whose it is."""
    return replace(
        record,
        digest=f"sha256:{statement.manifest.root_digest}",
        signed_at=statement.annotations.get(SIGNED_AT, ""),
        signed_revision=statement.annotations.get(REVISION, ""),
        **signed_by,
    )


def _states(
    listing: Mapping[str, RemoteFile], statement: Statement | None, difference: Difference | None
) -> dict[str, str]:
    signed = statement.manifest.digests if statement else {}
    ignored = statement.manifest.serialization.ignore_paths if statement else ()
    changed = frozenset(difference.changed) if difference else frozenset()
    states = {path: "missing" for path in signed if path not in listing}
    for path in listing:
        if path == SIGNATURE_NAME:
            continue
        if path in signed:
            states[path] = "changed" if path in changed else "signed"
        else:
            states[path] = "ignored" if is_below(path, (*ignored, *HARMLESS)) else "unsigned"
    return states
