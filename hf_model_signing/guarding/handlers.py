"""The handlers that the hooks call: they find the guards that decide, and the code that answers the call.

The policy, the client and the hashing are imported with the first call, because a guarded Python loads this module when
it starts.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_model_signing.guarding.answers import bytecode
from hf_model_signing.guarding.datasets_cache import chooses_tables, with_own_tables
from hf_model_signing.guarding.hooked_functions import find_hooked
from hf_model_signing.guarding.hooks.watched_paths import BYTECODE, PathKind
from hf_model_signing.guarding.http_request import HttpRequest
from hf_model_signing.guarding.listing_cache import reads_listings, with_own_listings
from hf_model_signing.guarding.own_calls import Original, original_of, own_calls
from hf_model_signing.guarding.publishing import publication, publish, publishing_function
from hf_model_signing.guarding.registry import REGISTRY

if TYPE_CHECKING:
    from hf_model_signing.guarding.answers.bytecode import Check
    from hf_model_signing.guarding.checks.decider import Decider

    ClientHandler = Callable[[Decider, Original, dict[str, Any]], Any]


def handle_call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - as the hooked function
    """Return what the hooked function `name` returns under the guards that decide, if there are any."""
    original = original_of(name)
    publishing = publishing_function(name)
    if publishing is not None:
        return publish(publishing, original, args, kwargs)
    deciders = REGISTRY.deciding()
    if chooses_tables(name):
        return with_own_tables(name, original, args, kwargs, deciders=deciders)
    if reads_listings(name):
        return with_own_listings(original, args, kwargs, deciders=deciders)
    if not deciders:
        return original(*args, **kwargs)
    bound = _signature(original).bind(*args, **kwargs)
    bound.apply_defaults()
    published = publication()
    if published is not None:
        with own_calls():
            from hf_model_signing.guarding.answers.published_cards import NO_CARD, card_of
        card = card_of(published, name, original, bound.arguments, deciders=deciders)
        if card is not NO_CARD:
            return card
    if len(deciders) == 1:
        return client_handler(name)(deciders[0], original, bound.arguments)
    with own_calls():
        from hf_model_signing.guarding.answers import several_guards
    return several_guards.answer(client_handler(name), deciders, original, bound.arguments)


@lru_cache(maxsize=64)  # of the few hooked functions
def _signature(function: Original) -> inspect.Signature:
    return inspect.signature(function)


def handle_open(kind: PathKind, path: str, match: re.Match[str]) -> None:
    """Raise `VerificationError` for a watched file that one of the guards refuses."""
    deciders = REGISTRY.deciding()
    if not deciders:
        return
    with own_calls():
        from hf_model_signing.guarding.answers import opened_files, plain_models
    checks: dict[PathKind, Check] = {
        PathKind.BYTECODE: bytecode.check_read,
        PathKind.CACHE: opened_files.check_cached_file,
        PathKind.BLOB: opened_files.check_blob,
        PathKind.CODE: opened_files.check_copied_code,
        PathKind.TABLES: opened_files.check_tables,
        PathKind.MODEL: bytecode.check_read_of_model if BYTECODE in path else plain_models.check_file,
    }
    for decider in deciders:
        checks[kind](decider, path, match)


def handle_request(request: HttpRequest, find_library: Callable[[], str]) -> None:
    """Raise `VerificationError` for a request for content of a hub that one of the guards refuses."""
    if not REGISTRY.is_on() or request.method.upper() == "HEAD":
        return
    with own_calls():
        from hf_model_signing.guarding.answers.hub_content import content_of
    contents = content_of(request)
    if not contents:
        return
    library = find_library()
    if not library:
        return
    with own_calls():
        from hf_model_signing.guarding.answers.direct_downloads import check_request
    for decider in REGISTRY.deciding():
        for requested in contents:
            check_request(decider, requested, request, library)


def handle_write(kind: PathKind, path: str, match: re.Match[str]) -> None:
    """Raise `OSError` for bytecode that is about to be written to a directory which one of the guards verifies."""
    checks: dict[PathKind, Check] = {
        PathKind.BYTECODE: bytecode.check_write,
        PathKind.MODEL: bytecode.check_write_to_model,
    }
    if kind in checks:
        for decider in REGISTRY.deciding():
            checks[kind](decider, path, match)


def client_handler(name: str) -> ClientHandler:
    """Return the function that answers the calls of the hooked function `name` under the guard."""
    file, _, function = find_hooked(name).handler.partition(".")
    handler: ClientHandler = getattr(import_module(f"{__package__}.answers.{file}"), function)
    return handler
