"""Files that others can write: refused, copied to a private directory, or trusted, as the policies say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from hf_model_signing.errors import VerificationError
from hf_model_signing.hashing.shared_files import OtherWriter, SharedFiles, other_writer
from hf_model_signing.policy.shared_cache import SharedCache

if TYPE_CHECKING:
    from hf_model_signing.policy.trust_policy import Policy

# With several guards, the strictest treatment of their policies: all of them must answer with the same files.
_strictest: ContextVar[SharedCache | None] = ContextVar("hf_sign_shared_cache", default=None)

_INSTEAD = {
    "cache": 'set shared_cache = "copy" in the trust policy, to load a private copy',
    "open": 'load it through huggingface_hub, which returns a copy, or set shared_cache = "trust" in the policy',
    "model": 'set shared_cache = "trust" in the trust policy',
    "local_dir": 'name a local_dir that only you can write to, or set shared_cache = "trust" in the trust policy',
}


@contextmanager
def treating_alike(policies: Iterable[Policy]) -> Iterator[None]:
    """Let the strictest of several policies decide in this context until the block ends."""
    found = {policy.shared_cache for policy in policies}
    token = _strictest.set(next(each for each in SharedCache if each in found))
    try:
        yield
    finally:
        _strictest.reset(token)


def treatment(policy: Policy) -> SharedCache:
    """Return the treatment of files that others can write."""
    return _strictest.get() or policy.shared_cache


def writer_of_any(paths: Iterable[str]) -> OtherWriter | None:
    """Return who else can write to one of the files, or replace it; raise `VerificationError` if that is not known."""
    shared = SharedFiles()
    try:
        return next(filter(None, map(shared.other_writer, paths)), None)
    except OSError as error:
        raise VerificationError(f"it is not known who can write to it: {error}") from error


def writer_of(path: str) -> OtherWriter | None:
    """Return the same for one file."""
    try:
        return other_writer(path)
    except OSError as error:
        raise VerificationError(f"it is not known who can write to it: {error}") from error


def refusal(other: OtherWriter, what: str) -> VerificationError:
    """Return the error for a file that others can write: of the `cache`, a `model`, a `local_dir`, or one to `open`."""
    return VerificationError(
        f"{other}, so a file could change after it was verified: run `{other.remedy}`, or {_INSTEAD[what]}"
    )
