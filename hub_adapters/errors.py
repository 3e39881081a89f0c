"""What can go wrong with a hub, and the exit code that each has on the command line."""

from __future__ import annotations


class HubError(Exception):
    """The hub, or the way to it, did not do what was asked."""

    exit_code = 3


class BadReferenceError(HubError):
    """The text is no reference to anything on a hub."""

    exit_code = 2


class BadSettingError(HubError):
    """A variable that says which hub, or with which token, holds something that cannot be."""

    exit_code = 2


class NotFoundError(HubError):
    """The repository, the revision or the file does not exist, or this user may not see it."""


class NoRevisionError(NotFoundError):
    """The repository is there, and has no such revision."""


class AccessError(HubError):
    """The hub knows what was asked for and does not let this user have or do it."""


class GatedError(AccessError):
    """The repository is gated, and this user was not let in."""


class DisabledError(AccessError):
    """The hub has disabled the repository."""


class UnavailableError(HubError):
    """The hub cannot be reached, or says that it cannot answer now."""


class ConflictError(HubError):
    """The branch has moved since the revision that the commit was made for."""


class UncertainError(UnavailableError):
    """The connection broke while the hub was writing: it may have done it, or not."""


class DishonestError(HubError):
    """The hub contradicts itself: what it answers is not what was asked for."""

    exit_code = 1


class ContentError(HubError):
    """What the hub sent is no model that could be taken: a web page, an unsafe archive, more than is allowed."""

    exit_code = 1


class UnsupportedError(HubError):
    """The hub has no such thing as was asked of it."""

    exit_code = 2
