"""Decisions of the guard, for people and programs: log lines, warnings, and an audit log of JSON lines."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from hf_model_signing._util.str_enum import StrEnum
from hf_model_signing._util.text import message_text, one_line
from hf_model_signing.errors import GuardWarning, UsageError
from hf_model_signing.guarding.environment import AUDIT_VARIABLE, Mode

LOGGER_NAME = "hf_model_signing.guard"  # a documented name, so it does not follow the module

# Opening a FIFO that no process reads must not stop the program.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)

_logger = logging.getLogger(LOGGER_NAME)


class DecisionKind(StrEnum):
    """The result of a call under the guard."""

    VERIFIED = "verified"
    ALLOWED = "allowed"  # the policy requires no signature, or it is the card of a repository that is published to
    WARNED = "warned"
    REFUSED = "refused"


_LEVELS = {
    DecisionKind.VERIFIED: logging.INFO,
    DecisionKind.ALLOWED: logging.INFO,
    DecisionKind.WARNED: logging.WARNING,
    DecisionKind.REFUSED: logging.ERROR,
}


@dataclass(frozen=True)
class Decision:
    """One decision about a repository.

    `call` is the function of the client that was called. `facts` are further facts: revision, commit, file, path,
    signer, reason.
    """

    kind: DecisionKind
    repo: str
    call: str
    mode: Mode
    policy: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def log(self, *, quietly: bool = False) -> None:
        """Write it to the log, and to the audit log if there is one."""
        level = logging.INFO if quietly else _LEVELS[self.kind]
        if _logger.isEnabledFor(level):
            reason = self.facts.get("reason")
            text = f"{self.kind} {self.repo} ({self.call}){f': {reason}' if reason else ''}"
            _logger.log(level, "%s", one_line(text))
        path = os.environ.get(AUDIT_VARIABLE)
        if path:
            _append(path, self._line())

    def warn(self) -> None:
        """Show it as a Python warning."""
        text = f"'{self.repo}' is not verified: {self.facts.get('reason')}"
        warnings.warn(message_text(text), GuardWarning, stacklevel=7)

    def _line(self) -> bytes:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        head = {"time": now, "decision": self.kind, "repo": self.repo, "call": self.call}
        tail = {"mode": self.mode, "policy": self.policy, "pid": os.getpid()}
        values = {**head, **{key: value for key, value in self.facts.items() if value is not None}, **tail}
        return json.dumps(values).encode("ascii") + b"\n"


def check_audit_log() -> None:
    """Raise `UsageError` if there is to be an audit log and it cannot be written to."""
    path = os.environ.get(AUDIT_VARIABLE)
    if path:
        try:
            os.close(os.open(path, _FLAGS, 0o600))
        except OSError as error:
            raise UsageError(f"cannot write the audit log that {AUDIT_VARIABLE} names: {error}") from error


def _append(path: str, line: bytes) -> None:
    try:
        handle = os.open(path, _FLAGS, 0o600)
        try:
            os.write(handle, line)  # one system call, so that lines of several processes do not mix
        finally:
            os.close(handle)
    except OSError as error:
        _logger.error("cannot write the audit log '%s': %s", path, error)
