"""Listings of the hub under the guard: a library that chooses files by a listing sees every file that was signed.

A listing of a repository that a rule names is compared with the signature of its commit. A listing of a repository that
no rule names, that need not be signed, or that the program publishes to is the hub's word alone. So is one of a
repository that is not signed, of which a program may load nothing; if it turns out to have been signed, it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from hf_model_signing.errors import RefusedError, VerificationError
from hf_model_signing.guarding.answers.hub_queries import resolve
from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.hub_listing import ListedEntry, ListingComparison, plain_path
from hf_model_signing.guarding.checks.repository import GuardedRepository
from hf_model_signing.guarding.checks.request import Arguments, Request
from hf_model_signing.guarding.checks.signature import is_unsigned
from hf_model_signing.guarding.own_calls import Original, own_calls
from hf_model_signing.guarding.publishing import publishes_to
from hf_model_signing.oms.manifest import Manifest

Others = Sequence[Decider]  # guards that must accept as well
Compare = Callable[[Manifest], ListingComparison]


def list_tree(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Return the listing of a directory, which ends with an error if signed files are missing in it."""
    deciders = comparing((decider, *others), Request(arguments).uri)
    return _listed(deciders, original, arguments, is_paged=False) if deciders else original(**arguments)


def list_pages(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Return the pages of such a listing, each with a flag for the last one."""
    deciders = comparing((decider, *others), Request(arguments).uri)
    return _listed(deciders, original, arguments, is_paged=True) if deciders else original(**arguments)


def _listed(deciders: Sequence[Decider], original: Original, arguments: Arguments, *, is_paged: bool) -> Iterator[Any]:
    from huggingface_hub.errors import EntryNotFoundError

    recursive, path = bool(arguments.get("recursive")), arguments.get("path_in_repo")
    compare = partial(ListingComparison.of_directory, path=path, recursive=recursive)
    guards = _Guards(deciders, Request.of_method(arguments), "list_repo_tree", compare)
    commit = guards.accept()
    with own_calls():
        listed = iter(original(**{**arguments, "revision": commit or arguments.get("revision")}))
    while True:
        with own_calls():
            try:
                item = next(listed)
            except StopIteration:
                break
            except EntryNotFoundError:
                if not guards.is_file(plain_path(path)):  # the client asks for the directory above it then
                    guards.end()
                raise
        guards.add(item[0] if is_paged else [item])
        yield item
    guards.end()


def paths_info(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Return the hub's information about files and directories, if none that was signed is missing."""
    request, deciders = Request.of_method(arguments), comparing((decider, *others), Request(arguments).uri)
    if not deciders:
        return original(**arguments)
    paths = arguments["paths"] if isinstance(arguments["paths"], list) else [arguments["paths"]]
    guards = _Guards(deciders, request, original.__name__, partial(ListingComparison.of_paths, paths=paths))
    commit = guards.accept()
    with own_calls():
        found = original(**{**arguments, "revision": commit or arguments.get("revision")})
    guards.compare(found)
    return found


def file_exists(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - a bool
    """Return whether a file exists; raise `VerificationError` if it was signed and the hub denies it."""
    with own_calls():
        found = original(**arguments)
    request, deciders = Request.of_method(arguments), comparing((decider, *others), Request(arguments).uri)
    if found or not deciders:
        return found
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    compare = partial(ListingComparison.of_file, path=arguments["filename"])
    guards = _Guards(deciders, request, original.__name__, compare)
    try:
        guards.accept()
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return found
    guards.end()
    return found


def cached_tree(decider: Decider, original: Original, arguments: Arguments, *, others: Others = ()) -> Any:  # noqa: ANN401 - as the client
    """Return the listing that the client has kept of a revision, if no signed file is missing in it."""
    with own_calls():
        found = original(**arguments)
    request = Request({**arguments, "local_dir": None, "local_files_only": True})
    deciders = comparing((decider, *others), Request(arguments).uri)
    if deciders:
        check_listing(deciders, request, original.__name__, found, commit=request.cached_commit())
    return found


def check_listing(
    deciders: Sequence[Decider], request: Request, call: str, items: Collection[Any], *, commit: str | None
) -> None:
    """Raise `VerificationError` if signed files are missing in the listing of a whole repository."""
    guards = _Guards(deciders, request, call, partial(ListingComparison.of_directory, path=None, recursive=True))
    guards.accept(commit)
    guards.compare(items)


class _Guards:
    """The guards that compare one listing, each with the signature that it accepts.

    Under `warn`, a guard that has found a difference warns, and compares no further.
    """

    def __init__(self, deciders: Sequence[Decider], request: Request, call: str, compare: Compare) -> None:
        self._request, self._call, self._compare = request, call, compare
        self._repositories = [GuardedRepository.begin(decider, request) for decider in deciders]
        self._comparisons: list[tuple[GuardedRepository, ListingComparison]] = []

    def accept(self, commit: str | None = None) -> str | None:
        """Accept the signature of the commit of the listing, and return the commit: one that the hub now has for it."""
        commit = commit or self._request.commit or resolve(self._request)
        for repository in self._repositories:
            if commit is None:
                self._refuse(repository, VerificationError("the hub names no commit for it"))
                continue
            try:
                repository.accept_signature(commit)
                self._comparisons.append((repository, self._compare(repository.call.manifest)))
            except RefusedError as error:
                if is_unsigned(error):
                    repository.decider.state.record_unsigned(self._request.requested, commit)
                else:
                    self._refuse(repository, error)
        return commit

    def is_file(self, path: str) -> bool:
        """Return True if a file of this name was signed."""
        return any(path in repository.call.manifest.digests for repository, _ in self._comparisons)

    def add(self, items: Iterable[Any]) -> None:
        """Compare entries as the hub lists them; raise `VerificationError` for one that was signed otherwise."""
        entries = list(map(ListedEntry.of, items))
        self._each(lambda comparison: comparison.add(entries))

    def end(self) -> None:
        """Raise `VerificationError` if signed files are missing; pin the signers and advance the rollback records."""
        self._each(ListingComparison.end)
        for repository, _ in self._comparisons:
            repository.settle_listing()
        self._comparisons.clear()

    def compare(self, items: Collection[Any]) -> None:
        """Compare a whole listing."""
        self.add(items)
        self.end()

    def _each(self, step: Callable[[ListingComparison], object]) -> None:
        for repository, comparison in list(self._comparisons):
            try:
                step(comparison)
            except RefusedError as error:
                self._comparisons.remove((repository, comparison))
                self._refuse(repository, error)

    def _refuse(self, repository: GuardedRepository, error: RefusedError) -> None:
        repository.decider.decide(self._call, self._request.requested, partial(raise_refusal, error), lambda: None)


def comparing(deciders: Sequence[Decider], uri: str) -> list[Decider]:
    """Return the guards that have signers for a repository; none if the program publishes to it."""
    return [] if publishes_to(uri) else [decider for decider in deciders if decider.names(uri)]


def raise_refusal(error: RefusedError, _: Facts) -> None:
    """Raise a refusal where a decider expects a check."""
    raise error


HANDLERS = (list_tree, list_pages, paths_info, file_exists, cached_tree)
