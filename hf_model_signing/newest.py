"""The newest signature of each repository that was verified on this machine, so that nobody is sent back behind it.

Kept apart from the hub's cache: other programs move that one's branches, and people delete it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass

from hf_model_signing.errors import VerificationError
from hf_model_signing.files import write_file
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.paths import own_cache
from hf_model_signing.statement import SIGNED_AT, Statement

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Newest:
    """What is known of one branch of a repository as one signer signed it; `place` is any text that stands for it."""

    place: str
    signer: str

    @classmethod
    def check_all(cls, place: str, verifier: Verifier, statement: Statement, commit: str, how_to_go_back: str) -> None:
        """Refuse what is older than what was verified before of any signer that `verifier` accepts."""
        for signer in verifier.signers():
            cls(place, signer).check(statement, commit, how_to_go_back)

    def check(self, statement: Statement, commit: str, how_to_go_back: str) -> None:
        """Raise `VerificationError` when `statement` is older than one that was verified before."""
        before = self._read()
        then, now = before.get("signed_at", ""), statement.annotations.get(SIGNED_AT, "")
        if now < then:
            raise VerificationError(
                f"the hub went back: it is now at {commit}, signed {now or 'at no stated time'}, and "
                f"{before.get('commit')}, signed {then}, was verified here before. {how_to_go_back}"
            )

    def advance(self, statement: Statement, commit: str) -> None:
        """Note that `statement` was verified; never goes back, and does without when nothing can be written."""
        now = statement.annotations.get(SIGNED_AT, "")
        if now <= self._read().get("signed_at", ""):
            return
        try:
            os.makedirs(os.path.dirname(self._file), mode=0o700, exist_ok=True)
            write_file(self._file, json.dumps({"place": self.place, "signed_at": now, "commit": commit}).encode())
        except OSError as error:
            _logger.warning("cannot note what was verified, so an older one will not be noticed: %s", error)

    def _read(self) -> dict[str, str]:
        try:
            with open(self._file, encoding="utf-8") as file:
                values = json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise VerificationError(
                f"cannot read '{self._file}', which says what was verified before: {error}; delete it to start anew"
            ) from error
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise VerificationError(f"'{self._file}', which says what was verified before, is damaged; delete it")
        return values

    @property
    def _file(self) -> str:
        key = hashlib.sha256(f"{self.place}\n{self.signer}".encode()).hexdigest()
        return os.path.join(own_cache(), "newest", f"{key}.json")
