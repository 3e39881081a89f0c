"""What can be said of a repository in one word, for people and programs."""

from __future__ import annotations

from typing import NamedTuple


class Status(NamedTuple):
    """A word for programs, what people read, and whether it is `good`, `bad` or `neutral` (nothing to sign there)."""

    word: str
    label: str
    group: str
    meaning: str


_ALL = (
    Status("invalid", "Signature not valid", "bad", "It is no signature, was altered, or is of something else."),
    Status("unsigned", "Not signed", "bad", "It has no model.sig."),
    Status("untrusted", "Not trusted", "bad", "It is signed, and not by a signer whom the trust policy accepts."),
    Status("foreign", "Signed by somebody else", "bad", "It is signed, and not by the signer of this batch."),
    Status("stale", "Out of date", "bad", "It has changed since it was signed."),
    Status("forbidden", "Not allowed", "bad", "This user, or the workers, may not do it; another run does not help."),
    Status("refused", "Refused", "bad", "It could not be signed as it stands."),
    Status("failed", "Not finished", "bad", "The hub or the network failed; running it again may help."),
    Status("signed", "Signed", "good", "It is signed as it stands."),
    Status("unchanged", "Signed before", "good", "Its signature fits already; there was nothing to do."),
    Status("proposed", "Proposed", "neutral", "A pull request adds its signature; it is signed once that is merged."),
    Status("empty", "Empty", "neutral", "It has no file that could be signed."),
    Status("gated", "Gated", "neutral", "It is gated, and this user was not let in."),
    Status("disabled", "Disabled", "neutral", "The hub has disabled it."),
    Status("archived", "Archived", "neutral", "It is archived and takes no commits."),
    Status("renamed", "Renamed", "neutral", "It has another name now."),
    Status("gone", "Gone", "neutral", "It was deleted, or hidden, after it was listed."),
)
STATUSES = {status.word: status for status in _ALL}  # the worst first
