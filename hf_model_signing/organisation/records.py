"""Records of repositories, made from a listing of the hub and from a signature."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from hf_model_signing.oms.difference import Difference
from hf_model_signing.oms.names import EXEMPT_FILES, SIGNATURE_NAME, is_below
from hf_model_signing.oms.statement import Statement
from hf_model_signing.report.interface import FileRecord, Record
from hf_model_signing.report.statuses import FileCoverage, Status
from hub_adapters.interface import ListedRepository, Reference, RemoteFile

_MAX_FILES = 200  # of one repository, so that a page with thousands of repositories opens
_MAX_CHARACTERS = 100_000  # of their paths together
_ORDER = list(FileCoverage)
_UNCOVERED = (FileCoverage.UNSIGNED, FileCoverage.IGNORED)


def new_record(listed: ListedRepository, url: str, status: Status) -> Record:
    """Return the record of a repository of which only the listing of its owner is known."""
    reference = listed.reference
    return Record(
        reference.uri,
        reference.kind,
        reference.name,
        status,
        url=url,
        revision=listed.commit,
        reason=listed.refusal,
        private=listed.private,
        gated=listed.gated,
    )


def reference_of(record: Record, revision: str | None) -> Reference:
    """Return the reference of a recorded repository, at the branch `revision`."""
    return Reference("hf", record.kind, record.name, revision)


def with_files(
    record: Record,
    listing: Mapping[str, RemoteFile],
    statement: Statement | None = None,
    difference: Difference | None = None,
) -> Record:
    """Return the record with the files that the hub lists, and how the signature covers each of them."""
    states = _states(listing, statement, difference)
    sizes = {path: listing[path].size if path in listing else 0 for path in states}
    ordered = sorted(states, key=lambda path: (_ORDER.index(states[path]), path))
    files = tuple(FileRecord(path, sizes[path], states[path]) for path in _first(ordered))
    uncovered = (path for path in ordered if states[path] in _UNCOVERED and path not in EXEMPT_FILES)
    return replace(record, files=files, file_count=len(states), uncovered=tuple(_first(uncovered)) if statement else ())


def _first(paths: Iterable[str]) -> Iterator[str]:
    """Yield the first of the paths, as many as a record holds."""
    left = _MAX_CHARACTERS
    for path in islice(paths, _MAX_FILES):
        left -= len(path)
        if left < 0:
            return
        yield path


def with_statement(record: Record, statement: Statement, **signed_by: Any) -> Record:  # noqa: ANN401 - of Record
    """Return the record with the fields that the statement has; `signed_by` are the fields about the signer."""
    return replace(
        record,
        digest=f"sha256:{statement.manifest.root_digest}",
        signed_at=statement.signed_at,
        signed_revision=statement.revision,
        **signed_by,
    )


def _states(
    listing: Mapping[str, RemoteFile], statement: Statement | None, difference: Difference | None
) -> dict[str, FileCoverage]:
    signed = statement.manifest.digests if statement else {}
    ignored = EXEMPT_FILES.union(statement.manifest.serialization.ignore_paths if statement else ())
    changed = frozenset(difference.changed) if difference else frozenset()
    states = {path: FileCoverage.MISSING for path in signed if path not in listing}
    for path in listing:
        if path == SIGNATURE_NAME:
            continue
        if path in signed:
            states[path] = FileCoverage.CHANGED if path in changed else FileCoverage.SIGNED
        else:
            states[path] = FileCoverage.IGNORED if is_below(path, ignored) else FileCoverage.UNSIGNED
    return states
