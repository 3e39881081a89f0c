"""Random trees and random options; a tree is written to a directory in one step."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st

import hf_model_signing as hms
from hf_model_signing.verifying import Verification
from tests.helpers import KeyPair

# Settings with the same examples in every run; HF_SIGN_EXAMPLES=10000 runs so many random ones.
_MORE = os.environ.get("HF_SIGN_EXAMPLES")


def examples(number: int) -> settings:
    """Settings for a property with `number` examples."""
    phases = [phase for phase in Phase if phase != Phase.explain]  # which takes minutes
    return settings(
        max_examples=int(_MORE or number), derandomize=not _MORE, database=None, deadline=None, phases=phases
    )


@dataclass(frozen=True)
class Link:
    """A symbolic link to a file with this content outside of the model."""

    content: bytes


class EmptyFolder:
    """An empty directory."""


Node = bytes | Link | EmptyFolder
Files = dict[str, bytes]  # the signed files: path -> content; the single key "" for a single-file model
Tree = Mapping[str, Node]


@dataclass(frozen=True)
class How:
    """The options of a signer."""

    hash_type: str
    shard_size: int | None
    allow_symlinks: bool


_IGNORED = {".git", ".gitattributes", ".github", ".gitignore", ".cache", "model.sig"}
_ODD = ["a.b", ".hidden", "..x", "...", " ", "a b ", "-rf", "--", "w:0:10", "w", ":", "é", "e\u0301", "\U0001f600", "~"]
_LETTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\")
_PARTS = st.one_of(
    st.sampled_from(_ODD),
    st.text(st.sampled_from("ab.: é"), min_size=1, max_size=3),
    st.text(_LETTERS, min_size=1, max_size=8),
).filter(lambda part: part not in (".", ".."))
_TOP = _PARTS.filter(lambda part: part not in _IGNORED)


def _bytes(seed: int, size: int) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


contents = st.one_of(
    st.just(b""),
    st.binary(max_size=8),
    st.builds(_bytes, st.integers(0, 3), st.integers(1, 64)),
    st.builds(_bytes, st.integers(0, 3), st.sampled_from([255, 256, 257, 1024, 4095, 4096, 4097])),
)
_below = st.recursive(contents, partial(st.dictionaries, _PARTS, min_size=1, max_size=3), max_leaves=5)
folders: st.SearchStrategy[Files] = st.dictionaries(_TOP, _below, min_size=1, max_size=4).map(
    lambda tree: dict(_flat(tree, ""))
)
single_files: st.SearchStrategy[Files] = contents.map(lambda content: {"": content})
trees = st.one_of(folders, folders, folders, single_files)
shard_sizes = st.one_of(st.integers(1, 8), st.integers(9, 4096), st.sampled_from([16, 64, 256, 1024, 4096]))
hash_types = st.sampled_from(["sha256", "blake2b", "blake3"])
ways = st.builds(How, hash_types, st.one_of(st.none(), shard_sizes), st.booleans())


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, bytes]]:
    for name, node in tree.items():
        if isinstance(node, bytes):
            yield prefix + name, node
        else:
            yield from _flat(node, f"{prefix}{name}/")


def with_bytes(files: Files) -> Files:
    """Return the same files, at least one of them not empty."""
    return files if any(files.values()) else {**files, min(files): b"x"}


def signable(files: Files, how: How) -> Files:
    """Return the same files; with shards, which do not list empty files, at least one is not empty."""
    return files if how.shard_size is None else with_bytes(files)


def new_names(files: Files) -> st.SearchStrategy[str]:
    """Paths that are not in `files` and can exist beside them; some look like one of its shards."""
    shards = [f"{name}:0:{len(content)}" for name, content in files.items()]
    parents = sorted({name.rpartition("/")[0] for name in files})
    beside = st.builds(lambda parent, part: f"{parent}/{part}".lstrip("/"), st.sampled_from(parents), _PARTS)
    names = st.one_of(_TOP, beside, st.sampled_from(shards))
    return names.filter(lambda name: _is_free(name, files) and name.split("/")[0] not in _IGNORED)


def _is_free(name: str, files: Files) -> bool:
    fits = all(name != other and not other.startswith(f"{name}/") for other in files)
    return fits and not any(name.startswith(f"{other}/") for other in files)


def write(model: Path, tree: Tree) -> None:
    """Write the model of `tree`."""
    if "" not in tree:
        model.mkdir()
    for number, (name, node) in enumerate(tree.items()):
        path = model / name if name else model
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(node, EmptyFolder):
            path.mkdir()
        elif isinstance(node, Link):
            outside = model.parent.parent / f"{model.parent.name}-{number}"
            outside.write_bytes(node.content)
            path.symlink_to(outside)
        else:
            path.write_bytes(node)


@contextmanager
def places() -> Iterator[Callable[[str], Path]]:
    """Yield directories for models by name: each path ends in `model` and has a parent of its own."""
    with tempfile.TemporaryDirectory() as folder:

        def place(name: str) -> Path:
            (Path(folder) / name).mkdir()
            return Path(folder) / name / "model"

        yield place


def sign(model: Path, how: How, pair: KeyPair) -> hms.Bundle:
    """Sign with the options of `how`; the bundle is encoded and parsed in between."""
    bundle = hms.sign(
        model,
        signer=pair.signer,
        hash_type=how.hash_type,
        shard_size=how.shard_size,
        allow_symlinks=how.allow_symlinks,
    )
    return hms.Bundle.parse(bundle.to_bytes())


def verify(model: Path, bundle: hms.Bundle, pair: KeyPair) -> Verification:
    return hms.verify(model, bundle, verifier=pair.verifier)
