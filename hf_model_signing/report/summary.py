"""The summary of a report: title, headline, counts, and sentences about signers and trust."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from hf_model_signing._util.text import one_line, width_of
from hf_model_signing.report.interface import Record, Report
from hf_model_signing.report.statuses import Group, RunKind, Status

_MAX_COUNTED_SIGNERS = 1_000  # bounds memory
_MAX_NAMED_SIGNERS = 5
_MAX_WORST = 12  # as many as fit on a screen below the headline

# The predicate of a sentence about one repository, and about several.
_PREDICATES = {
    Status.UNSIGNED: ("is not signed", "are not signed"),
    Status.INVALID: ("has a signature that is not valid", "have signatures that are not valid"),
    Status.UNTRUSTED: ("is signed by somebody who is not trusted", "are signed by somebody who is not trusted"),
    Status.FOREIGN: ("is signed by somebody else", "are signed by somebody else"),
    Status.STALE: ("has changed since it was signed", "have changed since they were signed"),
    Status.FORBIDDEN: ("may not be read or written to", "may not be read or written to"),
    Status.REFUSED: ("could not be signed as it stands", "could not be signed as they stand"),
    Status.FAILED: ("is not finished", "are not finished"),
}
_TITLES = {
    RunKind.AUDIT: "Audit of signatures",
    RunKind.BATCH: "Signing of all repositories",
    RunKind.PLAN: "Plan for signing all repositories, nothing was changed",
}


@dataclass
class Survey:
    """The result of one pass over the records: `unchecked` signatures were not compared with any trusted signer."""

    worst: list[Record] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    signatures: int = 0
    unchecked: int = 0
    checked: int = 0
    longest_name: int = 0  # in columns
    signers: Counter[str] = field(default_factory=Counter)


def survey(report: Report) -> Survey:
    """Read every record once, and keep only a few."""
    found = Survey()
    for record in report.records():
        found.kinds[record.kind] += 1
        found.longest_name = max(found.longest_name, width_of(one_line(record.name)))
        if record.group == Group.BAD and len(found.worst) < _MAX_WORST:
            found.worst.append(record)
        if record.signer or record.digest:
            found.signatures += 1
            found.unchecked += record.verified is None
            found.checked += record.verified is True
        if record.signer and (record.signer in found.signers or len(found.signers) < _MAX_COUNTED_SIGNERS):
            found.signers[record.signer] += 1
    return found


def title(report: Report) -> str:
    """Return the owner and the kind of the run."""
    return f"{report.owner}: {_TITLES[report.command]}"


def counted(report: Report) -> Iterator[tuple[Status, int]]:
    """Yield each status that occurs, and its number, the worst first."""
    return ((status, report.totals[status]) for status in Status if report.totals.get(status))


def headline(report: Report) -> str:
    """Return one sentence about the worst status that occurs."""
    if not report.count:
        return "No repository was found"
    bad = [
        (number, _PREDICATES[status][number != 1]) for status, number in counted(report) if status.group == Group.BAD
    ]
    if (
        report.totals.get(Status.INVALID) and len(bad) > 1
    ):  # name the second as well: most readers look for unsigned ones
        (first, predicate), (second, second_predicate) = bad[:2]
        return f"{first:,} of {_repositories(report.count)} {predicate}, and {second:,} {second_predicate}"
    if bad:
        return f"{bad[0][0]:,} of {_repositories(report.count)} {bad[0][1]}"
    good = report.in_group(Group.GOOD)
    if not good:
        return "No repository has anything to sign"
    return (
        "The one repository with something to sign is signed"
        if good == 1
        else f"All {good:,} repositories with something to sign are signed"
    )


def coverage(report: Report) -> str:
    """Return a sentence about the share of signed repositories; empty if no repository can be signed."""
    good, able = report.in_group(Group.GOOD), report.in_group(Group.GOOD) + report.in_group(Group.BAD)
    if not able:
        return ""
    share = 100 * good // able  # rounded down, so that 100 means all
    rest = report.in_group(Group.NEUTRAL)
    more = f"; the other {rest:,} {'has' if rest == 1 else 'have'} nothing that could be" if rest else ""
    return f"{good:,} of the {able:,} with something to sign are signed as they stand ({share} %){more}."


def signers_sentence(found: Survey) -> str:
    """Return a sentence that counts the signatures by signer; empty if there is only one signer."""
    if len(found.signers) < 2:
        return ""
    named = [f"{number:,} by {signer}" for signer, number in found.signers.most_common(_MAX_NAMED_SIGNERS)]
    more = len(found.signers) - len(named)
    return f"Signatures: {'; '.join(named)}{f'; and {more:,} other signers' if more else ''}."


def trust_sentence(found: Survey) -> str:
    """Return a sentence about unverified signatures; empty if all were verified."""
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
