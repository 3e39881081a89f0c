"""The REFERENCE of a command, a path or something on a hub, as the statement that a signature of it would make."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hf_model_signing.cli import output
from hf_model_signing.cli.options import how_to_fetch, how_to_hash, ignored_below, on_hub
from hf_model_signing.errors import UsageError

if TYPE_CHECKING:
    from hf_model_signing.cli.progress import Bars
    from hf_model_signing.hashing.receipts import Receipts
    from hf_model_signing.methods.interface import Signer
    from hf_model_signing.oms.statement import Statement
    from hf_model_signing.signing import HowToHash
    from hub_adapters.interface import HubAdapter, Reference


def check_there(values: dict[str, Any]) -> None:
    """Raise `UsageError` for a path at which nothing is, before anybody is asked for a signature."""
    from hf_model_signing.signing import no_model

    if on_hub(values) is None and not os.path.exists(values["reference"]):
        raise UsageError(no_model(values["reference"]))


def label(reference: str) -> str:
    """A reference as it may be shown: of an address only what holds no secret."""
    from hub_adapters.http.urls import shown

    return shown(reference) if reference.lower().startswith(("http://", "https://")) else reference


def statement_of(
    values: dict[str, Any],
    progress: Bars | None,
    left_out: Iterable[str] = (),
    signer: Signer | None = None,
) -> Statement:
    """Hash what `values["reference"]` names, as the manifest options say; `left_out` is ignored besides.

    For a `signer` receipts are kept, and the digests of an earlier signature of it are taken as `--reuse` says.
    """
    remote = on_hub(values)
    if remote:
        return _of_hub(remote, values, progress, signer)
    return _of_path(values, progress, left_out, signer)


def _receipts(how: HowToHash, values: dict[str, Any], signer: Signer | None) -> Receipts | None:
    from hf_model_signing.signing import receipts_for

    if signer is None:
        return None
    return receipts_for(how.serialization(""), signer, values.get("reuse"), note=output.note)


def _of_path(
    values: dict[str, Any], progress: Bars | None, left_out: Iterable[str], signer: Signer | None
) -> Statement:
    from hf_model_signing.oms.statement import Statement
    from hf_model_signing.signing import make_manifest

    model = values["reference"]
    how = how_to_hash(values, (*ignored_below(model, values["ignore_paths"]), *left_out))
    return Statement(make_manifest(model, how, progress=progress, receipts=_receipts(how, values, signer)))


def _of_hub(
    remote: tuple[HubAdapter, Reference], values: dict[str, Any], progress: Bars | None, signer: Signer | None
) -> Statement:
    from hf_model_signing.hub.push import check_canonical_name
    from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision

    adapter, reference = remote
    how = how_to_hash(values, values["ignore_paths"])
    receipts = _receipts(how, values, signer)
    if not adapter.lists_files:
        from hf_model_signing.hub.downloaded import fetched_statement

        options = how_to_fetch(values, progress)
        return fetched_statement(adapter, reference, how, options, progress=progress, receipts=receipts)
    resolved = adapter.resolve(reference)
    check_canonical_name(resolved, output.note)
    return RepositoryAtRevision(adapter, resolved, DigestSource(how=how), progress, receipts).statement()
