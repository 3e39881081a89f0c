"""The requests of the library `id` for the identity token of a CI job, with a limit on the size of an answer.

The library reads whatever a server sends into memory. Its other limits are those of the caller: a deadline for all.
"""

from __future__ import annotations

import io
from typing import Any

import urllib3

from hf_model_signing._util.http import Bounds, read_body
from hf_model_signing.methods.sigstore._compat import bound_ambient_requests

_BOUNDS = Bounds(connect=30.0, read=30.0, size=1024 * 1024)  # the seconds are those of the library; a token has 2 KB


def detect_credential(audience: str) -> str | None:
    """Return an identity token of the environment, or None outside of a known one.

    Raises the errors of `id` and `urllib3`, `TooLongError` for an answer that is larger than any honest one, and what a
    malformed answer makes the library raise.
    """
    import id as environments

    bound_ambient_requests(_read)
    return environments.detect_credential(audience)


def _read(answer: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
    """Return an answer that is in memory, made of one that has not been read."""
    try:
        body = read_body(answer, _BOUNDS)
    finally:
        answer.close()
    options: dict[str, Any] = {"status": answer.status, "reason": answer.reason}
    return urllib3.HTTPResponse(io.BytesIO(body), **options)
