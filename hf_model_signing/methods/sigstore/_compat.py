"""Private parts of sigstore-python and of its library `id`: the only module of ours that touches them.

Everything here was seen in `sigstore` 4.5.1 with `sigstore-models` 0.0.6, and in `id` 1.6.1; pyproject.toml allows no
release of `sigstore` before 4.5 or from 5 on, and none of `id` before 1.6.1 or from 2 on.
`tests/methods/sigstore/test_compat.py` fails with the name of a part that a release no longer has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import requests
    import urllib3
    from rfc3161_client import TimeStampResponse
    from sigstore.models import Bundle, TrustedRoot


def root_message(root: TrustedRoot) -> Any:  # noqa: ANN401 - a model of sigstore_models
    """Return the message that a trusted root was read from.

    The public methods leave out the periods of service, and all that was in service before this machine's time.
    """
    return root._inner


def entry_message(bundle: Bundle) -> Any:  # noqa: ANN401 - a model of sigstore_models
    """Return the message of the log entry of a bundle; its time, log id and promise are not public."""
    return bundle.log_entry._inner


def proven_times(bundle: Bundle, root: TrustedRoot) -> list[Any]:
    """Return the verified times of a bundle. The public methods check that there is one, and return none of them."""
    from sigstore.verify import Verifier

    return Verifier(trusted_root=root)._establish_time(bundle)


def is_stamped_by(root: TrustedRoot, response: TimeStampResponse, signature: bytes) -> bool:
    """Return whether an authority of `root` has timestamped `signature`; publicly, only whole bundles are verified."""
    from sigstore.verify import Verifier

    return Verifier(trusted_root=root)._verify_signed_timestamp(response, signature) is not None


def log_session(client: Any) -> requests.Session:  # noqa: ANN401 - one of the two clients of a log
    """Return the HTTP session of a Rekor client. It has one for each thread, and no public way to bound them."""
    session: requests.Session = client._session
    return session


def timestamp_error() -> type[Exception]:
    """Return the error of a time-stamp client after which a signature is made without that timestamp."""
    from sigstore._internal.timestamp import TimestampError

    return TimestampError


def shipped_file(tuf_url: str, name: str) -> bytes:
    """Return a file of a TUF repository as sigstore-python ships it; raises `FileNotFoundError` without one.

    The public way to it also writes into the user's cache.
    """
    return resources.files("sigstore._store").joinpath(quote(tuf_url, safe=""), name).read_bytes()


def cache_directory(tuf_url: str) -> Path:
    """Return the directory in which sigstore-python keeps the files of a TUF repository; it is documented nowhere."""
    import platformdirs

    cache = Path(platformdirs.user_cache_dir("sigstore-python", "sigstore"))
    return cache / "tuf" / quote(tuf_url, safe="")


def bound_ambient_requests(read: Callable[[urllib3.BaseHTTPResponse], urllib3.BaseHTTPResponse]) -> None:
    """Let `id` use what `read` makes of each answer, whose body has not been read; publicly, it reads all of it."""
    from id._internal.oidc import ambient

    own: Callable[..., Any] = ambient._request
    if not hasattr(own, "__wrapped__"):

        @wraps(own)
        def request(*arguments: Any, **options: Any) -> urllib3.BaseHTTPResponse:  # noqa: ANN401 - those of urllib3
            return read(own(*arguments, preload_content=False, **options))

        ambient._request = request
