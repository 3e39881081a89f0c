"""Sign a model, on this machine or on a hub, and compute its root digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hf_model_signing._util.notes import ignore
from hf_model_signing._util.paths import StrPath, several
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.hub.arguments import check_signer
from hf_model_signing.hub.public_function import public_function
from hf_model_signing.hub.references import Source
from hf_model_signing.methods.interface import Signer
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement
from hf_model_signing.signing import HowToHash, make_manifest, receipts_for
from hub_adapters.limits import Limits


@public_function()
def sign(
    reference: StrPath,
    *,
    signer: Signer,
    ignore_paths: StrPath | Iterable[StrPath] = (),
    ignore_git_paths: bool = True,
    allow_symlinks: bool = False,
    hash_type: str = "sha256",
    shard_size: int | None = None,
    allow_lfs_pointers: bool = False,
    reuse: StrPath | Bundle | None = None,
    beside: str | Iterable[str] = (),
    limits: Limits | None = None,
    revision: str | None = None,
    repo_type: str | None = None,
    token: str | bool | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Bundle:
    """Sign a model and return the signature; write it to a file with `Bundle.write`.

    `reference` is a local path (a directory or a file), or a hub reference such as `hf://ORG/NAME@REV`,
    `tfhub://PUBLISHER/MODEL/VARIATION/VERSION`, `torchhub://OWNER/REPO:REF` or `https://…/NAME.onnx`.

    `ignore_paths` are left out: relative to the model, or absolute below it; `ignore_git_paths` leaves out git's own
    files. `hash_type` is `sha256`, `blake2b` or `blake3`. `shard_size`, in bytes, signs byte ranges of that size
    instead of whole files. `allow_symlinks` signs the targets of symbolic links, `allow_lfs_pointers` Git LFS pointers
    as they are. `reuse` is an earlier signature of the same signer: its digests are used for large files that have not
    changed since they were hashed on this machine. `beside` names data files beside an `.onnx` file on a web server,
    and `limits` bound a download. `revision`, `repo_type` and `token` apply to a repository on the Hugging Face Hub, as
    in `pull`. `note` receives messages for the user.

    Raises `ModelError` if there is nothing to sign or a file cannot be signed, `UsageError` for invalid arguments or a
    missing path, `VerificationError` if the earlier signature is not the signer's, and `HubError` if the hub fails.
    """
    check_signer(signer)
    how = HowToHash(several(ignore_paths), ignore_git_paths, allow_symlinks, hash_type, shard_size, allow_lfs_pointers)
    source = Source(reference, beside, limits, progress, note or ignore, revision, repo_type, token)
    return signer.sign(statement_of(source, how, signer=signer, reuse=reuse, progress=progress))


@public_function()
def digest(
    reference: StrPath,
    *,
    ignore_paths: StrPath | Iterable[StrPath] = (),
    ignore_git_paths: bool = True,
    allow_symlinks: bool = False,
    hash_type: str = "sha256",
    shard_size: int | None = None,
    allow_lfs_pointers: bool = False,
    beside: str | Iterable[str] = (),
    limits: Limits | None = None,
    revision: str | None = None,
    repo_type: str | None = None,
    token: str | bool | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> str:
    """Return the root digest of a model, `sha256:` and 64 hex digits, as `sign` would record it, without signing.

    The root digest is always a SHA-256; `hash_type` is the hash of the files. The arguments are those of `sign`, and
    so are the errors.
    """
    how = HowToHash(several(ignore_paths), ignore_git_paths, allow_symlinks, hash_type, shard_size, allow_lfs_pointers)
    source = Source(reference, beside, limits, progress, note or ignore, revision, repo_type, token)
    return f"sha256:{statement_of(source, how, progress=progress).manifest.root_digest}"


def statement_of(
    source: Source,
    how: HowToHash,
    *,
    signer: Signer | None = None,
    reuse: StrPath | Bundle | None = None,
    progress: Progress | None = None,
) -> Statement:
    """Hash a model and return the statement that a signature of it makes.

    For a `signer` receipts are kept, and the digests of its earlier signature `reuse` are used. Raises as `sign` does.
    """
    source.check_exists()
    root = "" if source.on_hub else source.reference
    receipts = receipts_for(how.serialization(root), signer, reuse, note=source.note) if signer else None
    if source.on_hub is None:
        return Statement(make_manifest(source.reference, how, progress=progress, receipts=receipts))
    from hf_model_signing.hub.downloaded import fetched_statement
    from hf_model_signing.hub.repository import DigestSource, RepositoryAtRevision, check_canonical_name

    adapter, reference = source.on_hub
    if not adapter.lists_files:
        return fetched_statement(adapter, reference, how, source.options, progress=progress, receipts=receipts)
    resolved = adapter.resolve(reference)
    check_canonical_name(resolved, source.note)
    return RepositoryAtRevision(adapter, resolved, DigestSource(how=how), progress, receipts).statement()
