"""The audit of a repository: is it signed, by whom, and does the signature still match its files?"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from hf_model_signing.errors import MissingSignatureError, VerificationError
from hf_model_signing.hub.listing import compare_listing, covered, is_comparable
from hf_model_signing.hub.signature import read_signature
from hf_model_signing.hub.small_files import compare_small_files
from hf_model_signing.methods.claimed_signer import claimed_signer
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import Difference, compare
from hf_model_signing.oms.names import EXEMPT_FILES, SIGNATURE_NAME
from hf_model_signing.oms.statement import Statement
from hf_model_signing.organisation.journal import Entry
from hf_model_signing.organisation.outcomes import flat
from hf_model_signing.organisation.records import reference_of, with_files, with_statement
from hf_model_signing.organisation.repositories import Repositories
from hf_model_signing.organisation.tasks.interface import TaskResult
from hf_model_signing.policy.rollback import RollbackRecord
from hf_model_signing.policy.rules import Rule
from hf_model_signing.policy.trust_policy import Policy
from hf_model_signing.report.interface import Record
from hf_model_signing.report.statuses import Finding, Status
from hf_model_signing.verifying import Coverage, check_subject, expected_files, ignored_paths
from hub_adapters.errors import NotFoundError
from hub_adapters.interface import RemoteFile, Resolved

_UNKNOWN = (
    "whether its large files are what was signed cannot be told without a download: it was signed with another hash "
    "than the hub tells, and the signature names no revision that is still there; `hf-sign pull` finds out"
)
Listing = Mapping[str, RemoteFile]


class AuditTask:
    """Audits a repository. With a `policy` it also says if the policy accepts the signer."""

    def __init__(self, repositories: Repositories, policy: Policy | None) -> None:
        self._repositories, self._policy = repositories, policy
        self._adapter = repositories.adapter
        self._verifiers: dict[Rule, Verifier] = {}
        self._lock = threading.Lock()

    def __call__(self, entry: Entry) -> TaskResult:
        """Return the record with all findings."""
        resolved = self._repositories.resolve(entry)
        record = self._audited(replace(entry.record, revision=resolved.commit), resolved)
        return TaskResult(record, head=resolved.commit)

    def _audited(self, record: Record, resolved: Resolved) -> Record:
        listing = self._adapter.remote_manifest(resolved)
        if SIGNATURE_NAME not in listing and not listing.keys() - EXEMPT_FILES:
            return with_files(replace(record, status=Status.EMPTY), listing)
        try:
            bundle = read_signature(self._adapter, resolved, listing)
            statement = Statement.parse(bundle.payload)  # not verified yet
        except MissingSignatureError:
            return with_files(_found(record, [Finding.UNSIGNED]), listing)
        except VerificationError as error:
            return with_files(
                _found(record, [Finding.INVALID, Finding.UNSIGNED, Finding.UNTRUSTED], [str(error)]), listing
            )
        record, findings, reasons = self._trusted(with_statement(record, statement, method=bundle.method), bundle)
        difference = self._difference(statement, resolved, listing)
        if difference is None or difference:
            findings.append(Finding.STALE)
            reasons.append(f"it has changed since it was signed: {difference.describe()}" if difference else _UNKNOWN)
        return with_files(_found(record, findings, reasons), listing, statement, difference)

    def _trusted(self, record: Record, bundle: Bundle) -> tuple[Record, list[Finding], list[str]]:
        """Return the record with its signer, and findings and reasons; the policy decides if there is one."""
        if self._policy is None:
            return self._claimed(record, bundle)
        try:
            rule = self._policy.rule_for(record.uri)
            if rule.unsigned:
                return self._claimed(record, bundle)
            verifier = self._verifier(rule, record.uri)
            verified = verifier.verify(bundle)
        except VerificationError as error:
            record, findings, reasons = self._claimed(replace(record, verified=False), bundle)
            return (record, findings, reasons) if findings else (record, [Finding.UNTRUSTED], [str(error)])
        record = replace(record, signer=verified.signer, verified=False)
        try:
            check_subject(verified.statement, record.uri)
        except VerificationError as error:
            return record, [Finding.INVALID, Finding.UNTRUSTED], [str(error)]
        try:
            self._check_conditions(record, rule, verifier, verified)
        except VerificationError as error:
            return record, [Finding.UNTRUSTED], [str(error)]
        return replace(record, verified=True), [], []

    def _claimed(self, record: Record, bundle: Bundle) -> tuple[Record, list[Finding], list[str]]:
        """Return the record with the signer that the signature claims, and findings and reasons against the claim."""
        try:
            record = replace(record, signer=claimed_signer(bundle))
            check_subject(Statement.parse(bundle.payload), record.uri)
        except MissingSignatureError as error:
            return replace(record, verified=False), [Finding.UNSIGNED, Finding.UNTRUSTED], [str(error)]
        except VerificationError as error:
            return replace(record, verified=False), [Finding.INVALID, Finding.UNTRUSTED], [str(error)]
        return record, [], []

    def _check_conditions(self, record: Record, rule: Rule, verifier: Verifier, verified: Verified) -> None:
        """Raise `VerificationError` if a pull would refuse a signature that the rule of the policy accepts."""
        check_subject(verified.statement, record.uri, by_name=rule.by_name)
        if not rule.allow_rollback:
            branch_key = self._adapter.branch_key(reference_of(record, None))
            how = "If going back is meant, say allow_rollback in its rule"
            RollbackRecord.check_all(branch_key, verifier, verified, commit=record.revision, how_to_go_back=how)

    def _verifier(self, rule: Rule, uri: str) -> Verifier:
        """Return the verifier of a rule, made once unless it differs by repository."""
        if rule.first_use:
            return rule.verifier(uri)
        with self._lock:
            if rule not in self._verifiers:
                self._verifiers[rule] = rule.verifier(uri)
            return self._verifiers[rule]

    def _difference(self, statement: Statement, resolved: Resolved, listing: Listing) -> Difference | None:
        """Compare the files with the manifest; None if that needs a download. Small files are read."""
        manifest = statement.manifest
        expected = expected_files(manifest, Coverage())
        files = covered(listing, ignored_paths(manifest, Coverage()) | {SIGNATURE_NAME})
        difference = compare_listing(expected, manifest.serialization, files)
        if difference:
            return difference
        how = manifest.serialization
        difference = compare_small_files(self._adapter, resolved, files.values(), expected=expected, how=how)
        return difference or self._other_hashes(statement, resolved, files)

    def _other_hashes(self, statement: Statement, resolved: Resolved, files: Listing) -> Difference | None:
        """Compare large files with the signed revision, if they were signed with another hash than the hub lists."""
        how = statement.manifest.serialization
        large = {path: file for path, file in files.items() if file.sha256 and not is_comparable(file, how)}
        if not large:
            return Difference()
        revision = statement.revision
        try:
            signed = self._adapter.remote_manifest(replace(resolved, commit=revision)) if revision else {}
        except NotFoundError:
            signed = {}
        if not large.keys() <= signed.keys():
            return None
        return compare(*({path: (tree[path].sha256 or "").encode() for path in large} for tree in (signed, files)))


def _found(record: Record, findings: list[Finding], reasons: list[str] | None = None) -> Record:
    """Return the record with the findings, the worst of which is its status."""
    ordered = tuple(finding for finding in Finding if finding in findings)
    status = ordered[0].status if ordered else Status.SIGNED
    return replace(record, status=status, findings=ordered, reason=flat("\n".join(reasons or ())))
