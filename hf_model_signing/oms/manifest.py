"""The manifest: the sorted list of (path, digest) of a model, how it was made, and how two of them differ."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from hf_model_signing._util.text import some
from hf_model_signing.oms.shards import content_of, join_shards, shard_name, shard_ranges


@dataclass(frozen=True)
class Serialization:
    """How a manifest was made (section 5.2.2); `shard_size` is in bytes, and None for the method `files`."""

    method: str = "files"
    hash_type: str = "sha256"
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()
    shard_size: int | None = None


class Entry(NamedTuple):
    """One resource: its path below the model's root, with `/` (a shard: `path:start:end`), and its raw digest."""

    name: str
    digest: bytes


@dataclass(frozen=True)
class Difference:
    """What separates the model that was found from the manifest that was signed; each list is sorted."""

    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.added or self.changed or self.renamed)

    def describe(self) -> str:
        """The totals in one line, then at most ten names of each kind, a line each kind."""
        kinds = {
            "changed": list(self.changed),
            "missing": list(self.missing),
            "added": list(self.added),
            "renamed": [f"{old} -> {new}" for old, new in self.renamed],
        }
        totals = ", ".join(f"{len(names)} {kind}" for kind, names in kinds.items() if names)
        lines = [f"  {kind}: {some(names)}" for kind, names in kinds.items() if names]
        return "\n".join([totals, *lines])


@dataclass(frozen=True)
class Manifest:
    """The files of a model and their digests, in the order in which they are signed.

    `empty_files` are those that the method `shards` has no entries for, because they have no bytes.
    """

    name: str
    entries: tuple[Entry, ...]
    serialization: Serialization
    empty_files: tuple[str, ...] = ()

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
        """What tells the content of each file, by its path: its raw digest, or for shards what `content_of` says.

        Raises `ShardError` when the shards do not cover their files.
        """
        if self.serialization.shard_size is None:
            return dict(self.entries)
        empty = dict.fromkeys(self.empty_files, content_of(0, ()))
        return {**empty, **join_shards(self.entries, self.serialization.shard_size)}

    @cached_property
    def root_digest(self) -> str:
        """The one digest that stands for the whole model (section 6.5.1): SHA-256, in lower-case hex."""
        return hashlib.sha256(b"".join(entry.digest for entry in self.entries)).hexdigest()


def compare(signed: Mapping[str, bytes], found: Mapping[str, bytes]) -> Difference:
    """Compare digests by path. A file that left one name and came back under another is reported as renamed."""
    missing = {name for name in signed if name not in found}
    added = {name for name in found if name not in signed}
    renamed = _renames(signed, found, missing, added)
    gone = {old for old, _ in renamed}
    came = {new for _, new in renamed}
    return Difference(
        missing=tuple(sorted(missing - gone)),
        added=tuple(sorted(added - came)),
        changed=tuple(sorted(name for name in signed if name in found and signed[name] != found[name])),
        renamed=tuple(renamed),
    )


def _renames(
    signed: Mapping[str, bytes], found: Mapping[str, bytes], missing: set[str], added: set[str]
) -> list[tuple[str, str]]:
    new_names: dict[bytes, list[str]] = {}
    for name in sorted(added, reverse=True):
        new_names.setdefault(found[name], []).append(name)
    pairs = ((old, new_names.get(signed[old])) for old in sorted(missing))
    return [(old, news.pop()) for old, news in pairs if news]
