"""Statuses and findings of repositories, file states, and kinds of runs: the words that reports use."""

from __future__ import annotations

from hf_model_signing._util.str_enum import StrEnum


class Group(StrEnum):
    """Severity of a status; `neutral` means that there is nothing to sign."""

    BAD = "bad"
    GOOD = "good"
    NEUTRAL = "neutral"


class Status(StrEnum):
    """The result for one repository, the worst first: a word for programs, and a label and a meaning for people."""

    label: str
    group: Group
    meaning: str

    INVALID = ("invalid", "Signature not valid", Group.BAD, "It is no signature, was altered, or is of something else.")
    UNSIGNED = ("unsigned", "Not signed", Group.BAD, "It has no model.sig.")
    UNTRUSTED = (
        "untrusted",
        "Not trusted",
        Group.BAD,
        "It is signed, and not by a signer whom the trust policy accepts.",
    )
    FOREIGN = (
        "foreign",
        "Signed by somebody else",
        Group.BAD,
        "It is signed, and not by the signer of this batch.",
    )
    STALE = ("stale", "Out of date", Group.BAD, "It has changed since it was signed.")
    FORBIDDEN = (
        "forbidden",
        "Not allowed",
        Group.BAD,
        "This user, or the workers, may not do it; another run does not help.",
    )
    REFUSED = ("refused", "Refused", Group.BAD, "It could not be signed as it stands.")
    FAILED = ("failed", "Not finished", Group.BAD, "The hub or the network failed; running it again may help.")
    SIGNED = ("signed", "Signed", Group.GOOD, "It is signed as it stands.")
    UNCHANGED = ("unchanged", "Signed before", Group.GOOD, "Its signature fits already; there was nothing to do.")
    PROPOSED = (
        "proposed",
        "Proposed",
        Group.NEUTRAL,
        "A pull request adds its signature; it is signed once that is merged.",
    )
    EMPTY = ("empty", "Empty", Group.NEUTRAL, "It has no file that could be signed.")
    GATED = ("gated", "Gated", Group.NEUTRAL, "It is gated, and this user was not let in.")
    DISABLED = ("disabled", "Disabled", Group.NEUTRAL, "The hub has disabled it.")
    ARCHIVED = ("archived", "Archived", Group.NEUTRAL, "It is archived and takes no commits.")
    RENAMED = ("renamed", "Renamed", Group.NEUTRAL, "It has another name now.")
    GONE = ("gone", "Gone", Group.NEUTRAL, "It was deleted, or hidden, after it was listed.")

    # The defaults are for type checkers, which take a lookup such as `Status("signed")` for this call.
    def __new__(cls, word: str, label: str = "", group: Group = Group.NEUTRAL, meaning: str = "") -> Status:
        """Make a member whose value is `word`."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.label, member.group, member.meaning = label, group, meaning
        return member

    @property
    def rank(self) -> int:
        """Position in the order of severity; 0 is the worst."""
        return _RANKS[self]


_RANKS = {status: rank for rank, status in enumerate(Status)}


class Finding(StrEnum):
    """A problem that an audit found in a repository, the worst first; a repository can have several."""

    INVALID = Status.INVALID.value
    UNSIGNED = Status.UNSIGNED.value
    UNTRUSTED = Status.UNTRUSTED.value
    STALE = Status.STALE.value

    @property
    def status(self) -> Status:
        """The status of a repository whose worst finding this is."""
        return Status(self.value)


class FileCoverage(StrEnum):
    """Coverage of one file by the signature of a repository; `ignored` means that the signer left it out."""

    CHANGED = "changed"
    MISSING = "missing"
    UNSIGNED = "unsigned"
    IGNORED = "ignored"
    SIGNED = "signed"


class RunKind(StrEnum):
    """The kinds of runs that reports are about: an audit, a batch, the plan of a batch."""

    AUDIT = "audit"
    BATCH = "batch"
    PLAN = "plan"
