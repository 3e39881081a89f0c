"""A report as SARIF 2.1.0, which GitHub code scanning takes: a result for whatever is wrong with a repository."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from hf_model_signing._util.text import one_line
from hf_model_signing.report.interface import Format, Record, Report
from hf_model_signing.report.statuses import STATUSES

MAX_RESULTS = 25_000  # https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_PREFIXES = {"dataset": "datasets/", "space": "spaces/"}  # as in the addresses of the hub


class _Rule(NamedTuple):
    level: str
    severity: str  # 0 to 10, by which GitHub sorts
    help: str


_RULES = {
    "invalid": _Rule("error", "9.0", "Find out who changed it and how, before anybody uses the repository."),
    "unsigned": _Rule("error", "7.5", "Sign it with 'hf-sign push', or all repositories of its owner in one batch."),
    "untrusted": _Rule("error", "8.5", "Find out who signed it: trust that signer in the policy, or sign it again."),
    "foreign": _Rule("warning", "6.0", "Find out who signed it, and sign it again if that was not meant to be."),
    "stale": _Rule("error", "7.0", "Check what has changed since, and sign the repository as it stands now."),
    "forbidden": _Rule("warning", "4.0", "Use a token that may, for the workers as well."),
    "refused": _Rule("error", "6.5", "Change what the message names, and sign the repository then."),
    "failed": _Rule("warning", "4.0", "Run it again; what is done already is not done twice."),
}


class SarifFormat(Format):
    """One run with a rule for each bad status; results beyond those that GitHub takes are counted in a notification."""

    suffix = ".sarif"

    def render(self, report: Report) -> Iterator[str]:
        """The rules, the results one by one, and how many there are."""
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
    return {"name": "hf-sign", "version": report.version, "rules": [_descriptor(word) for word in _RULES]}


def _descriptor(word: str) -> dict[str, Any]:
    status, rule = STATUSES[word], _RULES[word]
    text = f"{status.meaning} {rule.help}"
    return {
        "id": word,
        "name": f"Repository{word.capitalize()}",
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
        for word in dict.fromkeys((record.status, *record.findings)):
            if word in _RULES:
                yield _result(record, word, order.index(word))


def _result(record: Record, word: str, index: int) -> dict[str, Any]:
    said = record.reason if word == record.status and record.reason else STATUSES[word].meaning
    location = {"artifactLocation": {"uri": _path(record)}, "region": {"startLine": 1}}
    return {
        "ruleId": word,
        "ruleIndex": index,
        "level": _RULES[word].level,
        "message": {"text": _escaped(f"{record.kind} {record.name}: {said}")},
        "locations": [{"physicalLocation": location}],
        # GitHub cannot make one, as the file is not in the repository that it scans.
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(record, word)},
    }


def _path(record: Record) -> str:
    """A relative path that stays where it is, whatever the name says."""
    parts = [part if part.strip(".") else "_" for part in one_line(record.name).split("/")]
    return _PREFIXES.get(record.kind, "") + "/".join(quote(part, safe="") for part in (*parts, "model.sig"))


def _fingerprint(record: Record, word: str) -> str:
    named = json.dumps([record.kind, record.name, word]).encode()
    return f"{hashlib.sha256(named).hexdigest()[:16]}:1"


def _escaped(text: str) -> str:
    """Text without links and placeholders (SARIF 2.1.0, sections 3.11.5 and 3.11.6)."""
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
