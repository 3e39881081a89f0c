"""Errors that a caller can catch, with the exit code of each on the command line, and the warnings.

`HfSignError`, the base class of all of them, is defined in `hub_adapters.errors`, because the adapters import nothing
from this package. `MismatchError` is in `oms/difference.py`, beside the value that it carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub_adapters.errors import HfSignError

__all__ = [
    "BundleError",
    "EmptyModelError",
    "GuardWarning",
    "HfSignError",
    "HubWarning",
    "MissingSignatureError",
    "ModelError",
    "ModelWarning",
    "RefusedError",
    "RenamedError",
    "ServiceError",
    "SignInError",
    "SigstoreWarning",
    "StopBatch",
    "UsageError",
    "VerificationError",
    "WorkerError",
]


class UsageError(HfSignError):
    """Invalid arguments: an option, a path, a reference or a key file."""

    exit_code = 2


class SignInError(HfSignError):
    """The user did not complete the sign-in."""


class ServiceError(HfSignError):
    """A signing service failed; `said` is its answer, if that was a JSON object."""

    def __init__(self, message: str, said: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.said = said


class WorkerError(HfSignError):
    """A worker on another machine failed to hash a repository, or its answer was rejected."""


class RefusedError(HfSignError):
    """The operation is refused: not verified, not trusted, or nothing to sign."""

    exit_code = 1


class ModelError(RefusedError):
    """The model on this machine cannot be hashed as it is: a link, a device, an unusable name, no files."""


class EmptyModelError(ModelError):
    """The model has no file to sign."""


class RenamedError(RefusedError):
    """The hub has the repository under another name, `name`."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class VerificationError(RefusedError):
    """The model is not verified, for any reason."""


class BundleError(VerificationError):
    """The signature file is not an OMS bundle, or its content violates the format."""


class MissingSignatureError(VerificationError):
    """There is no signature where one is required."""


class StopBatch(HfSignError):  # noqa: N818 - raised to stop, for any reason
    """No repository can be processed any more; finished work stays, and the same command continues from there."""


class ModelWarning(UserWarning):
    """Something about the model that its signer should know and that does not prevent signing."""


class HubWarning(UserWarning):
    """Something about a model of a hub that the user should know, such as an earlier download that is used instead."""


class SigstoreWarning(UserWarning):
    """Something about signing with Sigstore that the user should know and that does not prevent signing."""


class GuardWarning(UserWarning):
    """A program loads something that the guard cannot verify, and the mode or the policy allows it."""
