"""The manifest and its serialization (sections 5.2 and 6 of the specification)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from hf_model_signing.oms.directories import Directory, directories_of
from hf_model_signing.oms.shards import content_of, join_shards, shard_name, shard_ranges


@dataclass(frozen=True)
class Serialization:
    """The serialization of a manifest (section 5.2.2); `shard_size` is in bytes, and None for the method `files`."""

    method: str = "files"
    hash_type: str = "sha256"
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()
    shard_size: int | None = None


class Entry(NamedTuple):
    """One resource: its path relative to the root, with `/` (a shard: `path:start:end`), and its raw digest."""

    name: str
    digest: bytes


@dataclass(frozen=True)
class Manifest:
    """The files of a model and their digests, in the order in which they are signed.

    `empty_files` are the files without bytes, for which the method `shards` has no entries (section 6.3.2).
    """

    name: str
    entries: tuple[Entry, ...] = field(repr=False)
    serialization: Serialization
    empty_files: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, name: str, digests: Mapping[str, bytes], serialization: Serialization) -> Manifest:
        """Make a manifest of whole files in the order of section 6.4: by name, in code points."""
        return cls(name, tuple(map(Entry._make, sorted(digests.items()))), serialization)

    @classmethod
    def of_shards(
        cls, name: str, files: Mapping[str, tuple[int, Sequence[bytes]]], serialization: Serialization
    ) -> Manifest:
        """Make a manifest of shards from the size in bytes and the digests of each file (section 6.3.2)."""
        size = serialization.shard_size or 0
        entries = [
            Entry(shard_name(path, start, end), digest)
            for path, (length, digests) in files.items()
            for (start, end), digest in zip(shard_ranges(length, size), digests, strict=True)
        ]
        empty = tuple(sorted(path for path, (length, _) in files.items() if not length))
        return cls(name, tuple(sorted(entries)), serialization, empty)

    @cached_property
    def digests(self) -> Mapping[str, bytes]:
        """The content digest of each file by path: its raw digest or, with shards, the result of `content_of`.

        Raises `ShardError` when the shards do not cover their files.
        """
        if self.serialization.shard_size is None:
            return dict(self.entries)
        empty = dict.fromkeys(self.empty_files, content_of(0, ()))
        return {**empty, **join_shards(self.entries, self.serialization.shard_size)}

    @cached_property
    def directories(self) -> Mapping[str, Directory]:
        """Every directory of the model by its name; that of the root is empty."""
        return directories_of(self.digests)

    @cached_property
    def root_digest(self) -> str:
        """SHA-256 over the digests of all entries, in lower-case hex: the digest of the model (section 6.5.1)."""
        return hashlib.sha256(b"".join(entry.digest for entry in self.entries)).hexdigest()
