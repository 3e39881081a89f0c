"""Errors of the HTTP library of `huggingface_hub`, as sentences that name the host and say what it did."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from hub_adapters._util.text import one_line

_LONGEST = 200  # characters of a quotation


def describe(error: BaseException, host: str) -> str:
    """Return what happened between us and the host, for an error of a transport that is not about time."""
    kind, causes = type(error).__name__, list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS certificate verification failed for '{host}': {one_line(cause.verify_message)}"
        if isinstance(cause, ssl.SSLError):
            reason = (cause.reason or "unknown error").replace("_", " ").lower()
            return f"'{host}' does not speak TLS as it should: {reason}"
        if isinstance(cause, socket.gaierror):
            return f"'{host}' cannot be found: {_words(cause)}"
    if kind == "ConnectError":
        return f"'{host}' cannot be reached: {_words(causes[-1])}"
    text = str(error)
    if kind == "RemoteProtocolError" and "incomplete" not in text and "without" not in text:
        return f"'{host}' does not speak HTTP as it should: {one_line(text[:_LONGEST])}"
    if "complete" in text:
        return f"'{host}' closed the connection in the middle of an answer"
    if "without" in text:
        return f"'{host}' closed the connection without an answer"
    return f"the connection to '{host}' broke: {_words(causes[-1])}"


def _words(error: BaseException) -> str:
    return one_line((getattr(error, "strerror", None) or str(error) or type(error).__name__)[:_LONGEST])


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
