"""Rollback protection: remember the newest statement of each branch that was verified on this machine.

It is stored apart from the hub's cache, because other programs move the branches there, and people delete it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from hf_model_signing._util.atomic_files import write_file
from hf_model_signing._util.file_lock import changing
from hf_model_signing._util.json_memory import read_json
from hf_model_signing._util.own_cache import own_cache, own_directory
from hf_model_signing._util.said_once import is_first
from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.oms.statement import Statement
from hf_model_signing.policy.unchanged_files import UnchangedFiles

_logger = logging.getLogger(__name__)

_FOLDER = "newest"  # in the cache of this program
_LARGEST = 4_000_000  # bytes of memory of a record
_MOST = 1_000  # root digests of one branch; a repository with a release a day has as many in three years


@dataclass(frozen=True)
class RollbackRecord:
    """The newest statement that was verified here, for one branch of a repository and one signer."""

    branch_key: str
    signer: str

    @classmethod
    def of(cls, branch_key: str, verified: Verified) -> RollbackRecord:
        """Return the record for the signer of a verified bundle."""
        return cls(branch_key, verified.accepted_by.describe())

    @staticmethod
    def check_all(branch_key: str, verifier: Verifier, verified: Verified, *, commit: str, how_to_go_back: str) -> None:
        """Refuse a statement older than one verified before from any signer that `verifier` accepts.

        The signer of `verified` is checked as well: before the first use `verifier` does not know it yet.
        """
        records = (
            *(RollbackRecord(branch_key, signer) for signer in verifier.signers()),
            RollbackRecord.of(branch_key, verified),
        )
        for record in dict.fromkeys(records):
            record.check(verified.statement, commit, how_to_go_back)

    def check(self, statement: Statement, commit: str, how_to_go_back: str) -> None:
        """Raise `VerificationError` when `statement` is older than one that was verified before.

        A later signing time is newer. For equal times, content that was verified before the newest one is older.
        """
        before, now = self._read(), statement.signed_at
        if now < before.signed_at:
            raise VerificationError(
                f"the hub went back: it is now at {commit}, signed {now or 'at no stated time'}, and "
                f"{before.commit}, signed {before.signed_at}, was verified here before. {how_to_go_back}"
            )
        if now == before.signed_at and statement.manifest.root_digest in before.digests[:-1]:
            raise VerificationError(
                f"the hub went back: it is now at {commit}, whose content was verified here already, and after that "
                f"the newer one of {before.commit}. {how_to_go_back}"
            )

    def advance(self, statement: Statement, commit: str) -> None:
        """Record that `statement` was verified. The record never moves backwards; a failed write is only logged."""
        if self._read().after(statement, commit) is None:
            return
        try:
            own_directory(_FOLDER)
            with changing(self._file):
                after = self._read().after(statement, commit)  # again: another process may have been faster
                if after is not None:
                    data = json.dumps({"branch_key": self.branch_key, **asdict(after)}).encode()
                    write_file(self._file, data, mode=0o600)
        except OSError as error:
            # Once for a program and the processes that it starts: each of many calls would say the same.
            level = logging.WARNING if is_first("rollback record", own_cache()) else logging.DEBUG
            _logger.log(level, "cannot write the rollback record, so a rollback will not be detected: %s", error)

    def _read(self) -> _Known:
        return _files.read(self._file)

    @property
    def _file(self) -> str:
        key = hashlib.sha256(f"{self.branch_key}\n{self.signer}".encode()).hexdigest()
        return os.path.join(own_cache(), _FOLDER, f"{key}.json")


@dataclass(frozen=True)
class _Known:
    """The newest signing time, its commit, and the root digests that were verified, the newest last."""

    signed_at: str = ""
    commit: str = ""
    digests: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Any) -> _Known | None:  # noqa: ANN401 - JSON
        """Parse a record; earlier releases wrote no digests."""
        if not isinstance(values, dict):
            return None
        texts, digests = (values.get("signed_at", ""), values.get("commit", "")), values.get("digests", [])
        if not isinstance(digests, list) or not all(isinstance(text, str) for text in (*texts, *digests)):
            return None
        return cls(*texts, tuple(digests))

    def after(self, statement: Statement, commit: str) -> _Known | None:
        """Return the record including `statement`, or None if that changes nothing."""
        now, digest = statement.signed_at, statement.manifest.root_digest
        if now < self.signed_at or (now == self.signed_at and digest in self.digests):
            return None
        digests = (*(other for other in self.digests if other != digest), digest)
        return replace(self, signed_at=now, commit=commit, digests=digests[-_MOST:])


def _read(path: str) -> _Known:
    try:
        values = read_json(path, _LARGEST)
    except FileNotFoundError:
        return _Known()
    except OSError as error:
        raise VerificationError(
            f"cannot read '{path}', which says what was verified before: {error.strerror}; make it readable, "
            "or set XDG_CACHE_HOME to a directory that this user can use"
        ) from error
    except ValueError as error:
        raise VerificationError(
            f"cannot read '{path}', which says what was verified before: {error}; delete it to start anew"
        ) from error
    known = _Known.of(values)
    if known is None:
        raise VerificationError(f"'{path}', which says what was verified before, is damaged; delete it")
    return known


_files = UnchangedFiles(_read)
