"""Small files that a user names: keys, certificates, configurations."""

from __future__ import annotations

from hf_model_signing.errors import UsageError


def read_input(path: str, what: str, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; raises `UsageError`, in which `what` names its kind."""
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read the {what} file '{path}': {error.strerror}") from error
    if len(data) > limit:
        raise UsageError(f"'{path}' is too large to be a {what} file")
    return data
