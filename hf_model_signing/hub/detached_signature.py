"""A signature that lies apart from its model: a file on this disk, or one that an address serves."""

from __future__ import annotations

import os

from hf_model_signing._util.paths import file_name
from hf_model_signing.errors import BundleError
from hf_model_signing.oms.bundle import Bundle
from hub_adapters.http.urls import shown
from hub_adapters.interface import FetchOptions

MAX_SIGNATURE = 64 * 1024 * 1024  # bytes; a larger one is not even downloaded


def is_address(signature: str | os.PathLike[str]) -> bool:
    """Whether the signature has to be downloaded."""
    return "://" in os.fspath(signature)


def read_signature(signature: str | os.PathLike[str], options: FetchOptions | None = None) -> Bundle:
    """The bundle at a path or an address; raises `BundleError` for what is none, `HubError` when it cannot be had."""
    where = file_name(signature, "signature")
    if not is_address(where):
        return Bundle.read(where)
    from hub_adapters.http.download import read_small

    data = read_small(where, MAX_SIGNATURE, "signature", options or FetchOptions())
    try:
        return Bundle.parse(data)
    except BundleError as error:
        raise BundleError(f"'{shown(where)}': {error}") from error
