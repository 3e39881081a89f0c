"""The Hugging Face Hub, through `huggingface_hub`."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from hub_adapters._util.parallel import call_all
from hub_adapters._util.repository_kinds import ANY_PLURAL, ANY_PREFIXED, KIND_OF_PLURAL
from hub_adapters.errors import (
    BadReferenceError,
    BadSettingError,
    DishonestError,
    HubError,
    TransferError,
    UncertainError,
    UnsupportedError,
)
from hub_adapters.http.urls import named
from hub_adapters.huggingface._compat import http_error
from hub_adapters.huggingface.cache import discard, own_cache, remove_left, write_ref
from hub_adapters.huggingface.error_translation import (
    is_exchange,
    pause_of,
    status_of,
    traceable,
    translated,
)
from hub_adapters.huggingface.listing import listed_files
from hub_adapters.huggingface.organisation import (
    MOST_REPOSITORIES,
    check_owner,
    kinds_in_order,
    list_items,
    listed_repository,
)
from hub_adapters.huggingface.pacing import LONGEST_WAIT
from hub_adapters.huggingface.reference_advice import is_git_address, not_a_repository
from hub_adapters.huggingface.response_checks import checked, checked_at_least
from hub_adapters.huggingface.trusted_publishing import opt_in
from hub_adapters.interface import (
    Commit,
    FetchOptions,
    HubAdapter,
    ListedRepository,
    Reference,
    RemoteFile,
    Resolved,
    Snapshot,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from hub_adapters.http.rate_budget import Budget

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")

DEFAULT_REVISION = "main"
_KINDS = {"": "model", **KIND_OF_PLURAL}
_WEB_BASES = ("https://huggingface.co", "https://hf.co")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = r"[\w.-]{1,96}"
_ID = re.compile(rf"(?:{_NAME}/)?{_NAME}", re.ASCII)
_REFERENCE = re.compile(rf"(?:({ANY_PLURAL})/)?((?:{_NAME}/)?{_NAME})(?:@(.+))?")
_WEB = re.compile(rf"(?:({ANY_PREFIXED})/)?({_NAME}/{_NAME})(?:/tree/(refs/pr/\d+|[^/?#]+))?/?(?:[?#].*)?")
_DOWNLOADS = 8  # the number that the client itself uses
_PULL = re.compile(r"refs/pr/(\d{1,9})")
_PULLS = 20  # of the newest pull requests are looked at
_TRIES = 5
_PACED_TRIES = 20  # under a budget, which makes the pauses
_END = object()  # of a list; any value of JSON may be in one
_BUSY = (429, 502, 503, 504)


class HuggingFaceAdapter(HubAdapter):
    """Repositories on the Hugging Face Hub, or on the endpoint that `HF_ENDPOINT` names."""

    hub = "hf"
    title = "the Hugging Face Hub"

    def __init__(
        self, budget: Budget | None = None, *, endpoint: str | None = None, token: str | bool | None = None
    ) -> None:
        """Use the hub and the token of the environment by default, and no budget; a `token` of False sends none."""
        self._endpoint = endpoint or _checked_endpoint()
        self._budget = budget
        self._cache: str | None = None
        _check_token(token)
        from huggingface_hub import HfApi  # after the checks: it prints when its settings are broken

        self._api: HfApi = HfApi(endpoint=self._endpoint, token=token, library_name="hf-sign")

    @property
    def endpoint(self) -> str:
        """The URL of the hub."""
        return self._endpoint

    def has_token(self) -> bool:
        """Return whether there is a token to send."""
        from huggingface_hub import get_token

        token = self._api.token
        return bool(get_token()) if token is None or token is True else bool(token)

    def about_token(self, token: str) -> Any:  # noqa: ANN401 - JSON
        """Return what the hub knows of a token: its owner, and its permissions."""
        reference = Reference(self.hub, "model", "token")
        return self._call(reference, "looking up", lambda: self._api.whoami(token=token))

    @classmethod
    def parse(cls, text: str) -> Reference | None:
        """Parse `hf://[KIND/]ORG/NAME[@REV]` or the web URL of a repository; return None for other text."""
        if text.startswith("hf://"):
            return cls.named(text.removeprefix("hf://"))
        for base in (_endpoint(), *_WEB_BASES):
            if text.startswith(f"{base}/"):
                match = _WEB.fullmatch(text.removeprefix(f"{base}/"))
                if not match or match[2].partition("/")[0] in _KINDS:
                    raise BadReferenceError(f"{named(text)} is not the address of a repository's page")
                return Reference(cls.hub, _KINDS[match[1] or ""], match[2], unquote(match[3]) if match[3] else None)
        return None

    @classmethod
    def named(cls, text: str, kind: str | None = None) -> Reference:
        """Return the reference of a bare `ORG/NAME[@REV]`, or a legacy `NAME`; `kind` may replace the prefix.

        One slash at the end is accepted, as in a URL; not after a legacy name, because `ORG/` is an organisation.
        """
        match = _REFERENCE.fullmatch(text.removesuffix("/"))
        if match and (is_git_address(text) or (text.endswith("/") and "/" not in match[2])):
            match = None
        if not match or ".." in match[2] or match[2].endswith(".git") or match[2].partition("/")[0] in _KINDS:
            raise BadReferenceError(not_a_repository(text))
        if kind and match[1] and kind != _KINDS[match[1]]:
            raise BadReferenceError(f"'{text}' names a {_KINDS[match[1]]}, and a {kind} was asked for")
        return Reference(cls.hub, kind or _KINDS[match[1] or ""], match[2], unquote(match[3]) if match[3] else None)

    def branch_key(self, reference: Reference) -> str:
        """Return the endpoint, the repository and the branch."""
        return f"{self._endpoint} {reference.uri}@{reference.revision or DEFAULT_REVISION}"

    def authorize(self, reference: Reference) -> None:
        """Become a trusted publisher of the repository, in a CI job without any token."""
        if self._api.token is None:
            with translated(reference, self._endpoint, "looking up"):
                opt_in(reference)

    def resolve(self, reference: Reference) -> Resolved:
        """Ask the hub for the commit of `reference`, and for the current name of the repository."""
        info = self._call(
            reference,
            "looking up",
            lambda: self._api.repo_info(reference.name, repo_type=reference.kind, revision=reference.revision),
        )
        commit, name = getattr(info, "sha", None), info.id
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise DishonestError(f"the hub names no commit for '{reference}'")
        if not isinstance(name, str) or not _ID.fullmatch(name) or ".." in name or name.partition("/")[0] in _KINDS:
            raise DishonestError(f"the hub gives '{reference}' a name that no repository has: {name!a}")
        if _COMMIT.fullmatch(reference.revision or "") and commit != reference.revision:
            raise DishonestError(f"the hub answers with another commit than '{reference}': {commit}")
        return Resolved(reference, name, commit)

    def remote_manifest(self, resolved: Resolved) -> Mapping[str, RemoteFile]:
        """Return the whole tree at the commit, with the SHA-256 of every LFS file and the blob id of all others."""
        reference = resolved.reference

        def entries() -> Iterator[Any]:
            return iter(
                self._api.list_repo_tree(
                    reference.name, recursive=True, revision=resolved.commit, repo_type=reference.kind
                )
            )

        return self._call(reference, "listing", lambda: listed_files(entries(), reference))

    def fetch(
        self,
        resolved: Resolved,
        files: Collection[RemoteFile] | None = None,
        *,
        to: str | None = None,
        options: FetchOptions | None = None,
    ) -> Snapshot:
        """Download `files` at the commit; files that are in the cache are not downloaded again."""
        if files is None:
            files = self.remote_manifest(resolved).values()
        folder = to or self._snapshot_folder(resolved)
        sizes = {file.path: file.size for file in files}
        fresh = frozenset(name for name in sizes if not os.path.lexists(os.path.join(folder, name)))
        old_blobs = self._blobs(resolved.reference)

        def download(name: str, stopped: Event) -> None:
            with checked(
                self._endpoint, commit=resolved.commit, size=sizes[name], stopped=stopped, budget=self._budget
            ):
                self._download(resolved, name, to)

        call_all(download, sorted(sizes), _DOWNLOADS)
        return Snapshot(folder, resolved.commit, fresh, old_blobs)

    def repositories(self, owner: str, kinds: Collection[str]) -> Iterator[ListedRepository]:
        """Yield the repositories of the owner; any other entry has a refusal."""
        reference = Reference(self.hub, "model", check_owner(owner))
        for kind in kinds_in_order(kinds):
            items = list_items(self._api, owner, kind)
            for _ in range(MOST_REPOSITORIES):
                # One item at a time: errors of the caller in between are not translated.
                with translated(reference, self._endpoint, "listing"), checked_at_least(self._endpoint, self._budget):
                    item = _next_listed(items, only=len(kinds) == 1)
                if item is _END:
                    break
                yield listed_repository(item, owner, kind)
            else:
                raise DishonestError(f"the hub lists {kind}s of '{owner}' without end")

    def check_takes_commits(self, reference: Reference) -> None:
        """Raise `UnsupportedError` for a revision that is a tag or a commit; one that does not exist is found later."""
        revision = reference.revision
        if revision in (None, "main") or _PULL.fullmatch(str(revision)):
            return
        try:
            refs = self._call(
                reference, "listing", lambda: self._api.list_repo_refs(reference.name, repo_type=reference.kind)
            )
        except HubError:  # a mirror may not have this list, and the next request reports what is wrong
            return
        if revision in {branch.name for branch in refs.branches}:
            return
        if revision in {tag.name for tag in refs.tags} or re.fullmatch(r"refs/tags/.+|[0-9a-f]{7,40}", str(revision)):
            raise UnsupportedError(
                f"'{reference}' is a tag or a commit, and takes no commits: name a branch, and move the tag to the "
                "commit with the signature afterwards"
            )

    def pull_requests(self, resolved: Resolved) -> list[Resolved]:
        """Return the heads of the newest pull requests, the newest first."""
        reference = resolved.reference
        refs = self._call(
            reference,
            "listing",
            lambda: self._api.list_repo_refs(reference.name, repo_type=reference.kind, include_pull_requests=True),
        )
        found = []
        for item in refs.pull_requests or ():
            number = _PULL.fullmatch(str(item.ref))
            if number and _COMMIT.fullmatch(str(item.target_commit)):
                at = Resolved(replace(reference, revision=item.ref), resolved.name, item.target_commit)
                found.append((int(number[1]), at))
        newest = sorted(found, key=lambda pull: pull[0], reverse=True)[:_PULLS]
        return [at for _, at in newest]

    def page(self, reference: Reference) -> str:
        """Return the URL of the repository's page."""
        return f"{self._endpoint}/{reference.uri.partition('://')[2]}"

    def read(self, resolved: Resolved, file: RemoteFile) -> bytes:
        """Return the bytes of a small file, straight from the hub."""
        from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
        from huggingface_hub.utils import build_hf_headers

        reference = resolved.reference
        url = hf_hub_url(
            reference.name, file.path, repo_type=reference.kind, revision=resolved.commit, endpoint=self._endpoint
        )
        headers = build_hf_headers(token=self._api.token, library_name=self._api.library_name)

        def get() -> bytes:
            data = bytearray()
            with get_session().stream("GET", url, headers=headers, follow_redirects=True) as response:
                hf_raise_for_status(response)
                for piece in response.iter_bytes():
                    data += piece
                    if len(data) > file.size:
                        break
            if len(data) != file.size:
                raise DishonestError(f"the hub sends '{file.path}' of '{reference}' with another size than it lists")
            return bytes(data)

        with checked(self._endpoint, commit=resolved.commit, size=file.size, budget=self._budget):
            return self._call(reference, "downloading", get)

    def publish(
        self, resolved: Resolved, files: Mapping[str, bytes], *, message: str, create_pr: bool = False
    ) -> Commit:
        """Commit `files` on top of the resolved commit, on the branch that the reference names."""
        operations = self._prepare(resolved, files, create_pr)
        where = _where(resolved, create_pr)
        made = self._commit(resolved, operations, {**where, "commit_message": message})
        return Commit(made.oid, str(made.commit_url), made.pr_url)

    def check_writable(self, resolved: Resolved, path: str, *, create_pr: bool = False) -> None:
        """Ask the hub how it would store a small file at `path`; it answers only those who may write there."""
        self._prepare(resolved, {path: b"{}"}, create_pr)

    def _prepare(self, resolved: Resolved, files: Mapping[str, bytes], create_pr: bool) -> list[Any]:
        """Make the operations of a commit, and upload the files that the hub does not store in git."""
        from huggingface_hub import CommitOperationAdd

        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        # The repository's own .gitignore must not make the client drop what is to be published.
        self._call(
            resolved.reference,
            "writing to",
            lambda: self._api.preupload_lfs_files(
                additions=operations, gitignore_content="", free_memory=False, **_where(resolved, create_pr)
            ),
        )
        return operations

    def _commit(self, resolved: Resolved, operations: list[Any], arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - CommitInfo
        reference = resolved.reference

        def commit() -> Any:  # noqa: ANN401 - the client's CommitInfo
            try:
                return self._api.create_commit(operations=operations, parent_commit=resolved.commit, **arguments)
            except (http_error(), TransferError) as error:
                # A busy hub has not made the commit, but perhaps a pull request, and a second one is not wanted.
                unknown = status_of(error) in (None, 500, 502, 504) or (
                    status_of(error) == 503 and arguments["create_pr"]
                )
                if unknown and not is_exchange(error):
                    raise UncertainError(
                        f"the connection to {self._endpoint} broke while '{reference.name}' was written to"
                        f"{_why(error)}, so it is not known whether the signature is there: run the same command "
                        "again, it finds out"
                    ) from traceable(error)
                raise

        return self._call(reference, "writing to", commit)

    def cached(self, reference: Reference, options: FetchOptions | None = None) -> Snapshot | None:
        """Return the snapshot of the branch, tag or commit in the cache, complete or not."""
        commit = reference.revision or DEFAULT_REVISION
        if not _COMMIT.fullmatch(commit):
            try:
                with open(os.path.join(self._repository_folder(reference), "refs", commit), encoding="ascii") as file:
                    commit = file.read(64).strip()
            except (OSError, ValueError):
                return None
        if not _COMMIT.fullmatch(commit):
            return None
        folder = self._snapshot_folder(Resolved(reference, reference.name, commit))
        return Snapshot(folder, commit) if os.path.isdir(folder) else None

    def remember(self, resolved: Resolved) -> None:
        """Point `refs/<revision>` of the cache to the commit, as the client does for the revisions that it resolves."""
        revision = resolved.reference.revision or DEFAULT_REVISION
        before = self.cached(resolved.reference)
        if revision == resolved.commit or (before and before.commit == resolved.commit):
            return
        write_ref(self._repository_folder(resolved.reference), revision, resolved.commit)

    def discard(self, snapshot: Snapshot, names: Collection[str]) -> None:
        """Remove the files, and the blobs that came with them, so that the next call downloads them again."""
        discard(snapshot, names)

    def holds(self, reference: Reference) -> bool:
        """Return whether the client's cache has a directory for the repository."""
        return os.path.isdir(self._repository_folder(reference))

    @contextmanager
    def with_own_cache(self) -> Iterator[HuggingFaceAdapter]:
        """Yield an adapter with a cache of its own beside the client's, which is removed afterwards."""
        with own_cache(self._cache_dir()) as folder:
            alone = copy(self)
            alone._cache = folder  # noqa: SLF001 - of this class
            yield alone

    def remove_leftovers(self) -> None:
        """Remove the caches of their own that killed processes have left."""
        remove_left(self._cache_dir())

    def _cache_dir(self) -> str:
        return self._cache or _cache_dir()

    def _download(self, resolved: Resolved, name: str, to: str | None) -> None:
        reference = resolved.reference
        self._call(
            reference,
            "downloading",
            lambda: self._api.hf_hub_download(
                reference.name,
                name,
                repo_type=reference.kind,
                revision=resolved.commit,
                cache_dir=self._cache_dir(),
                local_dir=to,
            ),
        )

    def _blobs(self, reference: Reference) -> frozenset[str]:
        try:
            return frozenset(os.listdir(os.path.join(self._repository_folder(reference), "blobs")))
        except OSError:
            return frozenset()

    def _snapshot_folder(self, resolved: Resolved) -> str:
        return os.path.join(self._repository_folder(resolved.reference), "snapshots", resolved.commit)

    def _repository_folder(self, reference: Reference) -> str:
        from huggingface_hub.file_download import repo_folder_name

        return os.path.join(self._cache_dir(), repo_folder_name(repo_id=reference.name, repo_type=reference.kind))

    def _call(self, reference: Reference, doing: str, call: Callable[[], _T]) -> _T:
        """Make a call to the hub, and repeat it when the hub asks for that, after the pause that it asks for."""
        from huggingface_hub.errors import HfHubHTTPError

        _logger.debug("%s %s at %s", doing, reference, self._endpoint)
        with translated(reference, self._endpoint, doing), checked_at_least(self._endpoint, self._budget):
            for attempt in range((_TRIES if self._budget is None else _PACED_TRIES) - 1):
                try:
                    return call()
                except HfHubHTTPError as error:
                    pause = pause_of(error)
                    pause = 2.0 ** min(attempt, 5) if pause is None else pause
                    if status_of(error) not in _BUSY or pause > LONGEST_WAIT:
                        raise
                    if self._budget and status_of(error) == 429:
                        continue  # the budget has noted it, and holds all requests until then
                    _logger.info("the hub answers HTTP %s; trying again in %.0f s", status_of(error), pause)
                    time.sleep(pause)
            return call()


def _why(error: BaseException) -> str:
    """Return what a host did, as a part of a sentence, if that is known."""
    found = error if isinstance(error, TransferError) else error.__cause__
    return f" ({found})" if isinstance(found, TransferError) else ""


def _next_listed(items: Iterator[object], *, only: bool) -> object:
    """Return the next item; `_END` at the end, or if the hub does not list this kind, which is not the only one."""
    try:
        return next(items, _END)
    except UnsupportedError as error:
        if only:
            raise
        _logger.warning("%s", error)
        return _END


def owner_name(text: str) -> str:
    """Return the owner that `ORG`, `hf://ORG` or the URL of its page names; the caller checks the name."""
    name = text.removeprefix("hf://").rstrip("/")
    for base in (_endpoint(), *_WEB_BASES):
        if name.startswith(f"{base}/"):
            return name.removeprefix(f"{base}/")
    return name


def _where(resolved: Resolved, create_pr: bool) -> dict[str, Any]:
    reference = resolved.reference
    return {
        "repo_id": resolved.name,
        "repo_type": reference.kind,
        "revision": reference.revision,
        "create_pr": create_pr,
    }


def _endpoint() -> str:
    """Return the URL of the hub; the environment is read when it is used."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def _checked_endpoint() -> str:
    endpoint = _endpoint()
    try:
        parts = urlsplit(endpoint)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        if parts.password or parts.username:  # it would appear in errors, reports and journals
            raise BadSettingError("HF_ENDPOINT holds a password; an address of a hub has none")
    except ValueError:
        valid = False
    if not valid:
        raise BadSettingError(f"HF_ENDPOINT is not the address of a hub: '{endpoint}'")
    return endpoint


def _check_token(token: str | bool | None) -> None:
    """Reject a token that no header can carry, before the client quotes it in an error.

    The client would send the user's own token in place of one of another type, or of an empty one.
    """
    if not (token is None or isinstance(token, (str, bool))):
        raise BadSettingError(f"the token is of the type {type(token).__name__}; it must be a string, True or False")
    if token == "":
        raise BadSettingError("the token is empty; give none for the token of this machine, or False to send none")
    name = "the token" if isinstance(token, str) else "HF_TOKEN"
    text = token if isinstance(token, str) else _token_of_environment().strip()
    if not (text.isascii() and text.isprintable()):
        raise BadSettingError(f"{name} holds characters that no token has")


def _token_of_environment() -> str:
    return os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or ""


def _cache_dir() -> str:
    """Return the directory of the client's cache, with links resolved, as the client has it."""
    from huggingface_hub import constants

    home = os.environ.get("HF_HOME")
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    folder = chosen or (os.path.join(home, "hub") if home else constants.HF_HUB_CACHE)
    return os.path.realpath(os.path.expandvars(os.path.expanduser(folder)))
