"""The REFERENCE of a command, a path or something on a hub, as the statement that a signature of it would make."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hf_model_signing.cli import output
from hf_model_signing.cli.options import how_to_hash, ignored_below
from hf_model_signing.errors import UsageError

if TYPE_CHECKING:
    from hf_model_signing.hashing import Progress
    from hf_model_signing.methods.interface import Signer
    from hf_model_signing.receipts import Receipts
    from hf_model_signing.signing import HowToHash
    from hf_model_signing.statement import Statement
    from hub_adapters.interface import HubAdapter, Reference


def check_there(reference: str) -> None:
    """Raise `UsageError` for a path at which nothing is, before anybody is asked for a signature."""
    from hf_model_signing.signing import no_model
    from hub_adapters import find_adapter

    if not os.path.exists(reference) and find_adapter(reference) is None:
        raise UsageError(no_model(reference))


def statement_of(
    values: dict[str, Any],
    progress: Progress | None,
    left_out: Iterable[str] = (),
    signer: Signer | None = None,
) -> Statement:
    """Hash what `values["reference"]` names, as the manifest options say; `left_out` is ignored besides.

    For a `signer` receipts are kept, and the digests of an earlier signature of it are taken as `--reuse` says.
    """
    from hub_adapters import find_adapter

    remote = find_adapter(values["reference"])
    if remote:
        return _of_hub(remote, values, progress, signer)
    return _of_path(values, progress, left_out, signer)


def _receipts(how: HowToHash, values: dict[str, Any], signer: Signer | None) -> Receipts | None:
    from hf_model_signing.signing import receipts_for

    if signer is None:
        return None
    return receipts_for(how.serialization(""), signer, values.get("reuse"), note=output.note)


def _of_path(
    values: dict[str, Any], progress: Progress | None, left_out: Iterable[str], signer: Signer | None
) -> Statement:
    from hf_model_signing.signing import make_manifest
    from hf_model_signing.statement import Statement

    model = values["reference"]
    how = how_to_hash(values, (*ignored_below(model, values["ignore_paths"]), *left_out))
    return Statement(make_manifest(model, how, progress=progress, receipts=_receipts(how, values, signer)))


def _of_hub(
    remote: tuple[HubAdapter, Reference], values: dict[str, Any], progress: Progress | None, signer: Signer | None
) -> Statement:
    from hf_model_signing.hub_manifest import HubModel, Take
    from hf_model_signing.pushing import check_canonical_name

    adapter, reference = remote
    resolved = adapter.resolve(reference)
    check_canonical_name(resolved, output.note)
    take = Take(how=how_to_hash(values, values["ignore_paths"]))
    return HubModel(adapter, resolved, take, progress, _receipts(take.how, values, signer)).statement()
