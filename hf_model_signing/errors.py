"""Every error that a caller can catch, and the exit code that each one has on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_model_signing.oms.manifest import Difference


_LONGEST = 8_000  # characters of a message


class HfSignError(Exception):
    """The work could not be finished; nothing was signed or verified."""

    exit_code = 3

    def __init__(self, message: str) -> None:
        # What is quoted in it may come from a stranger and be millions of characters long.
        super().__init__(message if len(message) <= _LONGEST else f"{message[:_LONGEST]} …")


class UsageError(HfSignError):
    """The caller asked for something that cannot be: a wrong option, path, reference or key file."""

    exit_code = 2


class SignInError(HfSignError):
    """Nobody signed in, where a person has to."""


class WorkerError(HfSignError):
    """A machine that was to hash a repository did not, or what it gave back cannot be."""


class RefusedError(HfSignError):
    """What was asked for is refused: not verified, not trusted, or nothing that could be signed."""

    exit_code = 1


class ModelError(RefusedError):
    """The model on this disk cannot be hashed as it stands: a link, a device, an unusable name, nothing in it."""


class EmptyModelError(ModelError):
    """There is no file that could be signed."""


class RenamedError(RefusedError):
    """The hub calls the repository by another name; `name` is that name."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class ModelWarning(UserWarning):
    """Something about the model that its signer should know and that does not stop the work."""


class SigstoreWarning(UserWarning):
    """Something about signing with Sigstore that a person should know of and that does not stop the work."""


class GuardWarning(UserWarning):
    """A program loads what the guard cannot verify, and its mode or policy lets it."""


class VerificationError(RefusedError):
    """The model is not verified, for whatever reason."""


class BundleError(VerificationError):
    """The signature file is not an OMS bundle, or what it carries breaks the format."""


class MissingSignatureError(VerificationError):
    """There is no signature where one is needed."""


class MismatchError(VerificationError):
    """The signature is good, and the model is not what was signed; `difference` says how."""

    def __init__(self, message: str, difference: Difference) -> None:
        super().__init__(message)
        self.difference = difference


class StopBatch(HfSignError):  # noqa: N818 - it is raised to stop, whatever the reason
    """Nothing more can be done for any repository; what is done stands, and the same command goes on from there."""
