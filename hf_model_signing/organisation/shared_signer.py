"""One signer for all threads of a batch, which waits while the user has to sign in again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from hf_model_signing.errors import SignInError, StopBatch, UsageError
from hf_model_signing.methods.interface import Signer, Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement

_PAUSES = (
    0.0,
    60.0,
    300.0,
    900.0,
    3600.0,
)  # seconds; growing, so that an unattended batch does not open a hundred browser tabs

_T = TypeVar("_T")


class SharedSigner(Signer):
    """A signer that all threads share. If it needs a new sign-in, all threads wait until the user has signed in.

    Raises `StopBatch` if a sign-in cannot help: a given token has expired, or there was no sign-in for over an hour.
    """

    def __init__(self, signer: Signer, note: Callable[[str], None]) -> None:
        self._signer, self._note = signer, note
        self._asking = threading.Lock()
        self._verifier: Verifier | None = None
        self.method = signer.method

    def verifier(self) -> Verifier:
        """Return the verifier of the signer, made once."""
        with self._asking:
            self._verifier = self._verifier or self._retried(self._signer.verifier)
            return self._verifier

    def describe(self) -> str:
        """Return the description of the signer."""
        return self._signer.describe()

    def needs_sign_in(self) -> bool:
        """Return True until the identity is known, which `verifier` keeps."""
        return self._verifier is None and self._signer.needs_sign_in()

    def facts(self) -> Mapping[str, str]:
        """Return the facts about the last signature."""
        return self._signer.facts()

    def sign(self, statement: Statement) -> Bundle:
        """Sign; if that needs a sign-in, one thread asks for it and the others wait."""
        try:
            return self._signer.sign(statement)
        except SignInError:
            with self._asking:
                return self._retried(lambda: self._signer.sign(statement))
        except UsageError as error:
            raise _stop(error) from error

    def rehearse(self, statement: Statement) -> None:
        """Rehearse with the signer."""
        self._signer.rehearse(statement)

    def _retried(self, call: Callable[[], _T]) -> _T:
        for pause in _PAUSES:
            try:
                return call()  # another thread may have completed the sign-in
            except SignInError as error:
                later = f" in {pause:.0f} seconds" if pause else ""
                self._note(f"a new sign-in is needed, and the batch waits for it; you are asked again{later} ({error})")
                time.sleep(pause)
                self._signer.ask_again()
            except UsageError as error:
                raise _stop(error) from error
        try:
            return call()
        except (SignInError, UsageError) as error:
            raise _stop(error) from error

    def _bundle(self, payload: bytes) -> Bundle:
        raise NotImplementedError("`sign` calls the wrapped signer")


def _stop(error: Exception) -> StopBatch:
    return StopBatch(f"{error}; what was signed stands: the same command goes on from there")
