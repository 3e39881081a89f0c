"""`snapshot_download` and `hf_hub_download` of `huggingface_hub`, which return only what is verified."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

import huggingface_hub

from hf_model_signing.guarding.guard import Path, strictly
from hf_model_signing.policy.trust_policy import Policy

if TYPE_CHECKING:
    from huggingface_hub.file_download import DryRunFileInfo
    from typing_extensions import TypedDict, Unpack

    class _Options(TypedDict, total=False):
        """Arguments of both functions of the client."""

        repo_type: str | None
        revision: str | None
        cache_dir: str | os.PathLike[str] | None
        local_dir: str | os.PathLike[str] | None
        library_name: str | None
        library_version: str | None
        user_agent: dict[str, Any] | str | None
        etag_timeout: float
        force_download: bool
        token: bool | str | None
        local_files_only: bool
        headers: dict[str, str] | None
        endpoint: str | None
        tqdm_class: type[Any] | None

    class _FileOptions(_Options, total=False):
        subfolder: str | None

    class _SnapshotOptions(_Options, total=False):
        allow_patterns: list[str] | str | None
        ignore_patterns: list[str] | str | None
        max_workers: int

    @overload
    def hf_hub_download(
        repo_id: str,
        filename: str,
        *,
        policy: Path | Policy | None = None,
        dry_run: Literal[False] = False,
        **options: Unpack[_FileOptions],
    ) -> str: ...
    @overload
    def hf_hub_download(
        repo_id: str,
        filename: str,
        *,
        policy: Path | Policy | None = None,
        dry_run: Literal[True],
        **options: Unpack[_FileOptions],
    ) -> DryRunFileInfo: ...
    def hf_hub_download(*args: Any, **options: Any) -> Any:
        """Download a file; see below."""

    @overload
    def snapshot_download(
        repo_id: str,
        *,
        policy: Path | Policy | None = None,
        dry_run: Literal[False] = False,
        **options: Unpack[_SnapshotOptions],
    ) -> str: ...
    @overload
    def snapshot_download(
        repo_id: str,
        *,
        policy: Path | Policy | None = None,
        dry_run: Literal[True],
        **options: Unpack[_SnapshotOptions],
    ) -> list[DryRunFileInfo]: ...
    def snapshot_download(*args: Any, **options: Any) -> Any:
        """Download a repository; see below."""


def _verified(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the client with one more argument, `policy`."""

    @functools.wraps(function)
    def call(*args: Any, policy: Path | Policy | None = None, **kwargs: Any) -> Any:  # noqa: ANN401 - as the client
        with strictly(policy):
            return function(*args, **kwargs)

    signature = inspect.signature(function)
    own = inspect.Parameter("policy", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Path | Policy | None)
    call.__signature__ = signature.replace(parameters=[*signature.parameters.values(), own])  # type: ignore[attr-defined]
    call.__annotations__ = {**function.__annotations__, "policy": own.annotation}
    call.__module__ = __name__
    call.__doc__ = (
        f"`huggingface_hub.{function.__name__}`, which returns only what a signer signed whom `policy` trusts.\n\n"
        "`policy` is a trust policy or its file, and defaults to that of the guard, then to what HF_SIGN_POLICY\n"
        "names; what no rule of it names is refused, whatever its default. Raises `VerificationError` for what is\n"
        "not verified, `UsageError` for a policy with an error in it, and what the client raises.\n\n"
        f"{inspect.cleandoc(function.__doc__ or '')}"
    )
    return call


if not TYPE_CHECKING:  # type checkers take the declarations above
    hf_hub_download = _verified(huggingface_hub.hf_hub_download)
    snapshot_download = _verified(huggingface_hub.snapshot_download)
