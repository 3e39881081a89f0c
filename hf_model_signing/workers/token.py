"""The token for workers, which may only read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hf_model_signing.errors import UsageError

if TYPE_CHECKING:
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter

TOKEN_VARIABLE = "HF_SIGN_WORKER_TOKEN"  # noqa: S105 - the name of a variable


def worker_token(adapter: HuggingFaceAdapter) -> str | None:
    """Return the token of `HF_SIGN_WORKER_TOKEN`, if it is set; raises `UsageError` if it may do more than read."""
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        return None
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(f"{TOKEN_VARIABLE} holds characters that no token has")
    if may_write(adapter.about_token(token)):
        raise UsageError(
            f"the token in {TOKEN_VARIABLE} may write, and workers must not get such a one: make a token of the type "
            "'read' for them, or unset it when all that is signed is public"
        )
    return token


def may_write(about: Any) -> bool:  # noqa: ANN401 - JSON of the hub
    """Return False if the hub states that the token may only read, and True otherwise."""
    try:
        access = about["auth"]["accessToken"]
        if access["role"] == "fineGrained":
            scopes = access["fineGrained"]
            given = [*scopes.get("global", []), *(name for each in scopes["scoped"] for name in each["permissions"])]
            return not all(str(name).endswith(".read") for name in given)
        return bool(access["role"] != "read")
    except (KeyError, TypeError, AttributeError):
        return True
