"""References as users write them: a local path, or a model on a hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from hf_model_signing._util.paths import StrPath, several
from hf_model_signing._util.text import show
from hf_model_signing.errors import UsageError
from hf_model_signing.signing import is_changed_reference, no_model
from hub_adapters import find_adapter, find_repository
from hub_adapters.errors import BadReferenceError

if TYPE_CHECKING:  # what a hub needs is loaded only for one
    from hub_adapters.interface import FetchOptions, HubAdapter, Reference
    from hub_adapters.limits import Limits


@dataclass(frozen=True, eq=False)
class Source:
    """A model as the user named it.

    `reference` is a local path or a hub reference; a path object is always a local path. `beside` names data files
    beside an `.onnx` file on a web server. `limits` bound a download, `progress` observes it if it has the methods of
    `DownloadProgress`, and `note` receives messages for the user. `revision` and `repo_type` complete the reference of
    a repository on the Hugging Face Hub, and `token` is sent there in place of the user's own.
    """

    reference: StrPath
    beside: str | Iterable[str] = ()
    limits: Limits | None = None
    progress: object = None
    note: Callable[[str], None] = lambda _: None
    revision: str | None = None
    repo_type: str | None = None
    token: str | bool | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.reference, (str, os.PathLike)):
            raise UsageError(
                f"the reference is {self.reference!r:.100}; it must be a path or a string such as hf://ORG/NAME"
            )
        if isinstance(self.reference, os.PathLike) and is_changed_reference(self.reference):
            raise UsageError(no_model(self.reference))
        object.__setattr__(self, "beside", several(self.beside) if self.beside else ())

    @cached_property
    def options(self) -> FetchOptions:
        """The options of the download."""
        from hub_adapters.interface import DownloadProgress, FetchOptions
        from hub_adapters.limits import Limits

        observer = self.progress if isinstance(self.progress, DownloadProgress) else None
        return FetchOptions(self.limits or Limits(), observer, self.note)

    @cached_property
    def on_hub(self) -> tuple[HubAdapter, Reference] | None:
        """The adapter and the reference of a model on a hub; None for a local path.

        Raises `BadReferenceError` for an invalid hub reference, `UsageError` for data files beside a local path, and
        for an argument that the reference contradicts or that does not apply to it.
        """
        found = self._completed(find_adapter(self.reference) if isinstance(self.reference, str) else None)
        if not self.beside:
            return found
        if found is None:
            raise UsageError("--with names files beside a web address; sign the folder that holds them all")
        adapter, reference = found
        return adapter, adapter.beside(reference, self.beside)

    @property
    def _names_of_arguments(self) -> str:
        """The names of the arguments that are given and apply to the Hugging Face Hub alone."""
        given = {"revision": self.revision, "repo_type": self.repo_type, "token": self.token}
        return ", ".join(f"{name}=" for name, value in given.items() if value is not None)

    def _completed(self, found: tuple[HubAdapter, Reference] | None) -> tuple[HubAdapter, Reference] | None:
        """Return the adapter with the token, and the reference with the revision and the type that were given."""
        names = self._names_of_arguments
        if not names:
            return found
        if found is None or found[1].hub != "hf":
            kind = "is a path on this machine" if found is None else "is on another hub"
            raise UsageError(
                f"'{show(os.fspath(self.reference))}' {kind}: {names} can be given for a repository on the Hugging "
                "Face Hub only, such as hf://ORG/NAME"
            )
        try:
            return find_repository(os.fspath(self.reference), self.repo_type, self.revision, token=self.token)
        except BadReferenceError as error:
            raise UsageError(str(error)) from error

    def check_alone(self) -> None:
        """Raise `UsageError` if an argument for the Hugging Face Hub is given with something else."""
        if self._names_of_arguments:
            _ = self.on_hub

    def check_exists(self) -> None:
        """Raise `UsageError` for a local path at which there is no model."""
        if self.on_hub is None and not os.path.exists(self.reference):
            raise UsageError(no_model(self.reference))
