"""What every report shows: the organisation as a whole, and a record of each repository."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from hf_model_signing.report.statuses import STATUSES


@dataclass(frozen=True)
class FileRecord:
    """A file of a repository: its path, its size in bytes, and whether it is `signed`, `unsigned`, `changed`, `missing`
    or `ignored` (left out by the signature). Where nothing is signed, every file is `unsigned`.
    """

    path: str
    size: int
    state: str


@dataclass(frozen=True)
class Record:
    """One repository as it was found, or as it was left.

    `status` is a word of `STATUSES`, and `findings` are all words that hold. `reason` is a sentence for what is not
    good. `signer`, `method`, `signed_at` (UTC), `signed_revision` and `digest` are what the signature says; `verified`
    tells whether it was checked against a signer who is trusted, and is None where nobody was asked to trust anybody.
    `files` may be only some of them, those that are not `signed` first; `file_count` is the number of all. `uncovered`
    are paths that the signature does not cover, as far as they are told.
    """

    uri: str
    kind: str
    name: str
    status: str
    url: str = ""
    revision: str = ""
    findings: tuple[str, ...] = ()
    reason: str = ""
    private: bool = False
    gated: bool = False
    signer: str = ""
    method: str = ""
    signed_at: str = ""
    signed_revision: str = ""
    digest: str = ""
    verified: bool | None = None
    commit: str = ""
    files: tuple[FileRecord, ...] = ()
    file_count: int = 0
    uncovered: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """`good`, `bad` or `neutral`."""
        return STATUSES[self.status].group


@dataclass(frozen=True)
class Report:
    """A run over an organisation: `command` is `audit`, `batch` or `plan`, and `totals` counts records by status.

    `records` gives the records, worst first, anew at each call; they are too many to hold at once. `made_at` is UTC.
    """

    command: str
    owner: str
    endpoint: str
    made_at: str
    version: str
    totals: Mapping[str, int]
    records: Callable[[], Iterable[Record]]
    signer: str = ""
    policy: str = ""

    @property
    def count(self) -> int:
        """The number of all repositories."""
        return sum(self.totals.values())

    def in_group(self, group: str) -> int:
        """The number of those that are `good`, `bad` or `neutral`."""
        return sum(number for word, number in self.totals.items() if STATUSES[word].group == group)


class Format(ABC):
    """One way to write a report down."""

    suffix: ClassVar[str]

    @abstractmethod
    def render(self, report: Report) -> Iterator[str]:
        """The text of the report, in pieces."""
