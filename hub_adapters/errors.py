"""Errors of the hubs, the base class that they share with all of `hf-sign`, and the exit code of each."""

from __future__ import annotations

import copyreg
from typing import Any

from hub_adapters._util.text import message_text

_LONGEST = 8_000  # characters of a message


class HfSignError(Exception):
    """Base class of every error of `hf-sign`: nothing was signed, verified or handed out."""

    exit_code = 3

    def __init__(self, message: str = "") -> None:
        # A message may quote text from outside: millions of characters, or lines that look like ours.
        short = message if len(message) <= _LONGEST else f"{message[:_LONGEST]} …"
        super().__init__(message_text(short))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the message and the attributes without calling `__init__`, which takes more in some subclasses.

        An error that cannot be unpickled breaks a pool of processes, or makes it wait forever.
        """
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class HubError(HfSignError):
    """A hub, or the connection to it, failed."""


class BadReferenceError(HubError):
    """The text is not a valid reference to anything on a hub."""

    exit_code = 2


class BadSettingError(HubError):
    """An environment variable that names a hub or holds a token has an invalid value."""

    exit_code = 2


class NotFoundError(HubError):
    """The repository, the revision or the file does not exist, or is not visible to this user."""


class NoRevisionError(NotFoundError):
    """The repository exists and has no such revision."""


class AccessError(HubError):
    """The hub denies this user access."""


class GatedError(AccessError):
    """The repository is gated, and this user has no access to it."""


class DisabledError(AccessError):
    """The hub has disabled the repository."""


class UnavailableError(HubError):
    """The hub cannot be reached, or cannot answer now."""


class TransferError(UnavailableError):
    """A request failed on its way; the message names the host and says what it did."""


class ConflictError(HubError):
    """The branch has moved since the revision that the commit was made for."""


class UncertainError(UnavailableError):
    """The connection broke while the hub was writing: the commit may exist, or not."""


class DishonestError(HubError):
    """The answers of the hub contradict each other or the request."""

    exit_code = 1


class ContentError(HubError):
    """The download is not an acceptable model: a web page, an unsafe archive, or larger than the limits."""

    exit_code = 1


class UnsupportedError(HubError):
    """The hub does not offer the operation."""

    exit_code = 2
