"""The answer to a call about which several guards decide: each of them must accept, and all of them the same files.

The guards are asked one after the other, and each call can ask the hub. A hub that answers each of them differently
must not get anything through: the answers, and the states of the files in them, must not differ from the first ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from huggingface_hub import DryRunFileInfo
from huggingface_hub.utils import SafetensorsFileMetadata

from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding.answers import direct_reads, hf_file_system, listings
from hf_model_signing.guarding.answers.repository_information import repository_info
from hf_model_signing.guarding.checks.decider import Decider
from hf_model_signing.guarding.checks.request import Arguments
from hf_model_signing.guarding.checks.shared_cache import treating_alike
from hf_model_signing.guarding.own_calls import Original
from hf_model_signing.hashing.file_tree import state_of
from hf_model_signing.oms.names import CLIENT_DIRECTORY

# They ask all guards about one answer of the hub.
HANDLERS_OF_ALL = (
    *hf_file_system.HANDLERS,
    *direct_reads.HANDLERS_OF_ALL,
    *listings.HANDLERS,
    repository_info,
)

Handler = Callable[..., Any]  # called with a decider, the original function and the arguments of the call


def answer(handler: Handler, deciders: Sequence[Decider], original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    """Return what `handler` returns under each of the guards; raise if one of them refuses, or if they differ."""
    with treating_alike(decider.policy for decider in deciders):
        return _answer(handler, deciders, original, arguments)


def _answer(handler: Handler, deciders: Sequence[Decider], original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    first, *others = deciders
    if handler in HANDLERS_OF_ALL:
        return handler(first, original, arguments, others=others)
    result = handler(first, original, dict(arguments))
    before = _states(result)
    if "force_download" in arguments:
        arguments = {**arguments, "force_download": False}  # the first one has downloaded
    for decider in others:
        if _states(handler(decider, original, dict(arguments))) != before:
            raise VerificationError(
                "several guards are on, and what one of them verified had changed when the next one looked at it: "
                "load it again"
            )
    return result


def _states(result: object) -> object:
    """Return what identifies an answer: a path with the states of its files, or the commit of a repository."""
    if isinstance(result, list):
        return sorted(result, key=str)  # the client returns them in the order in which its threads end
    if isinstance(result, (SafetensorsFileMetadata, DryRunFileInfo)):
        return result
    if not isinstance(result, str):
        return getattr(result, "sha", None), getattr(result, "resolved", None), result is None
    if not os.path.isdir(result):
        return result, _state(result)
    return result, dict(_files(result))


def _files(directory: str) -> Iterator[tuple[str, object]]:
    for folder, _, names in os.walk(directory):
        if os.path.relpath(folder, directory).replace(os.sep, "/").startswith(CLIENT_DIRECTORY):
            continue
        for name in names:
            path = os.path.join(folder, name)
            yield path, _state(path)


def _state(path: str) -> object:
    try:
        return state_of(os.stat(path))
    except OSError:
        return None
