"""The hub's information about a repository: its commit, and the files that it says are in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from hf_model_signing._util.repository_kinds import KINDS
from hf_model_signing.errors import RefusedError
from hf_model_signing.guarding.answers.listings import Others, check_listing, comparing, raise_refusal
from hf_model_signing.guarding.checks.decider import Decider
from hf_model_signing.guarding.checks.repository import GuardedRepository
from hf_model_signing.guarding.checks.request import Arguments, Request, as_keywords
from hf_model_signing.guarding.own_calls import Original


def repository_info(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Return the hub's information about a repository, and record the commit that it has for a branch.

    A library that asks for the commit afterwards means the branch. The files in it are compared with the signature when
    the program reads them: most programs ask for something else, also about a repository that nobody has signed yet.
    """
    found = original(**as_keywords(arguments))
    deciders = (decider, *others)
    kind = original.__name__.removesuffix("_info")
    repo_type = arguments.get("repo_type") or (kind if kind in KINDS else None)
    request = Request.of_method({**arguments, "repo_type": repo_type})
    commit = getattr(found, "resolved", None) or getattr(found, "sha", None)
    if isinstance(commit, str) and request.revision != commit:
        for each in deciders:
            _record(each, request, commit, original.__name__)
    return _with_checked_files(found, deciders, request, arguments, original.__name__)


def _record(decider: Decider, request: Request, commit: str, call: str) -> None:
    decider.state.record_branch(request.uri, commit, request.revision)
    try:
        if decider.names(request.uri) and os.path.exists(request.cache.signature(commit)):
            # Some libraries download no file then, and use what they once made of that revision.
            GuardedRepository.begin(decider, request).accept_signature(commit)
    except RefusedError as error:
        decider.decide(call, request.requested, partial(raise_refusal, error), lambda: None)


def _with_checked_files(
    found: Any,  # noqa: ANN401 - the client's information
    deciders: Sequence[Decider],
    request: Request,
    arguments: Arguments,
    call: str,
) -> Any:  # noqa: ANN401 - the same
    """Let the attribute `siblings` compare the files, if the call asked for them, when the program reads it."""
    expanded = arguments.get("expand")
    if not hasattr(found, "siblings") or (expanded and "siblings" not in expanded):
        return found
    compared = comparing(deciders, request.uri)
    if compared:
        commit = request.commit or found.sha
        files = found.__dict__.pop("siblings")
        check = partial(check_listing, compared, request, call, files or (), commit=commit)
        found.__dict__[_UNCHECKED] = (type(found), files, check)
        kind = type(found)
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        found.__class__ = type(kind.__name__, (_CheckedFiles, kind), names)
    return found


_UNCHECKED = "_hf_sign_unchecked_files"  # an attribute: the class of the client, the files, and their check


class _CheckedFiles:
    """Information whose files the program has not read yet. It becomes that of the client when they are compared."""

    @property
    def siblings(self) -> Any:  # noqa: ANN401 - as the client
        """The files; raises `VerificationError` if they are not those that were signed."""
        _check(self)
        return self.__dict__["siblings"]

    @siblings.setter
    def siblings(self, files: Any) -> None:  # noqa: ANN401 - as the client
        _become(self, files)

    def __eq__(self, other: object) -> bool:
        _check(self)
        return self == other

    __hash__ = None  # type: ignore[assignment] # as the client

    def __reduce_ex__(self, protocol: Any) -> Any:  # noqa: ANN401 - as `object`
        _check(self)
        return self.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        kind, files, _ = self.__dict__[_UNCHECKED]
        shown = object.__new__(kind)
        shown.__dict__.update({name: value for name, value in vars(self).items() if name != _UNCHECKED}, siblings=files)
        return repr(shown)  # text for people, which needs no signature


# Functions, because another thread may have changed the class.
def _check(found: Any) -> None:  # noqa: ANN401 - the client's information
    unchecked = found.__dict__.get(_UNCHECKED)
    if unchecked is not None:
        _, files, check = unchecked
        check()
        _become(found, files)


def _become(found: Any, files: Any) -> None:  # noqa: ANN401 - the client's information
    unchecked = found.__dict__.get(_UNCHECKED)
    found.__dict__["siblings"] = files
    if unchecked is not None:
        found.__class__ = unchecked[0]
        found.__dict__.pop(_UNCHECKED, None)
