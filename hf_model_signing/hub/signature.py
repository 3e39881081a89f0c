"""The signature beside a model on a hub."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hf_model_signing.errors import MissingSignatureError, RefusedError, VerificationError
from hf_model_signing.hashing.file_tree import describe_file
from hf_model_signing.hub.detached_signature import MAX_SIGNATURE
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.names import SIGNATURE_NAME
from hub_adapters.interface import HubAdapter, RemoteFile, Resolved


def fetch_signature(adapter: HubAdapter, resolved: Resolved, listing: Mapping[str, RemoteFile]) -> Bundle:
    """Download and parse the `model.sig` of a revision.

    Raises `MissingSignatureError` when it is missing, `VerificationError` when it is malformed; a malformed one is
    removed from the cache.
    """
    snapshot = adapter.fetch(resolved, [_listed(resolved, listing)])
    path = os.path.join(snapshot.path, SIGNATURE_NAME)
    try:
        describe_file(path)
        return Bundle.read(path)
    except RefusedError:
        adapter.discard(snapshot, snapshot.fresh)
        raise


def read_signature(adapter: HubAdapter, resolved: Resolved, listing: Mapping[str, RemoteFile]) -> Bundle:
    """Read the `model.sig` of a revision without storing it in a cache; raises as `fetch_signature` does."""
    return Bundle.parse(adapter.read(resolved, _listed(resolved, listing)))


def _listed(resolved: Resolved, listing: Mapping[str, RemoteFile]) -> RemoteFile:
    where = str(resolved.reference)
    if SIGNATURE_NAME not in listing:
        raise MissingSignatureError(f"'{where}' is not signed: it has no {SIGNATURE_NAME} at {resolved.commit}")
    if listing[SIGNATURE_NAME].size > MAX_SIGNATURE:
        raise VerificationError(f"the {SIGNATURE_NAME} of '{where}' is larger than any signature can be")
    return listing[SIGNATURE_NAME]
