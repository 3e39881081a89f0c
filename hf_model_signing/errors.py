"""Errors that a caller can catch, with the exit code of each on the command line, and the warnings.

`HfSignError`, the base class of all of them, is defined in `hub_adapters.errors`, because the adapters import nothing
from this package. `MismatchError` is in `oms/difference.py`, beside the value that it carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from errno import ENOSPC
from typing import Any

from hub_adapters.errors import HfSignError

__all__ = [
    "BundleError",
    "EmptyModelError",
    "FileError",
    "GuardWarning",
    "HfSignError",
    "HubWarning",
    "MissingSignatureError",
    "ModelError",
    "ModelWarning",
    "OtherSignerError",
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

# For a `MemoryError`, which says nothing about what was verified and is no refusal.
OUT_OF_MEMORY = "this machine has not enough free memory for that: end other programs, or use a machine with more"


class UsageError(HfSignError):
    """Invalid arguments: an option, a path, a reference or a key file.

    For the content of a trust policy, `why` is the reason without the path of the file.
    """

    exit_code = 2

    def __init__(self, message: str = "", why: str | None = None) -> None:
        super().__init__(message)
        self.why = why


class FileError(HfSignError, OSError):
    """A file or a directory of this machine cannot be read or written; `errno` and `filename` say why and which."""

    def __init__(
        self, message: str, errno: int | None = None, strerror: str | None = None, filename: object = None
    ) -> None:
        super().__init__(message)
        self.errno, self.strerror, self.filename = errno, strerror, filename

    @classmethod
    def of(cls, error: OSError) -> FileError:
        """Return the error with a sentence for the user."""
        at = f": '{error.filename}'" if isinstance(error.filename, str) else ""
        message = f"{error.strerror}{at}" if error.strerror else str(error) or type(error).__name__
        if error.errno == ENOSPC:
            message = f"the disk is full{at}; nothing half written is left"
        return cls(message, error.errno, error.strerror, error.filename)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[FileError], tuple[object, ...], dict[str, object]]:
        return type(self), (*self.args, self.errno, self.strerror, self.filename), self.__dict__


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


class OtherSignerError(RefusedError):
    """A signature is there already, and this signer did not make it; `why` tells how that was found."""

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why


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
