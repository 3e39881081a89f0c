"""Functions that publish to a repository and read its card for that: while they run, the card need not be verified.

`push_to_hub` of many libraries reads the card of the repository that it writes to, adds to it, and writes it back. The
card is text that returns to the repository that it came from; the program gets nothing of it. So while such a function
runs, it may read these files of that repository, and of no other. See `docs/decisions/009-publishing.md`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_model_signing.guarding.own_calls import own_calls

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

HOW_TO_PUBLISH = "a program that publishes to it calls create_repo(…, exist_ok=True) first"
CARDS = frozenset({"README.md", "dataset_infos.json"})  # the second is where `datasets` had the data of a card before


class PublishingFunction(NamedTuple):
    """A function of the client or a library; a release of the library may lack it.

    `parameter` names the repository that it publishes to; without one, it only loads, wherever it is called from. With
    `is_created`, it publishes only to a repository that this process has asked the hub to create.
    """

    module: str
    name: str
    parameter: str = ""
    repo_type: str | None = None  # None: its own argument
    is_created: bool = False
    is_in_all_releases: bool = False  # without it, a call that publishes is refused


_CREATE = "HfApi.create_repo"
# They prepare a commit, and the program gets nothing of what they read: small files that the commit copies on the hub,
# and the names of files that it deletes.
_COPY, _DELETE = "_fetch_files_to_copy", "HfApi._prepare_folder_deletions"
PUBLISHING_FUNCTIONS = (
    PublishingFunction("huggingface_hub.hf_api", _CREATE),
    PublishingFunction("huggingface_hub._commit_api", _COPY),
    PublishingFunction("huggingface_hub.hf_api", _DELETE),
    PublishingFunction("huggingface_hub.repocard", "metadata_update", "repo_id"),
    PublishingFunction("huggingface_hub._tensorboard_logger", "HFSummaryWriter.__init__", "repo_id"),
    PublishingFunction("transformers.utils.hub", "create_and_tag_model_card", "repo_id", "model", is_created=True),
    PublishingFunction(
        "diffusers.utils.hub_utils", "load_or_create_model_card", "repo_id_or_path", "model", is_created=True
    ),
    PublishingFunction("sentence_transformers.base.model", "BaseModel.push_to_hub", "repo_id", "model"),
    PublishingFunction("datasets.arrow_dataset", "Dataset.push_to_hub", "repo_id", "dataset"),
    PublishingFunction("datasets.dataset_dict", "DatasetDict.push_to_hub", "repo_id", "dataset"),
    PublishingFunction("datasets.dataset_dict", "IterableDatasetDict.push_to_hub", "repo_id", "dataset"),
    PublishingFunction("datasets.iterable_dataset", "IterableDataset.push_to_hub", "repo_id", "dataset"),
    PublishingFunction("datasets.load", "dataset_module_factory"),
)
PUBLISHING_MODULES = tuple(dict.fromkeys(function.module for function in PUBLISHING_FUNCTIONS))
_BY_NAME = {function.name: function for function in PUBLISHING_FUNCTIONS}


@dataclass
class Publication:
    """One call of a publishing function: its repository, under each name that it has, and a directory for its cards."""

    uris: set[str]
    _directories: list[TemporaryDirectory[str]] = field(default_factory=list)

    def directory(self) -> str:
        """Return a new private directory, which is removed when the call ends."""
        from tempfile import TemporaryDirectory

        made = TemporaryDirectory(prefix="hf-sign-")
        self._directories.append(made)
        return made.name

    def end(self) -> None:
        """Remove the directories."""
        for directory in self._directories:
            directory.cleanup()


_current: ContextVar[Publication | None] = ContextVar("hf_sign_publication", default=None)
_created: set[str] = set()  # repositories that this process asked the hub to create, whether they existed or not


def publishing_function(name: str) -> PublishingFunction | None:
    """Return the entry for the hooked function `name`, if it is one of these."""
    return _BY_NAME.get(name)


def publication() -> Publication | None:
    """Return the call of a publishing function that this context is in."""
    return _current.get()


def publishes_to(uri: str) -> bool:
    """Return True for a repository that this process asked the hub to create, or that this context publishes to."""
    current = _current.get()
    return uri in _created or (current is not None and uri in current.uris)


def publish(
    function: PublishingFunction, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:  # noqa: ANN401 - as the function
    """Return what a publishing function returns; while it runs, it may read the card of its repository."""
    if function.name == _CREATE:
        created = original(*args, **kwargs)
        _record(uri_of(created.repo_id, created.repo_type))
        return created
    if function.name in (_COPY, _DELETE):
        with own_calls():
            return original(*args, **kwargs)
    bound = inspect.signature(original).bind(*args, **kwargs)
    bound.apply_defaults()
    name = bound.arguments.get(function.parameter)
    uri = uri_of(str(name), function.repo_type or bound.arguments.get("repo_type"))
    is_open = bool(function.parameter) and (not function.is_created or uri in _created)
    with _published(Publication({uri}) if is_open else None):
        return original(*args, **kwargs)


def uri_of(repo_id: str, repo_type: str | None) -> str:
    """Return the hub reference of a repository."""
    return f"hf://{repo_id}" if repo_type in (None, "model") else f"hf://{repo_type}s/{repo_id}"


def _record(uri: str) -> None:
    _created.add(uri)
    current = _current.get()
    if current is not None:  # the hub gives a name without an owner the one of the user
        current.uris.add(uri)


@contextmanager
def _published(current: Publication | None) -> Iterator[None]:
    token = _current.set(current)
    try:
        yield
    finally:
        _current.reset(token)
        if current is not None:
            current.end()
