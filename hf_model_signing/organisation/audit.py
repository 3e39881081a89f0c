"""Look at all repositories of an organisation and change nothing: what is signed, by whom, and does it still fit?"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from hf_model_signing.errors import MissingSignatureError, VerificationError
from hf_model_signing.hub.listing import compare_listing, covered, is_told
from hf_model_signing.hub.signature import read_signature
from hf_model_signing.hub.small_files import hash_small_files
from hf_model_signing.methods.claimed_signer import claimed_signer
from hf_model_signing.methods.interface import Verified, Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import Difference, compare
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.oms.statement import REVISION, Statement
from hf_model_signing.organisation.journal import LISTED, Entry, Journal
from hf_model_signing.organisation.outcomes import flat
from hf_model_signing.organisation.records import HARMLESS, reference_of, with_files, with_statement
from hf_model_signing.organisation.run import OrganisationRun
from hf_model_signing.organisation.selection import Selection
from hf_model_signing.policy.rollback import RollbackRecord
from hf_model_signing.policy.rules import Rule
from hf_model_signing.policy.trust_policy import Policy
from hf_model_signing.report.interface import Record, Report
from hf_model_signing.report.statuses import STATUSES
from hf_model_signing.verifying import Coverage, check_subject, expected_files, ignored_paths
from hub_adapters.errors import NotFoundError
from hub_adapters.huggingface.adapter import HuggingFaceAdapter
from hub_adapters.interface import RemoteFile, Resolved

_UNTOLD = (
    "whether its large files are what was signed cannot be told without a download: it was signed with another hash "
    "than the hub tells, and the signature names no revision that is still there; `hf-sign pull` finds out"
)
Listing = Mapping[str, RemoteFile]


class Audit(OrganisationRun):
    """An audit of what `owner` has on a hub. With a `policy` it says as well which signers that accepts.

    Call `collect`, then `look`. `findings` counts what was found.
    """

    def __init__(
        self,
        adapter: HuggingFaceAdapter,
        owner: str,
        *,
        policy: Policy | None = None,
        selection: Selection | None = None,
        jobs: int = 8,
        ended: Callable[[Record], None] = lambda _: None,
    ) -> None:
        """Nothing is asked yet; what is found is kept on disk until `close`."""
        chosen = selection or Selection()
        super().__init__(adapter, owner, journal=Journal("", owner=owner), selection=chosen, jobs=jobs, ended=ended)
        self._policy = policy
        self._verifiers: dict[Rule, Verifier] = {}
        self._lock = threading.Lock()
        self.findings: Counter[str] = Counter()

    def look(self) -> None:
        """Look at each of them."""
        self._work_off(LISTED, self._look)

    def done(self) -> Report:
        """What was found."""
        return self.report("audit", policy=self._policy.path if self._policy else "")

    def _look(self, entry: Entry) -> None:
        with self._turn(entry, LISTED):
            resolved = self._resolved(entry)
            record = self._judged(replace(entry.record, revision=resolved.commit), resolved)
            self._end(record, head=resolved.commit)
            with self._lock:
                self.findings.update(record.findings)

    def _judged(self, record: Record, resolved: Resolved) -> Record:
        listing = self._adapter.remote_manifest(resolved)
        if SIGNATURE_NAME not in listing and not listing.keys() - HARMLESS:
            return with_files(replace(record, status="empty"), listing)
        try:
            bundle = read_signature(self._adapter, resolved, listing)
            statement = Statement.parse(bundle.payload)  # what it says; whether that is true comes next
        except MissingSignatureError:
            return with_files(_found(record, ["unsigned"]), listing)
        except VerificationError as error:
            return with_files(_found(record, ["invalid", "unsigned", "untrusted"], [str(error)]), listing)
        record, findings, reasons = self._trusted(with_statement(record, statement, method=bundle.method), bundle)
        difference = self._difference(statement, resolved, listing)
        if difference is None or difference:
            findings.append("stale")
            reasons.append(f"it has changed since it was signed: {difference.describe()}" if difference else _UNTOLD)
        return with_files(_found(record, findings, reasons), listing, statement, difference)

    def _trusted(self, record: Record, bundle: Bundle) -> tuple[Record, list[str], list[str]]:
        """The record with who signed, and what there is against it; where there is a policy, that decides."""
        if self._policy is None:
            return self._claimed(record, bundle)
        try:
            rule = self._policy.rule_for(record.uri)
            verifier = self._verifier(rule, record.uri)
            verified = verifier.verify(bundle)
        except VerificationError as error:
            record, findings, reasons = self._claimed(replace(record, verified=False), bundle)
            return (record, findings, reasons) if findings else (record, ["untrusted"], [str(error)])
        record = replace(record, signer=verified.signer, verified=False)
        try:
            check_subject(verified.statement, record.uri)
        except VerificationError as error:
            return record, ["invalid", "untrusted"], [str(error)]
        try:
            self._check_conditions(record, rule, verifier, verified)
        except VerificationError as error:
            return record, ["untrusted"], [str(error)]
        return replace(record, verified=True), [], []

    def _claimed(self, record: Record, bundle: Bundle) -> tuple[Record, list[str], list[str]]:
        """The record with who claims to have signed, and what there is against that."""
        try:
            record = replace(record, signer=claimed_signer(bundle))
            check_subject(Statement.parse(bundle.payload), record.uri)
        except MissingSignatureError as error:
            return replace(record, verified=False), ["unsigned", "untrusted"], [str(error)]
        except VerificationError as error:
            return replace(record, verified=False), ["invalid", "untrusted"], [str(error)]
        return record, [], []

    def _check_conditions(self, record: Record, rule: Rule, verifier: Verifier, verified: Verified) -> None:
        """Raise `VerificationError` where a pull would refuse a signature that the policy's rule accepts."""
        check_subject(verified.statement, record.uri, by_name=rule.by_name)
        if not rule.allow_rollback:
            place = self._adapter.place(reference_of(record, None))
            how = "If going back is meant, say allow_rollback in its rule"
            RollbackRecord.check_all(place, verifier, verified, commit=record.revision, how_to_go_back=how)

    def _verifier(self, rule: Rule, uri: str) -> Verifier:
        """The verifier of a rule, made once unless it is another one for each repository."""
        if rule.first_use:
            return rule.verifier(uri)
        with self._lock:
            if rule not in self._verifiers:
                self._verifiers[rule] = rule.verifier(uri)
            return self._verifiers[rule]

    def _difference(self, statement: Statement, resolved: Resolved, listing: Listing) -> Difference | None:
        """What separates the tree from what was signed, and None when that cannot be told; small files are read."""
        manifest = statement.manifest
        expected = expected_files(manifest, Coverage())
        files = covered(listing, ignored_paths(manifest, Coverage()) | {SIGNATURE_NAME})
        difference = compare_listing(expected, manifest.serialization, files)
        if difference:
            return difference
        unlisted = [file for file in files.values() if file.sha256 is None]
        found = hash_small_files(self._adapter, resolved, unlisted, manifest.serialization)
        signed = {path: expected[path] for path in found}
        difference = compare(signed, {path: file.digest for path, file in found.items()})
        return difference or self._other_hashes(statement, resolved, files)

    def _other_hashes(self, statement: Statement, resolved: Resolved, files: Listing) -> Difference | None:
        """Compare large files, of which the hub tells another hash than was signed, with the revision that was."""
        how = statement.manifest.serialization
        large = {path: file for path, file in files.items() if file.sha256 and not is_told(file, how)}
        if not large:
            return Difference()
        before = statement.annotations.get(REVISION, "")
        try:
            then = self._adapter.remote_manifest(replace(resolved, commit=before)) if before else {}
        except NotFoundError:
            then = {}
        if not large.keys() <= then.keys():
            return None
        return compare(*({path: (tree[path].sha256 or "").encode() for path in large} for tree in (then, files)))


def _found(record: Record, findings: list[str], reasons: list[str] | None = None) -> Record:
    """The record with what was found, of which the worst is its status."""
    ordered = tuple(word for word in STATUSES if word in findings)
    return replace(record, status=(*ordered, "signed")[0], findings=ordered, reason=flat("\n".join(reasons or ())))
