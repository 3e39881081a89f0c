"""The signature that a repository already has: who made it, and whether it still matches the repository."""

from __future__ import annotations

from collections.abc import Callable

from hf_model_signing._util.text import show
from hf_model_signing.errors import HfSignError, MissingSignatureError, OtherSignerError, VerificationError
from hf_model_signing.hub.listing import compare_listing
from hf_model_signing.hub.repository import RepositoryAtRevision
from hf_model_signing.hub.signature import read_signature
from hf_model_signing.methods.interface import Signer
from hf_model_signing.oms.bundle import UNSIGNED, Bundle
from hf_model_signing.oms.names import SIGNATURE_NAME
from hf_model_signing.oms.statement import DIGESTS_FROM, Statement

REPLACED = f"the {SIGNATURE_NAME} that is there will be replaced"


def existing_signature(model: RepositoryAtRevision, note: Callable[[str], None]) -> Bundle | None:
    """Return the signature on the hub; None if it is missing, malformed or unsigned, and `note` says which."""
    try:
        bundle = read_signature(model.adapter, model.resolved, model.listing)
    except MissingSignatureError:
        return None
    except VerificationError as error:
        note(f"{REPLACED}: {error}")
        return None
    if bundle.method == UNSIGNED:
        note(f"{REPLACED}: nobody signed it")
        return None
    return bundle


def own_statement(bundle: Bundle, signer: Signer, uri: str) -> Statement:
    """Return the statement of an earlier signature of `signer` for the repository `uri`.

    Raises `OtherSignerError` if the signer did not make it, without a sign-in if another method did.
    """
    try:
        if bundle.method != signer.method:
            raise VerificationError(f"it was signed with the method '{bundle.method}', and this is '{signer.method}'")
        return signer.verifier().verify(bundle).statement
    except VerificationError as error:
        raise OtherSignerError(
            f"'{show(uri)}' has a {SIGNATURE_NAME} that this signer did not make: {error}\n"
            "  to put yours in its place, run the same command with --replace-others",
            str(error),
        ) from error


def claims_to_be_current(bundle: Bundle, model: RepositoryAtRevision) -> bool:
    """Return True if the statement of an unverified signature matches the repository at this revision."""
    try:
        return is_current(Statement.parse(bundle.payload), model)
    except VerificationError:
        return False


def is_current(existing: Statement, model: RepositoryAtRevision) -> bool:
    """Return True if a verified statement matches the repository at this revision.

    The listing of the hub decides where it can, so that nothing large is downloaded. Digests that came from the hub are
    a weaker claim than hashed ones and do not stand in for them.
    """
    weaker = DIGESTS_FROM in existing.annotations and not model.digest_source.remote
    if weaker or existing.uri != model.resolved.uri or existing.manifest.serialization != model.serialization:
        return False
    if compare_listing(existing.manifest.digests, existing.manifest.serialization, model.files):
        return False
    # A local copy that the user named is always hashed.
    listed = model.digest_source.folder is None and model.can_be_listed
    now = model.listed_manifest() if listed else model.manifest()
    return existing.manifest.digests == now.digests


def check_clock(statement: Statement, existing: Statement | None) -> None:
    """Raise `HfSignError` if the clock of this machine is behind the signing time of the existing signature."""
    before, now = existing.signed_at if existing else "", statement.signed_at
    if before > now:
        raise HfSignError(
            f"the signature that is there was made at {before}, and this machine says it is {now}: set its clock, "
            "or everybody will take the new signature for the older one"
        )
