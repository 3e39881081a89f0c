"""The report of a run, its records of repositories, and the interface of report formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from typing import Any

from hf_model_signing._util.results import Result, json_values
from hf_model_signing._util.text import show
from hf_model_signing.report.statuses import FileCoverage, Finding, Group, RunKind, Status

_MOST_SHOWN = 20  # records in the table of a notebook


@dataclass(frozen=True)
class FileRecord:
    """A file of a repository, and its size in bytes. Without a signature the state of every file is `unsigned`."""

    path: str
    size: int
    state: FileCoverage


@dataclass(frozen=True, repr=False)
class Record:
    """One repository as a run found it, or left it.

    `findings` are all problems that an audit found, and `reason` is a sentence about them, or about an error. `signer`,
    `method`, `signed_at` (UTC), `signed_revision` and `digest` are read from the signature. `verified` is True if a
    trusted signer made it, False if not, and None if the run had no trusted signers to compare with. `files` may be
    incomplete, with unsigned files first; `file_count` is the number of all files. `uncovered` are paths that the
    signature does not cover, possibly incomplete.
    """

    uri: str
    kind: str
    name: str
    status: Status
    url: str = ""
    revision: str = ""
    findings: tuple[Finding, ...] = ()
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
    def group(self) -> Group:
        """The severity of the status."""
        return self.status.group

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        values: dict[str, Any] = json_values({**asdict(self), "group": self.group})
        return values

    def __repr__(self) -> str:
        return f"Record({self.uri!r}, {str(self.status)!r})"


@dataclass(frozen=True)
class HeldRecords:
    """Records in memory, for a report that has no file."""

    records: tuple[Record, ...]

    def __call__(self) -> tuple[Record, ...]:
        """Return the records."""
        return self.records


@dataclass(frozen=True, repr=False, eq=False)
class Report(Result):
    """The results of a run over an organisation; `totals` counts records by status, and is 0 for a
    status that does not occur.

    Each call of `records` iterates over all records again, the worst first; they are read from disk, as there may be
    too many for memory. `made_at` is UTC. A copy by `pickle` holds them all. Reports are equal if all that they say is
    equal, which reads the records, and have no hash for that reason.
    """

    command: RunKind
    owner: str
    endpoint: str
    made_at: str
    version: str
    totals: Mapping[Status, int]
    records: Callable[[], Iterable[Record]]
    signer: str = ""
    policy: str = ""

    shown = ("command", "owner", "count")

    def __post_init__(self) -> None:
        object.__setattr__(self, "totals", Counter(self.totals))

    def head(self) -> dict[str, Any]:
        """Return the report without its records as JSON values."""
        values: dict[str, Any] = {
            "schema": "hf-sign-report/1",
            "command": self.command,
            "owner": self.owner,
            "endpoint": self.endpoint,
            "made_at": self.made_at,
            "version": self.version,
            "signer": self.signer,
            "policy": self.policy,
            "count": self.count,
            "totals": {status: self.totals[status] for status in Status if self.totals.get(status)},
            "groups": {group: self.in_group(group) for group in (Group.GOOD, Group.BAD, Group.NEUTRAL)},
        }
        plain: dict[str, Any] = json_values(values)
        return plain

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; all records, which `JsonFormat` writes one by one, are held at once."""
        return {**self.head(), "records": [record.to_dict() for record in self.records()]}

    def _summary(self) -> dict[str, Any]:
        return self.head()

    def _repr_html_(self) -> str:
        """Return the head and the worst records as tables; names and reasons come from untrusted sources."""
        import html  # late: only a notebook needs it

        names = ("name", "status", "signer", "reason")
        rows = [[str(getattr(record, name)) for name in names] for record in islice(self.records(), _MOST_SHOWN)]
        cells = ["".join(f"<td>{html.escape(show(text))}</td>" for text in row) for row in rows]
        title = f"the first {len(rows):,} of {self.count:,} repositories, the worst first"
        head = "".join(f"<th>{name}</th>" for name in names)
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"{super()._repr_html_()}<table><caption>{title}</caption><tr>{head}</tr>{body}</table>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Report):
            return NotImplemented
        same = self.head() == other.head()
        return same and all(mine == its for mine, its in zip_longest(self.records(), other.records()))

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the records themselves, in place of the file that they are read from."""
        return {**self.__dict__, "records": HeldRecords(tuple(self.records()))}

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 3 if another run may help a repository that failed, 1 if one was refused."""
        refused = self.totals[Status.REFUSED] or self.totals[Status.FORBIDDEN]
        refused = refused or (self.command != RunKind.PLAN and self.totals[Status.FOREIGN])
        return 3 if self.totals[Status.FAILED] else 1 if refused else 0

    @property
    def count(self) -> int:
        """The number of repositories."""
        return sum(self.totals.values())

    def in_group(self, group: Group) -> int:
        """The number of repositories whose status is in `group`."""
        return sum(number for status, number in self.totals.items() if status.group == group)

    def findings(self) -> Counter[Finding]:
        """Count the repositories by finding; reads all records."""
        return Counter(finding for record in self.records() for finding in record.findings)


class Format(ABC):
    """A report format."""

    @abstractmethod
    def render(self, report: Report) -> Iterator[str]:
        """Yield the text of the report, in pieces."""
