"""Batch and audit as functions of the Python API: an organisation by its name, and arguments instead of options."""

from __future__ import annotations

import os
from collections.abc import Iterable

from hf_model_signing._util.argument_types import PATTERNS, instance
from hf_model_signing._util.paths import StrPath, several
from hf_model_signing._util.repository_kinds import KINDS
from hf_model_signing.errors import UsageError
from hf_model_signing.hub.arguments import check_policy, check_signer
from hf_model_signing.hub.public_function import public_function
from hf_model_signing.hub.push import DEFAULT_MESSAGE
from hf_model_signing.hub.repository import DigestSource
from hf_model_signing.methods.interface import Signer
from hf_model_signing.organisation import audit as auditing
from hf_model_signing.organisation import batch as batching
from hf_model_signing.organisation.options import DEFAULT_JOBS, MAX_JOBS, BatchOptions, Observer, RunOptions
from hf_model_signing.organisation.selection import Selection
from hf_model_signing.policy.trust_policy import Policy
from hf_model_signing.report.interface import Report
from hf_model_signing.signing import HowToHash
from hub_adapters.http.rate_budget import Budget
from hub_adapters.huggingface.adapter import HuggingFaceAdapter, owner_name
from hub_adapters.huggingface.organisation import check_owner


@public_function(repo_type=PATTERNS, observer=instance(Observer))
def audit(
    organisation: str,
    *,
    policy: StrPath | Policy | None = None,
    repo_type: str | Iterable[str] | None = None,
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    jobs: int = DEFAULT_JOBS,
    token: str | bool | None = None,
    observer: Observer | None = None,
) -> Report:
    """Find out which repositories of an organisation are signed, by whom, and which signatures are stale.

    `organisation` is the name of an organisation or a user on the Hugging Face Hub. With a `policy`, a trust policy or
    the path of one, the report says which signers are trusted. `repo_type` chooses kinds: `model`, `dataset`, `space`,
    `kernel`; `include` and `exclude` are patterns of names such as `bert-*`. `jobs` is the number of threads, at most
    64. `token` is sent to the hub in place of the user's own. `observer` follows the run.

    Nothing large is downloaded, and nothing is changed. Raises `UsageError` for invalid arguments or an error in the
    policy, `NotFoundError` if there is no repository, `RefusedError` if none is selected, and `StopBatch` if the hub
    stays unavailable.
    """
    check_policy(policy)
    read = policy if policy is None or isinstance(policy, Policy) else Policy.read(policy)
    owner, options = _owner(organisation), RunOptions(_selection(repo_type, include, exclude), _checked(jobs))
    adapter = HuggingFaceAdapter(Budget(), token=token)
    return auditing.audit(adapter, owner, policy=read, options=options, observer=observer)


@public_function(repo_type=PATTERNS, observer=instance(Observer))
def batch(
    organisation: str,
    *,
    signer: Signer,
    repo_type: str | Iterable[str] | None = None,
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    remote: bool = False,
    dry_run: bool = False,
    ignore_paths: StrPath | Iterable[StrPath] = (),
    ignore_git_paths: bool = True,
    allow_symlinks: bool = False,
    hash_type: str = "sha256",
    shard_size: int | None = None,
    allow_lfs_pointers: bool = False,
    jobs: int = DEFAULT_JOBS,
    journal: StrPath | None = None,
    keep_cache: bool = False,
    replace_others: bool = False,
    executor: str | None = None,
    token: str | bool | None = None,
    observer: Observer | None = None,
) -> Report:
    """Sign every repository of an organisation on the Hugging Face Hub, each as `push` does, and return a report.

    A run that was stopped is continued by the same call: `journal` is the file that records what is done, by default
    one for each organisation in the user's cache. Unless `keep_cache`, a repository that was not in the cache before is
    removed from it after hashing. `executor`, `dask://HOST:PORT`, has the workers of a cluster download and hash.
    Signatures of other signers stay, unless `replace_others`. `dry_run` stops after the plan. The other arguments are
    those of `audit` and `push`.

    Raises `UsageError` for invalid arguments or without a login, `NotFoundError` if there is no repository,
    `RefusedError` if none is selected, `HfSignError` if another process uses the journal, and `StopBatch` if the hub
    stays unavailable or the signer cannot continue. An error of one repository is in its record, and ends no run.
    """
    check_signer(signer)
    how = HowToHash(several(ignore_paths), ignore_git_paths, allow_symlinks, hash_type, shard_size, allow_lfs_pointers)
    options = BatchOptions(
        selection=_selection(repo_type, include, exclude),
        jobs=_checked(jobs),
        digest_source=DigestSource(remote=remote, how=how),
        revision=revision,
        create_pr=create_pr,
        message=commit_message or DEFAULT_MESSAGE,
        journal=None if journal is None else os.fspath(journal),
        dry_run=dry_run,
        executor=executor,
        keep_cache=keep_cache,
        replace_others=replace_others,
    )
    owner, adapter = _owner(organisation), HuggingFaceAdapter(Budget(), token=token)
    return batching.batch(adapter, owner, signer=signer, options=options, observer=observer)


def _owner(organisation: str) -> str:
    if not isinstance(organisation, str):
        raise UsageError(f"the organisation is {organisation!r:.100}; it must be a name such as 'acme'")
    return check_owner(owner_name(organisation))


def _selection(
    repo_type: str | Iterable[str] | None, include: str | Iterable[str], exclude: str | Iterable[str]
) -> Selection:
    kinds = KINDS if repo_type is None else several(repo_type)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UsageError(f"there is no type of repository {unknown[0]!r}; there are {', '.join(KINDS)}")
    return Selection(kinds, several(include), several(exclude))


def _checked(jobs: int) -> int:
    if not isinstance(jobs, int) or not 1 <= jobs <= MAX_JOBS:
        raise UsageError(f"the number of jobs is {jobs!r}; it must be from 1 to {MAX_JOBS}")
    return jobs
