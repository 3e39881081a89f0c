"""The signature of a commit: downloaded, verified by the policy, checked for a rollback, and recorded at the end."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hf_model_signing.errors import MissingSignatureError, RefusedError, VerificationError
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.request import Request, reason_of
from hf_model_signing.guarding.checks.state import CallState, SignatureFile
from hf_model_signing.guarding.environment import Mode
from hf_model_signing.guarding.own_calls import own_calls
from hf_model_signing.hashing.file_tree import describe_file, state_of
from hf_model_signing.hub.detached_signature import MAX_SIGNATURE
from hf_model_signing.methods.interface import Verified
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.policy.rollback import RollbackRecord
from hf_model_signing.verifying import check_subject
from hub_adapters.huggingface.cache import discard
from hub_adapters.interface import Snapshot


def is_unsigned(error: BaseException) -> bool:
    """Return True if a signature was not accepted because the hub says that there is none."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    cause = error.__cause__
    return isinstance(cause, EntryNotFoundError) and not isinstance(cause, LocalEntryNotFoundError)


@dataclass(frozen=True)
class SignatureCheck:
    """The check of the signature that one call needs."""

    decider: Decider
    request: Request
    call: CallState

    def accept(self, commit: str) -> None:
        """Accept the signature of a commit; raise `VerificationError` if it has none that the policy accepts.

        Refuses the signature of another repository, and a rollback. A signature that this call downloaded does not
        stay in the cache if it is refused.
        """
        cache = self.request.cache
        path = cache.signature(commit)
        old_blobs = None if os.path.exists(path) else cache.blobs()
        if old_blobs is not None:
            self._download(commit)
        try:
            verified = self._verify(path, commit)
            self._check_not_denied(verified, commit)
            self._check_rollback(verified, commit)
        except RefusedError:
            if old_blobs is not None and self.decider.mode is Mode.ENFORCE:
                discard(Snapshot(cache.snapshot(commit), commit, old_blobs=old_blobs), {SIGNATURE_NAME})
            raise
        self.call.accept_signature(commit, verified)

    def record(self, facts: Facts) -> None:
        """Pin the signer if the policy trusts the first use, and advance the rollback record."""
        verified, commit = self.call.signature, self.call.commit
        self.decider.verifier(self.request.uri).pin(verified)
        branch = self._branch(commit)
        if branch is not None:
            RollbackRecord.of(self._branch_key(branch), verified).advance(verified.statement, commit)
        facts.update(commit=commit, signer=verified.signer)

    def _download(self, commit: str) -> None:
        """Download the signature into the client's cache; raise `MissingSignatureError` if there is none."""
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

        where = f"'{self.request.uri}' at {commit}"
        try:
            size = self.request.download_signature(commit, dry_run=True).file_size
            if size is not None and size > MAX_SIGNATURE:
                raise VerificationError(f"the {SIGNATURE_NAME} of {where} is larger than any signature can be")
            self.request.download_signature(commit)
        except LocalEntryNotFoundError as error:
            raise MissingSignatureError(
                f"there is no {SIGNATURE_NAME} of {where} on this disk, and {self._why_not_downloaded(error)}. Load it "
                "once with the hub in reach"
            ) from error
        except EntryNotFoundError as error:
            raise MissingSignatureError(
                f"{where} is not signed: it has no {SIGNATURE_NAME}; its owner signs it with `hf-sign push`"
            ) from error
        except (HfHubHTTPError, OSError) as error:
            raise MissingSignatureError(
                f"the {SIGNATURE_NAME} of {where} cannot be downloaded: {reason_of(error)}"
            ) from error

    def _why_not_downloaded(self, error: BaseException) -> str:
        if self.request.is_local:
            return "the call asks for nothing else (local_files_only)"
        return f"the hub cannot serve it now: {reason_of(error)}"

    def _verify(self, path: str, commit: str) -> Verified:
        """Verify the signature in a file, unless this process has verified it and the file has not changed."""
        uri, state = self.request.uri, self.decider.state
        known = self._known(path)
        if known is not None:
            return known
        file = describe_file(path)
        rule = self.decider.policy.rule_for(uri)
        with own_calls():
            verified = self.decider.verifier(uri).verify(Bundle.read(path))
        check_subject(verified.statement, uri, by_name=rule.by_name)
        state.record_signature(uri, path, SignatureFile(commit, file, verified))
        return verified

    def _known(self, path: str) -> Verified | None:
        """Return the signature in a file that this process has verified, if the file has not changed since."""
        try:
            target = state_of(os.stat(path))
        except OSError:
            return None
        return self.decider.state.signature(self.request.uri, path, target)

    def _check_not_denied(self, verified: Verified, commit: str) -> None:
        """Raise `VerificationError` if the hub denied this signature when it listed the files to the program."""
        branch, signed_at = self._branch(commit), verified.statement.signed_at
        denied = max(self.decider.state.unsigned_at(self.request.uri, each) for each in (branch, commit))
        if denied and signed_at < denied:
            raise VerificationError(
                f"the hub listed the files of '{self.request.uri}' to this program before, and said that they are not "
                f"signed. They have been since {signed_at or 'an unknown time'}, so files may be missing in that list. "
                "Start the program again"
            )

    def _check_rollback(self, verified: Verified, commit: str) -> None:
        branch = self._branch(commit)
        if branch is None or self.decider.policy.rule_for(self.request.uri).allow_rollback:
            return
        how = "If going back is meant, name the commit as the revision, or set allow_rollback = true in the policy"
        verifier = self.decider.verifier(self.request.uri)
        RollbackRecord.check_all(self._branch_key(branch), verifier, verified, commit=commit, how_to_go_back=how)

    def _branch(self, commit: str) -> str | None:
        """Return the branch or tag that is asked for; None if the program means this commit."""
        if self.request.revision != commit:
            return self.request.revision
        # A library that resolves a branch itself and asks for the commit means the branch.
        return self.decider.state.branch_of(self.request.uri, commit)

    def _branch_key(self, branch: str) -> str:
        return f"{self.request.endpoint} {self.request.uri}@{branch}"
