"""The functions of `huggingface_hub` that read content past its downloads and its cache, under the guard."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from hf_model_signing._util.repository_kinds import ANY_PLURAL, BUCKETS
from hf_model_signing.guarding.answers.hub_content import content_of
from hf_model_signing.guarding.answers.unverifiable import refuse, refuse_bucket
from hf_model_signing.guarding.answers.verified_loads import load_file
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.repository import GuardedRepository
from hf_model_signing.guarding.checks.request import Arguments, Request, RequestedRevision
from hf_model_signing.guarding.http_request import HttpRequest
from hf_model_signing.guarding.own_calls import Original, own_calls

Others = Sequence[Decider]  # guards that must accept as well

# The route of the API at which the client gets a token for the storage behind a repository.
_TOKEN_ROUTE = re.compile(rf"/api/((?:{ANY_PLURAL}|buckets)/[^/]+/[^/]+)/.*")


def download_bucket_files(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Refuse to download files of a storage bucket."""
    bucket, plain = str(arguments["bucket_id"]), partial(original, **arguments)
    return refuse_bucket((decider, *others), "download_bucket_files", bucket, plain)


def read_url(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Refuse to write what a URL has to a file."""
    parts = urlsplit(str(arguments["url"]))
    contents = content_of(HttpRequest("GET", (parts.netloc,), f"{parts.path}?{parts.query}"))
    shown = parts._replace(query="", fragment="").geturl()
    return _refuse_url((decider, *others), contents, shown, partial(original, **arguments))


def read_storage(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Refuse to read a file by its digest from the storage behind the hub."""
    shown = str(arguments["xet_file_data"].refresh_route)
    found = _TOKEN_ROUTE.fullmatch(unquote(urlsplit(shown).path))
    requested = [RequestedRevision(f"hf://{found[1].removeprefix('models/')}", "main")] if found else []
    return _refuse_url((decider, *others), requested, shown, partial(original, **arguments))


def parse_safetensors(decider: Decider, original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    """Return the tensors that a file of a repository lists; it is downloaded and verified for that."""
    request = Request.of_method(arguments)

    def verified(facts: Facts) -> Any:  # noqa: ANN401 - as the client
        from huggingface_hub import parse_local_safetensors_file_metadata

        path = load_file(GuardedRepository.begin(decider, request), facts)
        with own_calls():
            return parse_local_safetensors_file_metadata(path)

    return decider.decide(
        "parse_safetensors_file_metadata", request.requested, verified, partial(_own, original, arguments)
    )


def summarize_safetensors(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Refuse the hub's own summary of the tensors in a repository."""
    return refuse(
        (decider, *others),
        "get_sharded_safetensors_metadata",
        Request.of_method(arguments).requested,
        message="the hub's summary of the tensors cannot be verified: call get_safetensors_metadata, which reads files",
        plain=partial(original, **arguments),
    )


def load_local_file(decider: Decider, original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    """Load a checkpoint by its path; the library that reads it may not be one that the guard sees."""
    path = arguments["checkpoint_file" if "checkpoint_file" in arguments else "model_file"]
    with open(path, "rb"):  # the guard looks at it, as at any file that a program opens
        pass
    return original(**arguments)


def _refuse_url(
    deciders: Sequence[Decider], contents: Sequence[RequestedRevision], shown: str, plain: partial[Any]
) -> Any:  # noqa: ANN401 - as the client
    """Refuse to read a URL; it takes the place of the repository if it names none. Each one it can mean is judged."""
    call = str(plain.func.__name__)
    first, *more = contents or [RequestedRevision(shown, "main")]
    for requested in more:
        _refuse_content(deciders, call, requested, shown=shown, plain=lambda: None)
    return _refuse_content(deciders, call, first, shown=shown, plain=plain)


def _refuse_content(
    deciders: Sequence[Decider], call: str, requested: RequestedRevision, *, shown: str, plain: Callable[[], Any]
) -> Any:  # noqa: ANN401 - as the client
    if requested.uri.startswith(f"hf://{BUCKETS}"):
        return refuse_bucket(deciders, call, requested.uri.removeprefix(f"hf://{BUCKETS}"), plain)
    message = f"what '{shown}' has cannot be verified: load it with hf_hub_download, or open it with HfFileSystem"
    return refuse(deciders, call, requested, message=message, plain=plain)


def _own(original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    with own_calls():
        return original(**arguments)


HANDLERS_OF_ALL = (download_bucket_files, read_url, read_storage, summarize_safetensors)
