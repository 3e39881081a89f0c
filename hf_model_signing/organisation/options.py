"""Options of batch and audit, and the interface through which a caller follows a run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from hf_model_signing._util.str_enum import StrEnum
from hf_model_signing.errors import UsageError
from hf_model_signing.hub.push import DEFAULT_MESSAGE
from hf_model_signing.hub.repository import DigestSource
from hf_model_signing.organisation.selection import Selection
from hf_model_signing.report.interface import Record, Report

DEFAULT_JOBS, MAX_JOBS = 8, 64  # threads


@dataclass(frozen=True)
class RunOptions:
    """The selected repositories, and the number of threads."""

    selection: Selection = field(default_factory=Selection)
    jobs: int = DEFAULT_JOBS


@dataclass(frozen=True)
class BatchOptions(RunOptions):
    """Options of a batch; `digest_source.remote`, `revision`, `create_pr` and `message` are as for a push.

    `journal` is the path of the journal; by default each organisation has one in the cache. A dry run ends with the
    plan. `executor` is the URL of a cluster that downloads and hashes: `dask://HOST:PORT`. Unless `keep_cache`, a
    repository that was not in the cache before is removed from it after hashing. `replace_others` permits to replace
    the signatures of other signers; without it the observer is asked.
    """

    digest_source: DigestSource = field(default_factory=DigestSource)
    revision: str | None = None
    create_pr: bool = False
    message: str = DEFAULT_MESSAGE
    journal: str | None = None
    dry_run: bool = False
    executor: str | None = None
    keep_cache: bool = False
    replace_others: bool = False

    def __post_init__(self) -> None:
        if self.executor and self.digest_source.remote:
            raise UsageError("--remote downloads nothing large, so there is nothing to do for an --executor")

    def settings(self, signer: str) -> str:
        """Return a digest of the options that the signature depends on; journals store it, so it must not change."""
        how = self.digest_source.how.serialization("")
        values = [signer, self.digest_source.remote, repr(how), self.revision, self.create_pr]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


class Phase(StrEnum):
    """A phase of a run, as progress bars show it."""

    PLANNING = "Planning"
    SIGNING = "Signing"
    AUDITING = "Looking"


class Observer:
    """Follows a run. Every method does nothing unless a subclass overrides it; threads of the run may call it."""

    def begin(self, phase: Phase, count: int) -> None:
        """Handle the start of a phase over `count` repositories."""

    def ended(self, record: Record) -> None:
        """Handle the end of the current phase for one repository."""

    def planned(self, plan: Report) -> None:
        """Handle the complete plan, before anything is signed."""

    def may_replace(self, plan: Report) -> bool:
        """Return True if the signatures of other signers in the plan may be replaced."""
        return False

    def note(self, message: str) -> None:
        """Handle a message for the user."""

    def stopped(self, report: Report, left: int) -> None:
        """Handle a run that stops early: its results so far, and the number of repositories left in the phase."""
