"""From a model that a hub serves only as a whole to the statement about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.oms.statement import SIGNED_AT, Statement, signing_time
from hf_model_signing.signing import HowToHash, make_manifest
from hub_adapters.interface import FetchOptions, HubAdapter, Reference

if TYPE_CHECKING:
    from hf_model_signing.hashing.receipts import Receipts


def fetched_statement(
    adapter: HubAdapter,
    reference: Reference,
    how: HowToHash,
    options: FetchOptions,
    *,
    progress: Progress | None = None,
    receipts: Receipts | None = None,
) -> Statement:
    """Download and hash `reference`; the statement has manifest, hub reference, download facts and time.

    Raises `HubError` when the download fails, `ModelError` when the model cannot be signed.
    """
    snapshot = adapter.fetch(adapter.resolve(reference), options=options)
    manifest = make_manifest(snapshot.path, how, progress=progress, receipts=receipts)
    return Statement(manifest, reference.uri, {**snapshot.pins, SIGNED_AT: signing_time()})
