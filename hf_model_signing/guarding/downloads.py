"""`snapshot_download` and `hf_hub_download` of `huggingface_hub`, which return only what is verified."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import huggingface_hub

from hf_model_signing.guarding.guard import Path, only_in_this_thread
from hf_model_signing.policy.trust_policy import Policy


def _verified(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the client with one more argument, `policy`."""

    @functools.wraps(function)
    def call(*args: Any, policy: Path | Policy | None = None, **kwargs: Any) -> Any:  # noqa: ANN401 - as the client
        with only_in_this_thread(policy):
            return function(*args, **kwargs)

    signature = inspect.signature(function)
    own = inspect.Parameter("policy", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="Path | Policy | None")
    call.__signature__ = signature.replace(parameters=[*signature.parameters.values(), own])  # type: ignore[attr-defined]
    call.__module__ = __name__
    call.__doc__ = (
        f"`huggingface_hub.{function.__name__}`, which returns only what a signer signed whom `policy` trusts.\n\n"
        "`policy` is a trust policy or its file, and defaults to that of the guard, then to what HF_SIGN_POLICY\n"
        "names; what no rule of it names is refused, whatever its default. Raises `VerificationError` for what is\n"
        "not verified, `UsageError` for a policy with an error in it, and what the client raises.\n\n"
        f"{inspect.cleandoc(function.__doc__ or '')}"
    )
    return call


hf_hub_download: Callable[..., str] = _verified(huggingface_hub.hf_hub_download)
snapshot_download: Callable[..., str] = _verified(huggingface_hub.snapshot_download)
