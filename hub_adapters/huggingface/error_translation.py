"""Errors of `huggingface_hub`, as one sentence each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hub_adapters._util.text import one_line
from hub_adapters.errors import (
    AccessError,
    BadReferenceError,
    ConflictError,
    DisabledError,
    GatedError,
    HubError,
    NoRevisionError,
    NotFoundError,
    TransferError,
    UnavailableError,
    UnsupportedError,
)
from hub_adapters.http.rate_limit_headers import retry_after
from hub_adapters.huggingface._compat import http_error
from hub_adapters.huggingface.trusted_publishing import (
    how_to_log_in,
    is_exchange_url,
    is_id_token_url,
    is_publisher,
    no_id_token,
    no_publisher,
)
from hub_adapters.interface import Reference

_UNKNOWN_KIND = "Invalid repo type"  # the client's message for a kind that a method does not accept
_BAD_CARD = "Invalid metadata in README.md."  # the client's message for a model card that the hub rejects
# Tokens that a server may repeat: JSON Web Tokens, which start with a brace in Base64, and those of the hub.
_TOKEN = re.compile(r"eyJ[\w-]{5,}(?:\.[\w-]*)*|hf_jwt_[\w.-]+|hf_[A-Za-z0-9]{20,}|Bearer \S+", re.ASCII)


@contextmanager
def translated(reference: Reference, endpoint: str, doing: str) -> Iterator[None]:
    """Turn any error of the client while `doing` something with `reference` into a `HubError`."""
    from huggingface_hub import errors as hf

    try:
        yield
    except TransferError as error:
        raise _interrupted(error, reference, doing) from None
    except HubError:
        raise
    except hf.LocalTokenNotFoundError:
        raise AccessError(f"{doing} '{reference.name}' needs a token: {how_to_log_in(reference)}") from None
    except hf.OIDCError:
        raise AccessError(no_id_token()) from None
    except (http_error(), hf.OfflineModeIsEnabled, hf.LocalEntryNotFoundError, hf.FileMetadataError) as error:
        raise _translate(error, reference, endpoint, doing) from traceable(error)
    except hf.HFValidationError as error:
        raise BadReferenceError(f"'{reference.name}' is not the name of a repository: {_first_line(error)}") from error
    except OSError as error:
        if error.errno is not None:
            raise  # this machine's disk, not the hub
        raise UnavailableError(f"{doing} '{reference}' failed: {_first_line(error)}; try again") from error
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, AssertionError) as error:
        if str(error).startswith(_BAD_CARD):
            why = _quoted(str(error).removeprefix(_BAD_CARD)).removeprefix("- ")
            raise HubError(f"the hub does not take the YAML block in the README.md of '{reference}': {why}") from error
        if str(error).startswith(_UNKNOWN_KIND):
            raise UnsupportedError(
                f"{doing} '{reference}' failed: the installed release of huggingface_hub cannot do that with a "
                f"{reference.kind}; upgrade it: pip install --upgrade huggingface_hub"
            ) from error
        raise HubError(
            f"{doing} '{reference}' failed: the answer of {endpoint} makes no sense ({_first_line(error)})"
        ) from error


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error of the client; None without an answer."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def traceable(error: BaseException) -> BaseException | None:
    """Return the error as a cause for a traceback; None if that would show a token that a server repeats."""
    return None if is_exchange(error) or _TOKEN.search(str(error)) else error


def is_exchange(error: BaseException) -> bool:
    """Return whether the error is from getting a token as a trusted publisher, and not from the call that needs it."""
    url = _url(_innermost(error))
    return is_id_token_url(url) or is_exchange_url(url)


def _innermost(error: BaseException) -> BaseException:
    from huggingface_hub import errors as hf

    if isinstance(error, (hf.LocalEntryNotFoundError, hf.FileMetadataError)) and error.__cause__ is not None:
        return _innermost(error.__cause__)  # it only wraps the cause
    return error


def _url(error: BaseException) -> str:
    """Return the URL that was asked, if the error has it."""
    try:
        request = getattr(getattr(error, "response", None), "request", None) or getattr(error, "request", None)
    except RuntimeError:  # the HTTP library raises it when there is no request
        return ""
    return str(getattr(request, "url", ""))


def _translate_exchange(error: BaseException, endpoint: str) -> HubError:
    status, asks_github = status_of(error), is_id_token_url(_url(error))
    whom = "GitHub Actions" if asks_github else endpoint
    if status is None:
        return UnavailableError(f"cannot reach {whom} for a token of this job: {_first_line(error)}; try again")
    if status == 429 or status >= 500:
        return UnavailableError(f"{whom} cannot give this job a token now (HTTP {status}); try again")
    return AccessError(no_id_token(status) if asks_github else no_publisher(endpoint, status, _said(error)))


def _translate(error: BaseException, reference: Reference, endpoint: str, doing: str) -> HubError:
    from huggingface_hub import errors as hf

    error = _innermost(error)
    if is_exchange(error):
        return _translate_exchange(error, endpoint)
    what = f"{reference.kind} '{reference.name}'"
    if isinstance(error, hf.GatedRepoError):
        return GatedError(
            f"the {what} is gated: ask for access on its page at {endpoint}, then {how_to_log_in(reference)}"
        )
    if isinstance(error, hf.RepositoryNotFoundError):
        return NotFoundError(f"there is no {what} on {endpoint}, or it is private and your token may not see it: "
                             f"check the name and the --type, and {how_to_log_in(reference)}")  # fmt: skip
    if isinstance(error, hf.RevisionNotFoundError):
        return NoRevisionError(f"the {what} has no revision '{reference.revision or 'main'}'")
    if isinstance(error, hf.DisabledRepoError):
        return DisabledError(f"the {what} is disabled on {endpoint}")
    if isinstance(error, hf.EntryNotFoundError) and status_of(error) == 404:
        return NotFoundError(f"{doing} '{reference}' failed: the hub lists a file and then does not have it")
    if isinstance(error, hf.OfflineModeIsEnabled):
        return UnavailableError("HF_HUB_OFFLINE is set, so the hub is not asked")
    status = status_of(error)
    if isinstance(error, hf.FileMetadataError):
        return HubError(f"{doing} '{reference}' failed: {endpoint} does not answer as a hub: {_first_line(error)}")
    if isinstance(error.__cause__, TransferError):
        return _interrupted(error.__cause__, reference, doing)
    if status is None:
        return UnavailableError(f"cannot reach the hub at {endpoint}: {_first_line(error)}")
    return _by_status(error, status, reference, endpoint, doing)


def _interrupted(error: TransferError, reference: Reference, doing: str) -> UnavailableError:
    return UnavailableError(f"{doing} '{reference}' failed: {error}; try again later")


def _by_status(error: BaseException, status: int, reference: Reference, endpoint: str, doing: str) -> HubError:
    said = _said(error)
    if status == 401 and not _sent_token(error):
        return AccessError(f"{doing} '{reference.name}' needs a token: {how_to_log_in(reference)}")
    if status == 401:
        return AccessError(f"{endpoint} does not accept this token for '{reference.name}': {how_to_log_in(reference)}")
    if status == 403:
        return AccessError(f"{doing} '{reference.name}' is not allowed with this token: {said}{_also(reference)}")
    if status in (409, 412):
        return ConflictError(f"'{reference.name}' has changed on the hub meanwhile: {said}")
    if status == 429:
        return UnavailableError(f"{endpoint} limits the rate of requests: try again in {_wait(error)}")
    if status >= 500:
        return UnavailableError(
            f"{endpoint} cannot answer now (HTTP {status}) while {doing} '{reference.name}'; try again"
        )
    return HubError(f"{doing} '{reference.name}' failed: {endpoint} answers HTTP {status}: {said}")


def pause_of(error: BaseException) -> float | None:
    """Return the pause in seconds that the hub asks for, if it asks for one."""
    return retry_after(getattr(getattr(error, "response", None), "headers", {}))


def _said(error: BaseException) -> str:
    """Return the message of the server, or else of the client."""
    return _quoted(str(getattr(error, "server_message", None) or "")) or _first_line(error)


def _without_tokens(text: str) -> str:
    return _TOKEN.sub("(a token)", text)


def _also(reference: Reference) -> str:
    """Return how to log in, for a token without the permission: that of a trusted publisher is for one repository."""
    return f"; {how_to_log_in(reference)}" if is_publisher() else ""


def _sent_token(error: BaseException) -> bool:
    request = getattr(getattr(error, "response", None), "request", None)
    return "authorization" in getattr(request, "headers", {})


def _wait(error: BaseException) -> str:
    seconds = pause_of(error)
    return f"{seconds:.0f} seconds" if seconds is not None else "a few minutes"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _quoted(lines[0]) if lines else type(error).__name__


def _quoted(text: str) -> str:
    """Return the words of a server as one line: each run of white space is one space."""
    return one_line(_without_tokens(" ".join(text.split())))
