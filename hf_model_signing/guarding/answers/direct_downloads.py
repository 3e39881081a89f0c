"""Downloads from a hub without its client: nothing verifies them, so they are refused where a signature is demanded."""

from __future__ import annotations

from functools import partial

from hf_model_signing._util.text import show
from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.request import RequestedRevision
from hf_model_signing.guarding.http_request import HttpRequest
from hf_model_signing.guarding.own_calls import own_calls


def check_request(decider: Decider, requested: RequestedRevision, request: HttpRequest, library: str) -> None:
    """Raise `VerificationError` for a request for content, unless the policy lets its repository be unverified."""
    with own_calls():
        decider.decide(library, requested, partial(_refuse, request, library), _nothing)


def _refuse(request: HttpRequest, library: str, _: Facts) -> None:
    path = request.target.partition("?")[0]
    raise VerificationError(
        f"{library} downloads '{show(request.hosts[-1] + path)}' by itself, and what it gets cannot be verified: "
        "download it with hf_hub_download of huggingface_hub, and load the file that it returns"
    )


def _nothing() -> None:
    return None
