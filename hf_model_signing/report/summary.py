"""What a report says first: one sentence, the counts, and the worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from hf_model_signing._util.text import one_line, width_of
from hf_model_signing.report.interface import Record, Report
from hf_model_signing.report.statuses import STATUSES, Status

_SIGNERS, _NAMED = 1_000, 5  # that are counted, so that memory has an end, and that are named
_WORST = 12  # as many as fit on a screen below the headline

# What is said of one repository, and of several.
_SAID = {
    "unsigned": ("is not signed", "are not signed"),
    "invalid": ("has a signature that is not valid", "have signatures that are not valid"),
    "untrusted": ("is signed by somebody who is not trusted", "are signed by somebody who is not trusted"),
    "foreign": ("is signed by somebody else", "are signed by somebody else"),
    "stale": ("has changed since it was signed", "have changed since they were signed"),
    "forbidden": ("may not be read or written to", "may not be read or written to"),
    "refused": ("could not be signed as it stands", "could not be signed as they stand"),
    "failed": ("is not finished", "are not finished"),
}
_TITLES = {
    "audit": "Audit of signatures",
    "batch": "Signing of all repositories",
    "plan": "Plan for signing all repositories, nothing was changed",
}


@dataclass
class Survey:
    """What one pass over the records tells: `unchecked` of the `signatures` were held against no trusted signer."""

    worst: list[Record] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    signatures: int = 0
    unchecked: int = 0
    checked: int = 0
    longest_name: int = 0  # in columns
    signers: Counter[str] = field(default_factory=Counter)


def survey(report: Report) -> Survey:
    """Look at every record once, and keep only a few."""
    found = Survey()
    for record in report.records():
        found.kinds[record.kind] += 1
        found.longest_name = max(found.longest_name, width_of(one_line(record.name)))
        if record.group == "bad" and len(found.worst) < _WORST:
            found.worst.append(record)
        if record.signer or record.digest:
            found.signatures += 1
            found.unchecked += record.verified is None
            found.checked += record.verified is True
        if record.signer and (record.signer in found.signers or len(found.signers) < _SIGNERS):
            found.signers[record.signer] += 1
    return found


def title(report: Report) -> str:
    """What was done, and to whom."""
    return f"{report.owner}: {_TITLES.get(report.command, report.command)}"


def counted(report: Report) -> Iterator[tuple[Status, int]]:
    """Each status that occurs and how often, the worst first."""
    return ((status, report.totals[word]) for word, status in STATUSES.items() if report.totals.get(word))


def headline(report: Report) -> str:
    """The worst that is true of any repository, in one sentence."""
    if not report.count:
        return "No repository was found"
    bad = [(number, _SAID[status.word][number != 1]) for status, number in counted(report) if status.group == "bad"]
    if report.totals.get("invalid") and len(bad) > 1:  # those first, and yet what most people look for
        (first, said), (second, besides) = bad[:2]
        return f"{first:,} of {_repositories(report.count)} {said}, and {second:,} {besides}"
    if bad:
        return f"{bad[0][0]:,} of {_repositories(report.count)} {bad[0][1]}"
    good = report.in_group("good")
    if not good:
        return "No repository has anything to sign"
    return (
        "The one repository with something to sign is signed"
        if good == 1
        else f"All {good:,} repositories with something to sign are signed"
    )


def coverage(report: Report) -> str:
    """How many of those that can be signed are, in one sentence; nothing if none can be."""
    good, able = report.in_group("good"), report.in_group("good") + report.in_group("bad")
    if not able:
        return ""
    share = 100 * good // able  # never rounded up to a 100 that is not true
    rest = report.in_group("neutral")
    more = f"; the other {rest:,} {'has' if rest == 1 else 'have'} nothing that could be" if rest else ""
    return f"{good:,} of the {able:,} with something to sign are signed as they stand ({share} %){more}."


def signers_sentence(found: Survey) -> str:
    """How many signatures are by whom, so that a stranger among them is seen; nothing where there is only one."""
    if len(found.signers) < 2:
        return ""
    named = [f"{number:,} by {signer}" for signer, number in found.signers.most_common(_NAMED)]
    more = len(found.signers) - len(named)
    return f"Signatures: {'; '.join(named)}{f'; and {more:,} other signers' if more else ''}."


def trust_sentence(found: Survey) -> str:
    """Whether the signatures were held against a trusted signer, or nothing if all were."""
    if not found.unchecked:
        return ""
    if not found.checked:
        return (
            "Nobody's signature was checked against a trusted signer: the names of signers are only what the "
            "signatures say. A trust policy (--policy) makes the check."
        )
    return (
        f"{found.unchecked:,} of {found.signatures:,} signatures were not checked against a trusted signer: the signer "
        "named there is only what the signature says."
    )


def _repositories(count: int) -> str:
    return "1 repository" if count == 1 else f"{count:,} repositories"
