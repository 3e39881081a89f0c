"""References as users write them: a local path, or a model on a hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hf_model_signing._util.paths import StrPath, several
from hf_model_signing.errors import UsageError
from hf_model_signing.signing import no_model
from hub_adapters import find_adapter

if TYPE_CHECKING:  # what a hub needs is loaded only for one
    from hub_adapters.interface import FetchOptions, HubAdapter, Reference
    from hub_adapters.limits import Limits


@dataclass(frozen=True)
class Source:
    """A model as the user named it.

    `reference` is a local path or a hub reference; a path object is always a local path. `beside` names data files
    beside an `.onnx` file on a web server. `limits` bound a download, `progress` observes it if it has the methods of
    `DownloadProgress`, and `note` receives messages for the user.
    """

    reference: StrPath
    beside: str | Iterable[str] = ()
    limits: Limits | None = None
    progress: object = None
    note: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        if not isinstance(self.reference, (str, os.PathLike)):
            raise UsageError(
                f"the reference is {self.reference!r:.100}; it must be a path or a string such as hf://ORG/NAME"
            )
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

        Raises `BadReferenceError` for an invalid hub reference, `UsageError` for data files beside a local path.
        """
        found = find_adapter(self.reference) if isinstance(self.reference, str) else None
        if not self.beside:
            return found
        if found is None:
            raise UsageError("--with names files beside a web address; sign the folder that holds them all")
        adapter, reference = found
        return adapter, adapter.beside(reference, self.beside)

    def check_exists(self) -> None:
        """Raise `UsageError` for a local path at which there is no model."""
        if self.on_hub is None and not os.path.exists(self.reference):
            raise UsageError(no_model(self.reference))
