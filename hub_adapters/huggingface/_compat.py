"""Private parts of `huggingface_hub` and of its HTTP library: the only module of ours that touches them.

The functions that the guard replaces are in a table of their own, `hf_model_signing/guarding/hooked_functions.py`.

`huggingface_hub` 1.x is built on `httpx`, 2.x on `httpx2`, a successor with the same classes. Everything here was seen
in `huggingface_hub` 1.33.0 (with `httpx` 0.28.1) and 2.4.0 (with `httpx2` 2.16.2).
`tests/hub_adapters/huggingface/test_compat.py` fails with the name of a part that a release no longer has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


def client_factory() -> Callable[[], Any]:
    """Return the function that makes the HTTP client which all of `huggingface_hub` shares.

    `set_client_factory` is public, but there is no public way to read what it has set, and our own factory has to call
    the one that a program has set before.
    """
    from huggingface_hub.utils import _http

    factory: Callable[[], Any] = _http._GLOBAL_CLIENT_FACTORY
    return factory


def has_transports(client: Any) -> bool:  # noqa: ANN401 - a client of either HTTP library
    """Return whether `wrap_transports` can be used; a program may have set a client of another kind."""
    return hasattr(client, "_transport")


def wrap_transports(client: Any, wrap: Callable[[Any], Any]) -> None:  # noqa: ANN401 - as above
    """Replace each transport of `client` with what `wrap` makes of it.

    Only transports see every request, redirects and retries included. The public way is an argument of the constructor,
    which the program's own factory has called already. Proxies are transports that are mounted for some URLs.
    """
    client._transport = wrap(client._transport)
    mounts = getattr(client, "_mounts", {})
    for pattern, transport in list(mounts.items()):
        if transport is not None:  # None means the transport of the client
            mounts[pattern] = wrap(transport)


def wrap_storage_sessions(wrap: Callable[[Any], Any]) -> None:
    """Let the client use what `wrap` makes of its sessions of `hf_xet`, of which it has one for each process."""
    from huggingface_hub.utils import _xet

    own: Callable[[], Any] = _xet.get_xet_session
    if own.__module__ != __name__:

        def get_xet_session() -> Any:  # noqa: ANN401 - of hf_xet
            return wrap(own())

        _xet.get_xet_session = get_xet_session


def meter_body(response: Any, count: Callable[[bytes], None]) -> None:  # noqa: ANN401 - of either HTTP library
    """Call `count` with each piece of the body of `response` when it is decoded, before anybody gets it.

    The library has no such hook; it decodes with an object that it makes at the first read.
    """
    response._decoder = _MeteredDecoder(response._get_content_decoder(), count)


class _MeteredDecoder:
    """A decoder of either HTTP library: `httpx` decodes to bytes, and `httpx2` to pieces."""

    def __init__(self, decoder: Any, count: Callable[[bytes], None]) -> None:  # noqa: ANN401
        self._decoder, self._count = decoder, count

    def decode(self, data: bytes) -> bytes | Iterator[bytes]:
        return self._counted(self._decoder.decode(data))

    def flush(self) -> bytes | Iterator[bytes]:
        return self._counted(self._decoder.flush())

    def _counted(self, decoded: bytes | Iterator[bytes]) -> bytes | Iterator[bytes]:
        if not isinstance(decoded, bytes):
            return self._counted_pieces(decoded)
        self._count(decoded)
        return decoded

    def _counted_pieces(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._count(piece)
            yield piece


def replace_listing_parser(make: Callable[[ModuleType], object]) -> None:
    """Replace the module `json` with which the client reads the lists of files that it has kept in its cache.

    A release of the client before 2.0 keeps none.
    """
    import importlib

    try:
        module: Any = importlib.import_module("huggingface_hub._tree_cache")
    except ModuleNotFoundError:
        return
    if module.json is json:
        module.json = make(json)


def replace_file_locks(make: Callable[..., Any]) -> None:
    """Let the client take the locks on its files through `make`, which gets its own context manager, and its arguments.

    The client waits for them without a limit, and has no public way to set one.
    """
    for name in ("file_download", "_local_folder"):
        module: Any = import_module(f"huggingface_hub.{name}")
        own = module.WeakFileLock
        if not isinstance(own, partial):
            module.WeakFileLock = partial(make, own)


def http_error() -> type[Exception]:
    """Return the base class of all errors of the HTTP library that the client uses."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__bases__ if base is not OSError)


@lru_cache(maxsize=1)
def http_library() -> ModuleType:
    """Return the HTTP library that the client uses."""
    return import_module(http_error().__module__.partition(".")[0])


def watch_connections(transport: Any, wrap: type[Any]) -> bool:  # noqa: ANN401 - of either HTTP library, or a program's
    """Let `wrap` make the connections of a transport, from what makes them now; return False if it has no such part.

    The public way is an argument of the connection pool, which the transport has made already.
    """
    pool = getattr(transport, "_pool", None)
    backend = getattr(pool, "_network_backend", None)
    if pool is None or backend is None:
        return False
    if not isinstance(backend, wrap):  # a program may use one transport for several clients
        pool._network_backend = wrap(backend)
    return True


def recorded_commit(directory: str, name: str) -> str | None:
    """Return the commit from which the client downloaded a file of a `local_dir`; None if it changed since then."""
    from huggingface_hub._local_folder import read_download_metadata

    record = read_download_metadata(Path(directory), name)
    return record.commit_hash if record is not None else None
