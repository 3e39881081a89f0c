"""The functions of `huggingface_hub` that download, under the guard; each has the name of the client's own."""

from __future__ import annotations

import os
import posixpath
from functools import partial
from typing import Any

from hf_model_signing.guarding.answers.dry_runs import answer_dry_run
from hf_model_signing.guarding.answers.verified_loads import load_file, load_snapshot
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.repository import GuardedRepository
from hf_model_signing.guarding.checks.request import Arguments, Request
from hf_model_signing.guarding.environment import Mode
from hf_model_signing.guarding.own_calls import Original, own_calls


def hf_hub_download(decider: Decider, original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    """Return the path of one file, if it and the other files in its directory are as signed."""
    if arguments.get("dry_run"):
        return answer_dry_run(decider, original, arguments)
    request = Request(arguments)
    repository = GuardedRepository.begin(decider, request)
    return decider.decide(
        "hf_hub_download", request.requested, partial(load_file, repository), request.download_unverified
    )


def snapshot_download(decider: Decider, original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    """Return the directory of a revision, if all files in it are as signed."""
    if arguments.get("dry_run"):
        return answer_dry_run(decider, original, arguments)
    request = Request(arguments)
    repository = GuardedRepository.begin(decider, request)

    def plain() -> Any:  # noqa: ANN401 - as the client
        with request.own_calls():
            return original(**{**arguments, "headers": request.headers()})

    return decider.decide("snapshot_download", request.requested, partial(load_snapshot, repository, original), plain)


def try_to_load_from_cache(decider: Decider, original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    """Return the path of a file in the cache, if its directory is as signed, or the client's word for its absence."""
    with own_calls():
        found = original(**arguments)
    request = Request(arguments)
    repository = GuardedRepository.begin(decider, request)
    path = posixpath.normpath(arguments["filename"].replace(os.sep, "/"))
    if found is None and decider.state.refusal_of(request.requested) is None:
        return None
    if found is not None and not isinstance(found, str) and not request.has_cached_signature():
        # The cache says that the file does not exist, and no signature is there that could list it: ask the hub.
        return None if decider.mode is Mode.ENFORCE and decider.requires_signature(request.uri) else found

    def verified(facts: Facts) -> Any:  # noqa: ANN401 - as the client
        decider.check_not_refused(request.requested)
        facts["file"] = path
        if not isinstance(found, str):
            repository.accept_signature(request.cached_commit())
            repository.check_absent(path)
            return found
        commit = request.cache.commit_of(found)
        repository.accept_signature(commit)
        with repository.naming_rejected(request.cache.snapshot(commit)):
            checked = repository.check_file(path)
        repository.settle([path], facts)
        facts["path"] = found if checked == request.cache.snapshot(commit) else os.path.join(checked, path)
        return facts["path"]

    return decider.decide("try_to_load_from_cache", request.requested, verified, lambda: found)
