"""What the guard decided, for people and programs: log lines, warnings, and an audit log of JSON lines."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from hf_model_signing.errors import GuardWarning, UsageError

LOGGER_NAME = "hf_model_signing.guard"
AUDIT_VARIABLE = "HF_SIGN_AUDIT_LOG"

_logger = logging.getLogger(LOGGER_NAME)
_LEVELS = {"verified": logging.INFO, "allowed": logging.INFO, "warned": logging.WARNING, "refused": logging.ERROR}


@dataclass(frozen=True)
class Decision:
    """One decision: `verdict` is `verified`, `allowed` (no rule names it), `warned` or `refused`.

    `call` is the function of the client that was asked, `facts` are what is known besides: revision, commit, file,
    path, signer, reason.
    """

    verdict: str
    repo: str
    call: str
    mode: str
    policy: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def log(self, *, quietly: bool = False) -> None:
        """Write it to the log, and to the audit log when there is one."""
        level = logging.INFO if quietly else _LEVELS[self.verdict]
        reason = self.facts.get("reason")
        _logger.log(level, "%s %s (%s)%s", self.verdict, self.repo, self.call, f": {reason}" if reason else "")
        path = os.environ.get(AUDIT_VARIABLE)
        if path:
            _append(path, self._line())

    def warn(self) -> None:
        """Show it as a Python warning."""
        warnings.warn(f"'{self.repo}' is not verified: {self.facts.get('reason')}", GuardWarning, stacklevel=6)

    def _line(self) -> bytes:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        head = {"time": now, "decision": self.verdict, "repo": self.repo, "call": self.call}
        tail = {"mode": self.mode, "policy": self.policy, "pid": os.getpid()}
        values = {**head, **{key: value for key, value in self.facts.items() if value is not None}, **tail}
        return json.dumps(values).encode("ascii") + b"\n"


def check_audit_log() -> None:
    """Raise `UsageError` when there is to be an audit log that cannot be written to."""
    path = os.environ.get(AUDIT_VARIABLE)
    if path:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise UsageError(f"cannot write the audit log that {AUDIT_VARIABLE} names: {error}") from error


def _append(path: str, line: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, line)  # in one go, so that lines of several processes do not mix
        finally:
            os.close(handle)
    except OSError as error:
        _logger.error("cannot write the audit log '%s': %s", path, error)
