"""A job for a worker: a repository to download and hash at one commit."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_model_signing.oms.manifest import Serialization
from hf_model_signing.signing import HowToHash
from hf_model_signing.workers.messages import FORMAT, MAX_JOB_BYTES, message, parse
from hub_adapters.interface import Reference, Resolved


class NewerFormatError(ValueError):
    """The job comes from a release whose format this one cannot read."""


class JobBytes(bytes):
    """A job as bytes. Dask logs the arguments of a task that fails, and the token must not be in a log.

    Releases exchange jobs as pickles of this class: its name and its module must not change.
    """

    def __repr__(self) -> str:
        return f"<job of {len(self)} bytes>"

    __str__ = __repr__


@dataclass(frozen=True)
class Job:
    """A repository at one commit, on the hub at `endpoint`, and how to hash it. The `token` may only read.

    `serialization` has the ignored paths of this release, because a worker of another release may have others.
    """

    endpoint: str
    resolved: Resolved
    serialization: Serialization
    allow_lfs_pointers: bool = False
    keep_cache: bool = False
    token: str | None = field(default=None, repr=False)

    @property
    def subject(self) -> tuple[str, str, str]:
        """Endpoint, URI and commit, which the answer has to repeat."""
        return self.endpoint, self.resolved.uri, self.resolved.commit

    @property
    def how(self) -> HowToHash:
        """The options that hash as the serialization states."""
        given = self.serialization
        return HowToHash(
            ignore_paths=given.ignore_paths,
            ignore_git_paths=False,  # they are among the ignored paths if they are ignored
            allow_symlinks=given.allow_symlinks,
            hash_type=given.hash_type,
            shard_size=given.shard_size,
            allow_lfs_pointers=self.allow_lfs_pointers,
        )

    def to_bytes(self) -> JobBytes:
        """Return the job as a message."""
        reference = self.resolved.reference
        made = message(
            "Job",
            format=FORMAT,
            endpoint=self.endpoint,
            kind=reference.kind,
            requested_name=reference.name,
            name=self.resolved.name,
            revision=reference.revision or "",
            commit=self.resolved.commit,
            serialization=serialization_message(self.serialization),
            allow_lfs_pointers=self.allow_lfs_pointers,
            keep_cache=self.keep_cache,
            token=self.token or "",
        )
        return JobBytes(made.SerializeToString())

    @classmethod
    def from_bytes(cls, data: bytes) -> Job:
        """Return the job in a message; raises `NewerFormatError`, and `ValueError` if it is malformed."""
        made = parse("Job", data, MAX_JOB_BYTES)
        if made.format > FORMAT:
            raise NewerFormatError
        how = made.serialization
        reference = Reference("hf", made.kind, made.requested_name, made.revision or None)
        return cls(
            made.endpoint,
            Resolved(reference, made.name, made.commit),
            Serialization(
                how.method, how.hash_type, how.allow_symlinks, tuple(how.ignore_paths), how.shard_size or None
            ),
            allow_lfs_pointers=made.allow_lfs_pointers,
            keep_cache=made.keep_cache,
            token=made.token or None,
        )


def serialization_message(serialization: Serialization) -> object:
    """Return the message for a serialization."""
    return message(
        "Serialization",
        method=serialization.method,
        hash_type=serialization.hash_type,
        allow_symlinks=serialization.allow_symlinks,
        ignore_paths=serialization.ignore_paths,
        shard_size=serialization.shard_size or 0,
    )
