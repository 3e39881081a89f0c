"""Reports as SARIF 2.1.0, for GitHub code scanning: one result for each problem of a repository."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from hf_model_signing._util.repository_kinds import PREFIXES
from hf_model_signing._util.text import one_line
from hf_model_signing.report.interface import Format, Record, Report
from hf_model_signing.report.statuses import Status

MAX_RESULTS = 25_000  # https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


class _Rule(NamedTuple):
    level: str
    severity: str  # 0 to 10; GitHub sorts by it
    help: str


_RULES = {
    Status.INVALID: _Rule("error", "9.0", "Find out who changed it and how, before anybody uses the repository."),
    Status.UNSIGNED: _Rule(
        "error", "7.5", "Sign it with 'hf-sign push', or all repositories of its owner in one batch."
    ),
    Status.UNTRUSTED: _Rule(
        "error", "8.5", "Find out who signed it: trust that signer in the policy, or sign it again."
    ),
    Status.FOREIGN: _Rule("warning", "6.0", "Find out who signed it; --replace-others signs it again."),
    Status.STALE: _Rule("error", "7.0", "Check what has changed since, and sign the repository as it stands now."),
    Status.FORBIDDEN: _Rule("warning", "4.0", "Use a token that may, for the workers as well."),
    Status.REFUSED: _Rule("error", "6.5", "Change what the message names, and sign the repository then."),
    Status.FAILED: _Rule("warning", "4.0", "Run it again; what is done already is not done twice."),
}


class SarifFormat(Format):
    """One run with a rule for each bad status; a notification counts the results above the limit of GitHub."""

    def render(self, report: Report) -> Iterator[str]:
        """Yield the rules, the results and their number."""
        tool = json.dumps({"driver": _driver(report)})
        yield f'{{"$schema": "{_SCHEMA}", "version": "2.1.0", "runs": [{{"tool": {tool}, "results": ['
        number, results = 0, _results(report)
        for number, result in enumerate(itertools.islice(results, MAX_RESULTS), 1):
            yield f"{',' if number > 1 else ''}\n{json.dumps(result)}"
        left_out = sum(1 for _ in results)
        properties = {"repositories": report.count, "results": number, "resultsLeftOut": left_out}
        end = {
            "invocations": [_invocation(left_out)],
            "automationDetails": {"id": f"hf-sign/{quote(report.command, safe='')}/{quote(report.owner, safe='')}/"},
            "columnKind": "unicodeCodePoints",
            "properties": properties,
        }
        yield f"\n], {json.dumps(end)[1:]}]}}\n"


def _driver(report: Report) -> dict[str, Any]:
    return {"name": "hf-sign", "version": report.version, "rules": [_descriptor(status) for status in _RULES]}


def _descriptor(status: Status) -> dict[str, Any]:
    rule = _RULES[status]
    text = f"{status.meaning} {rule.help}"
    return {
        "id": status,
        "name": f"Repository{status.capitalize()}",
        "shortDescription": {"text": f"{status.label}: a repository of the hub"},
        "fullDescription": {"text": status.meaning},
        "help": {"text": text, "markdown": f"**{status.label}.** {text}"},
        "defaultConfiguration": {"level": rule.level},
        "properties": {
            "tags": ["security", "supply-chain"],
            "precision": "very-high",
            "security-severity": rule.severity,
        },
    }


def _results(report: Report) -> Iterator[dict[str, Any]]:
    order = list(_RULES)
    for record in report.records():
        for status in dict.fromkeys((record.status, *(finding.status for finding in record.findings))):
            if status in _RULES:
                yield _result(record, status, order.index(status))


def _result(record: Record, status: Status, index: int) -> dict[str, Any]:
    explanation = record.reason if status == record.status and record.reason else status.meaning
    location = {"artifactLocation": {"uri": _path(record)}, "region": {"startLine": 1}}
    return {
        "ruleId": status,
        "ruleIndex": index,
        "level": _RULES[status].level,
        "message": {"text": _escaped(f"{record.kind} {record.name}: {explanation}")},
        "locations": [{"physicalLocation": location}],
        # GitHub cannot compute one: the file is not in the repository that it scans.
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(record, status)},
    }


def _path(record: Record) -> str:
    """Return the relative path of the signature, with dot segments in a hostile name replaced."""
    parts = [part if part.strip(".") else "_" for part in one_line(record.name).split("/")]
    return PREFIXES.get(record.kind, "") + "/".join(quote(part, safe="") for part in (*parts, "model.sig"))


def _fingerprint(record: Record, status: Status) -> str:
    named = json.dumps([record.kind, record.name, status]).encode()
    return f"{hashlib.sha256(named).hexdigest()[:16]}:1"


def _escaped(text: str) -> str:
    """Escape links and placeholders in `text` (SARIF 2.1.0, sections 3.11.5 and 3.11.6)."""
    text = one_line(text)
    for char in "\\[]":
        text = text.replace(char, f"\\{char}")
    return text.replace("{", "{{").replace("}", "}}")


def _invocation(left_out: int) -> dict[str, Any]:
    if not left_out:
        return {"executionSuccessful": True}
    text = f"{left_out:,} results are left out, as code scanning takes {MAX_RESULTS:,}; the JSON report has them all."
    return {
        "executionSuccessful": True,
        "toolExecutionNotifications": [{"level": "warning", "message": {"text": text}}],
    }
