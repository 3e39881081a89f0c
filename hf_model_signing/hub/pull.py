"""Pull: download a repository from the Hugging Face Hub, and return it only if a trusted signer signed it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from hf_model_signing._util.notes import warn
from hf_model_signing._util.paths import StrPath, several
from hf_model_signing.errors import ModelError, UsageError, VerificationError
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.hub.arguments import check_trust
from hf_model_signing.hub.detached_signature import read_signature
from hf_model_signing.hub.download import Pulled
from hf_model_signing.hub.public_function import public_function
from hf_model_signing.hub.repository_download import RepositoryDownload
from hf_model_signing.methods.interface import Verifier
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.policy.trust_policy import Policy, Trusted
from hf_model_signing.verifying import Coverage
from hub_adapters import find_repository
from hub_adapters.interface import FetchOptions


@public_function()
def pull(
    repo_id: str,
    *,
    verifier: Verifier | None = None,
    policy: StrPath | Policy | None = None,
    revision: str | None = None,
    repo_type: str | None = None,
    local_dir: StrPath | None = None,
    allow_patterns: str | Iterable[str] | None = None,
    ignore_unsigned_files: bool = False,
    signature: StrPath | Bundle | None = None,
    token: str | bool | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Pulled:
    """Download a repository from the Hugging Face Hub, and return where it is once it is verified.

    `repo_id` is `ORG/NAME`, also with `@REV`, or a reference such as `hf://datasets/ORG/NAME`. `repo_type` is `model`,
    `dataset`, `space` or `kernel`; `revision` a branch, a tag or a commit. The accepted signers are those of either
    `verifier` or `policy`, a trust policy or the path of one; a repository that no rule of it names is refused, also if
    its default allows it.

    The repository goes to the client's cache, or to the directory `local_dir`. `allow_patterns` chooses files, and
    `ignore_unsigned_files` accepts files that the signature does not list. `signature`, a path, a URL or a bundle, is
    used instead of the `model.sig` of the repository. `token` is sent to the hub in place of the user's own. `note`
    receives messages for the user; without it, they are warnings (`HubWarning`).

    It holds what was signed when `pull` returns. Files that others can write may change later; the guard handles that.

    The signature, the repository that it was made for, rollback and the listing of the hub are checked before anything
    large is downloaded. If the hub cannot serve the repository, its cache is verified instead. Raises
    `VerificationError` if the repository is not what a trusted signer signed, `HubError` if the hub fails, and
    `UsageError` for invalid arguments or an error in the policy.
    """
    check_trust(verifier, policy)
    target = None if local_dir is None else os.fspath(local_dir)
    if target == "":
        raise UsageError("--to names no folder")
    adapter, reference = find_repository(repo_id, repo_type, revision, token=token)
    only = () if allow_patterns is None else several(allow_patterns)
    coverage = Coverage(only=only, ignore_unsigned_files=ignore_unsigned_files)
    trusted, options = Trusted.of(reference.uri, verifier, policy), FetchOptions(note=note or warn)
    bundle = None if signature is None else read_signature(signature, options)
    work = RepositoryDownload(adapter, reference, trusted, coverage, options, progress)
    try:
        return work.run(bundle, target and os.path.abspath(target))
    except ModelError as error:
        raise VerificationError(str(error)) from error
