"""The token that workers get: one that reads, or none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hf_model_signing.errors import UsageError
from hf_model_signing.workers.job import TOKEN_VARIABLE

if TYPE_CHECKING:
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter


def worker_token(adapter: HuggingFaceAdapter) -> str | None:
    """The token of `HF_SIGN_WORKER_TOKEN`, once the hub says that it can only read; raises `UsageError` otherwise."""
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
    """Whether a token might write, by what the hub says of it; one of which it says nothing might."""
    try:
        access = about["auth"]["accessToken"]
        if access["role"] == "fineGrained":
            scopes = access["fineGrained"]
            given = [*scopes.get("global", []), *(name for each in scopes["scoped"] for name in each["permissions"])]
            return not all(str(name).endswith(".read") for name in given)
        return bool(access["role"] != "read")
    except (KeyError, TypeError, AttributeError):
        return True
