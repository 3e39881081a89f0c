"""The request of one call: the repository, the revision and the options that the program gave to the client."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from hf_model_signing._util.json_memory import read_json
from hf_model_signing.errors import VerificationError
from hf_model_signing.guarding.checks.client_cache import CachedRepository
from hf_model_signing.guarding.http_request import named_endpoints
from hf_model_signing.guarding.own_calls import OwnCallHeaders, original_of, own_calls
from hf_model_signing.oms.names import CLIENT_DIRECTORY, SIGNATURE_NAME
from hub_adapters.http.patience import patiently
from hub_adapters.huggingface.cache import recorded_commit
from hub_adapters.huggingface.kept_listings import LARGEST_LISTING
from hub_adapters.huggingface.response_checks import checked_at_least

_COMMIT = re.compile(r"[0-9a-f]{40}")

# Arguments of a call, besides the file that it asks for, with which its signature is asked for as well.
_SHARED = ("repo_type", "token", "library_name", "library_version", "user_agent", "etag_timeout")

Arguments = dict[str, Any]  # of a call of the client, by the names of its parameters


@dataclass(frozen=True)
class RequestedRevision:
    """A repository, and the branch, tag or commit that a program asked for. A refusal is remembered for it."""

    uri: str
    revision: str


@dataclass(frozen=True)
class Request:
    """The request of one call, by the arguments of the call; `found_cache` is its repository if that is known."""

    arguments: Mapping[str, Any]
    found_cache: CachedRepository | None = None

    @classmethod
    def of_method(cls, arguments: Arguments) -> Request:
        """Return the request of a call of a method of `HfApi`, which has an endpoint and a token of its own."""
        api, token = arguments["self"], arguments.get("token")
        names = ("repo_id", "repo_type", "revision", "filename", "cache_dir")
        shared = {name: arguments[name] for name in names if name in arguments}
        return cls({**shared, "endpoint": api.endpoint, "token": api.token if token is None else token})

    @property
    def repo_id(self) -> str:
        """ORG/NAME, or a legacy name."""
        return str(self.arguments["repo_id"])

    @property
    def repo_type(self) -> str:
        """The type as the client names it: model, dataset, space, or one that the client adds."""
        return self.arguments.get("repo_type") or "model"

    @property
    def uri(self) -> str:
        """The hub reference of the repository, without a revision; signatures name it."""
        kind = "" if self.repo_type == "model" else f"{self.repo_type}s/"
        return f"hf://{kind}{self.repo_id}"

    @property
    def revision(self) -> str:
        """The branch, tag or commit that was asked for."""
        return str(self.arguments.get("revision") or "main")

    @property
    def requested(self) -> RequestedRevision:
        """The repository and the revision that were asked for."""
        return RequestedRevision(self.uri, self.revision)

    @property
    def commit(self) -> str | None:
        """The commit, if the caller knows it."""
        # The client has a type of its own for a branch that it has resolved.
        resolved = getattr(self.arguments.get("revision"), "resolved", None) or self.revision
        return resolved if _COMMIT.fullmatch(resolved) else None

    @property
    def endpoint(self) -> str:
        """The URL of the hub."""
        from huggingface_hub import constants

        named = self.arguments.get("endpoint")
        if named:
            named_endpoints.add(str(named))
        return str(named or constants.ENDPOINT).rstrip("/")

    @property
    def local_dir(self) -> str | None:
        """The real path of the user's own directory that the call downloads to, if it names one."""
        directory = self.arguments.get("local_dir")
        return os.path.realpath(os.path.expanduser(directory)) if directory else None

    @property
    def is_local(self) -> bool:
        """True if the call must not ask the hub."""
        return bool(self.arguments.get("local_files_only"))

    @property
    def cache(self) -> CachedRepository:
        """The repository in the client's cache."""
        if self.found_cache is not None:
            return self.found_cache
        cache_dir = self.arguments.get("cache_dir")
        found = CachedRepository.of(self.uri, self.repo_id, repo_type=self.repo_type, cache_dir=cache_dir)
        # Not a `cached_property`: until Python 3.12 its lock makes the threads of a download wait for each other.
        object.__setattr__(self, "found_cache", found)
        return found

    def cached_commit(self) -> str:
        """Return the commit that this disk has for the requested revision; raise `VerificationError` if it has none.

        A `local_dir` has the one that its signature was downloaded from, whatever the cache has got since then.
        """
        recorded = None
        if self.local_dir and not self.commit:
            with own_calls():  # the directory can be one that a rule names
                recorded = recorded_commit(self.local_dir, SIGNATURE_NAME)
        return self.commit or recorded or self.cache.resolve(self.revision)

    def forget_other_listing(self, commit: str, names: Collection[str]) -> None:
        """Remove the list of files that the client has kept of a commit, if it is not the one that the hub gives now.

        The client downloads what its own list names. Of an incomplete one, files would be missing in the end.
        """
        directory = (
            os.path.join(self.local_dir, *CLIENT_DIRECTORY.split("/")) if self.local_dir else self.cache.directory
        )
        path = os.path.join(directory, "trees", f"{commit}.json")
        try:
            with own_calls():  # the directory can be one that a rule names
                kept = read_json(path, LARGEST_LISTING)["files"].keys()
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return  # there is none, or the client does not read it either
        if kept != {*names}:
            with suppress(OSError):
                os.unlink(path)

    def has_cached_signature(self) -> bool:
        """Return True if the cache has a signature for the requested revision."""
        try:
            return os.path.exists(self.cache.signature(self.cached_commit()))
        except VerificationError:
            return False

    def headers(self, answer: Callable[[Arguments], Any] | None = None) -> OwnCallHeaders:
        """Return the headers of the call, for the guard's own calls; `answer` is as in `OwnCallHeaders`."""
        return OwnCallHeaders(self.arguments.get("headers") or {}, partial(checked_at_least, self.endpoint), answer)

    @contextmanager
    def own_calls(self) -> Iterator[None]:
        """Mark the calls of this thread as the guard's own, and check the hub's responses to them first."""
        with own_calls(), checked_at_least(self.endpoint):
            yield

    def download(self, **changed: Any) -> Any:  # noqa: ANN401 - as the client
        """Download a file with the client's `hf_hub_download`, with the arguments of this call or `changed` ones."""
        with self.own_calls():
            return original_of("hf_hub_download")(**{**self.arguments, "headers": self.headers(), **changed})

    def download_unverified(self) -> Any:  # noqa: ANN401 - as the client
        """Download a file exactly as the program asked for it."""
        with own_calls(), patiently():
            return original_of("hf_hub_download")(**self.arguments)

    def download_signature(self, commit: str, *, dry_run: bool = False) -> Any:  # noqa: ANN401 - as the client
        """Download `model.sig` into the client's cache, or return what the client would do."""
        shared = {name: self.arguments[name] for name in _SHARED if name in self.arguments}
        with self.own_calls():
            return original_of("hf_hub_download")(
                **shared,
                repo_id=self.repo_id,
                endpoint=self.endpoint,
                filename=SIGNATURE_NAME,
                revision=commit,
                dry_run=dry_run,
                cache_dir=self.cache.cache_directory,
                local_files_only=self.is_local,
                headers=self.headers(),
            )


def as_keywords(arguments: Arguments) -> Arguments:
    """Return the arguments of a function that has a parameter `**kwargs` as they can be passed again."""
    rest = arguments.get("kwargs", {})
    return {**{name: value for name, value in arguments.items() if name != "kwargs"}, **rest}


def reason_of(error: BaseException) -> str:
    """Return the first line of the error that the client raised another one from, such as the answer of the hub."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).splitlines()), type(error).__name__)
