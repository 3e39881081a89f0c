"""A signature that is not beside its model: a bundle, a file on this machine, or one at a URL."""

from __future__ import annotations

import os

from hf_model_signing._util.paths import file_name
from hf_model_signing.errors import BundleError
from hf_model_signing.oms.bundle import Bundle
from hub_adapters.http.urls import shown
from hub_adapters.interface import FetchOptions

MAX_SIGNATURE = 64 * 1024 * 1024  # bytes; a larger one is not downloaded


def is_address(signature: str | os.PathLike[str]) -> bool:
    """Return True if the signature has to be downloaded."""
    return "://" in os.fspath(signature)


def read_signature(signature: str | os.PathLike[str] | Bundle, options: FetchOptions | None = None) -> Bundle:
    """Return a bundle, or the one at a path or a URL; raises `BundleError` if malformed, `HubError` if unavailable."""
    if isinstance(signature, Bundle):
        return signature
    where = file_name(signature, "signature")
    if not is_address(where):
        return Bundle.read(where)
    from hub_adapters.http.download import read_small

    data = read_small(where, MAX_SIGNATURE, "signature", options or FetchOptions())
    try:
        return Bundle.parse(data)
    except BundleError as error:
        raise BundleError(f"'{shown(where)}': {error}") from error
