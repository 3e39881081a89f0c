"""Content that no signature can be about: storage buckets, and what is read from the hub past its repositories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.request import RequestedRevision
from hf_model_signing.guarding.own_calls import own_calls


def refuse(
    deciders: Sequence[Decider],
    call: str,
    requested: RequestedRevision,
    *,
    message: str,
    plain: Callable[[], Any],
) -> Any:  # noqa: ANN401 - as the client
    """Raise `VerificationError` with a message, or return what `plain` returns if the policy or the mode allows it.

    If there are several guards, each of them must allow it.
    """

    def unverifiable(_: Facts) -> None:
        raise VerificationError(message)

    def allowed() -> Any:  # noqa: ANN401 - as the client
        with own_calls():
            return plain()

    decider, *others = deciders
    for other in others:
        other.decide(call, requested, unverifiable, lambda: None)
    return decider.decide(call, requested, unverifiable, allowed)


def refuse_bucket(deciders: Sequence[Decider], call: str, bucket: str, plain: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Refuse to read a storage bucket."""
    message = (
        f"the storage bucket '{bucket}' cannot be verified, because buckets hold no signatures: put its files into a "
        f"repository and sign that with `hf-sign push`, or add a rule with `unsigned = true` for "
        f"'hf://buckets/{bucket}' to the trust policy"
    )
    return refuse(deciders, call, RequestedRevision(f"hf://buckets/{bucket}", "main"), message=message, plain=plain)
