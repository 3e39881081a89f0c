"""Repositories, commits and file contents of the local hub, with the object ids of git."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

CHUNK = 1 << 20
# Not a power of two: content at two aligned offsets must differ, or data at the wrong offset would pass.
_BLOCK = CHUNK + 7
_EPOCH = datetime(2024, 1, 1, tzinfo=timezone.utc)
_SHA = re.compile(r"[0-9a-f]{40}")
_LFS_SUFFIXES = (".safetensors", ".bin", ".onnx", ".pt", ".parquet", ".gguf", ".h5", ".zip", ".gz")


class RepoKey(NamedTuple):
    """The key of a repository: its type (model, dataset, space, kernel) and its full name."""

    type: str
    id: str

    @property
    def prefix(self) -> str:
        """The prefix of the name in a URL."""
        return "" if self.type == "model" else f"{self.type}s/"


class Content(Protocol):
    """Content that can be read in pieces."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from start to stop, in pieces."""


@dataclass(frozen=True)
class Blob:
    """Content in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.data)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from start to stop, in one piece."""
        yield self.data[start:stop]


@dataclass(frozen=True)
class OnDisk:
    """Content that is read from a file on demand."""

    path: Path
    size: int

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from start to stop, in pieces."""
        with self.path.open("rb") as file:
            file.seek(start)
            left = stop - start
            while left > 0 and (piece := file.read(min(CHUNK, left))):
                left -= len(piece)
                yield piece


@dataclass(frozen=True)
class Synthetic:
    """A file of any size whose bytes are generated on demand: equal for the same size and seed."""

    size: int
    seed: int = 0

    @property
    def sha256(self) -> str:
        """The digest of the whole content, computed on first use."""
        return _synthetic_sha256(self.size, self.seed)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from start to stop, in pieces."""
        block = _block(self.seed)
        stop = min(stop, self.size)
        while start < stop:
            at = start % _BLOCK
            piece = block[at : at + stop - start]
            start += len(piece)
            yield piece

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes from start to stop, the whole content by default."""
        return b"".join(self.chunks(start, self.size if stop is None else stop))


@lru_cache(maxsize=16)
def _block(seed: int) -> bytes:
    return random.Random(seed).randbytes(_BLOCK)


@lru_cache(maxsize=256)
def _synthetic_sha256(size: int, seed: int) -> str:
    return sha256_of(Synthetic(size, seed))


@dataclass(frozen=True)
class Flipped:
    """Another content with the lowest bit of one byte flipped."""

    inner: Content
    offset: int

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.inner.size

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from start to stop, in pieces."""
        for piece in self.inner.chunks(start, stop):
            at = self.offset - start
            start += len(piece)
            if 0 <= at < len(piece):
                piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
            yield piece


Source = bytes | Path | Synthetic


def sha256_of(content: Content) -> str:
    """The sha256 of a content, in hexadecimal."""
    digest = hashlib.sha256()
    for piece in content.chunks(0, content.size):
        digest.update(piece)
    return digest.hexdigest()


def blob_oid(data: bytes) -> str:
    """Return the id of a git blob with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer_of(sha256: str, size: int) -> bytes:
    """Return the pointer file that git stores instead of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def tree_oids(files: Mapping[str, str]) -> dict[str, str]:
    """Return the git id of every directory, with the root under an empty name."""
    trees: dict[str, list[tuple[str, bytes]]] = {"": []}
    for path, oid in files.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            trees.setdefault("/".join(parts[:depth]), [])
        entry = b"100644 " + parts[-1].encode() + b"\0" + bytes.fromhex(oid)
        trees["/".join(parts[:-1])].append((parts[-1], entry))
    oids: dict[str, str] = {}
    for path in sorted(trees, key=lambda name: (-name.count("/") - bool(name), name)):
        data = b"".join(entry for _, entry in sorted(trees[path]))
        oids[path] = hashlib.sha1(b"tree %d\0" % len(data) + data).hexdigest()
        if path:
            parent, _, name = path.rpartition("/")
            trees[parent].append((f"{name}/", b"40000 " + name.encode() + b"\0" + bytes.fromhex(oids[path])))
    return oids


@dataclass(frozen=True)
class File:
    """A file of a commit: `oid` is its git id (of the pointer for a large file), `sha256` is set for those only."""

    size: int
    oid: str
    content: Content
    sha256: str | None = None

    @property
    def lfs(self) -> bool:
        """True if it is stored as a large file."""
        return self.sha256 is not None

    @property
    def digest(self) -> str:
        """The entity tag that the hub lists: the sha256 of a large file, the git id of any other."""
        return self.sha256 or self.oid

    @property
    def pointer_size(self) -> int:
        """The size of the pointer of a large file."""
        return len(pointer_of(self.sha256 or "", self.size))


@dataclass(frozen=True)
class Commit:
    """One state of a repository; `dirs` has the git id of every directory."""

    sha: str
    parents: tuple[str, ...]
    message: str
    description: str
    author: str
    date: str
    files: Mapping[str, File]
    dirs: Mapping[str, str]


@dataclass
class Repo:
    """A repository with its refs (full names such as refs/heads/main) and all commits that were ever made."""

    key: RepoKey
    private: bool = False
    gated: str | bool = False
    disabled: bool = False
    archived: bool = False
    created: str = ""
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)
    granted: set[str] = field(default_factory=set)
    pull_authors: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The user or organisation that owns it, empty for a legacy name."""
        return self.key.id.rpartition("/")[0]

    def find(self, revision: str, moved: Mapping[str, str] | None = None) -> str | None:
        """Return the sha of a branch, tag, pull request ref or full sha; `moved` overrides refs."""
        refs = {**self.refs, **(moved or {})}
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in refs:
                return refs[name]
        return revision if _SHA.fullmatch(revision) and revision in self.commits else None

    def history(self, sha: str) -> Iterator[Commit]:
        """Return a commit and its first parents, newest first."""
        commit: Commit | None = self.commits.get(sha)
        while commit is not None:
            yield commit
            commit = self.commits.get(commit.parents[0]) if commit.parents else None


class Store:
    """Everything that the hub stores; one lock guards all changes."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.repos: dict[RepoKey, Repo] = {}
        self.aliases: dict[RepoKey, str] = {}
        self.objects: dict[str, Content] = {}
        self.lfs_threshold = 10 << 20
        self._directory = Path(tempfile.mkdtemp(prefix="hub-"))
        self._counter = 0

    def close(self) -> None:
        """Remove the directory of the large files."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def temporary(self) -> Path:
        """Return a new empty file in the directory of the large files."""
        handle, name = tempfile.mkstemp(dir=self._directory)
        os.close(handle)
        return Path(name)

    def create(self, key: RepoKey, *, private: bool = False, gated: str | bool = False) -> Repo:
        """Add a repository with one commit that has no files."""
        with self.lock:
            if key in self.repos:
                raise ValueError(f"{key.type} {key.id} exists already")
            repo = Repo(key, private, gated, created=self._tick())
            self.repos[key] = repo
            self.commit(repo, "refs/heads/main", {}, "initial commit", parent="")
            return repo

    def rename(self, old: RepoKey, new: str) -> None:
        """Rename a repository; the old name redirects to the new one."""
        with self.lock:
            repo = self.repos.pop(old)
            repo.key = RepoKey(old.type, new)
            self.repos[repo.key] = repo
            self.aliases[old] = new

    def commit(
        self,
        repo: Repo,
        ref: str,
        changes: Mapping[str, File | None],
        message: str,
        *,
        description: str = "",
        author: str = "hub",
        parent: str | None = None,
    ) -> Commit:
        """Put a commit on a ref, on top of `parent` (of the ref's commit by default, of nothing when it is empty)."""
        with self.lock:
            parent = repo.refs[ref] if parent is None else parent
            files = dict(repo.commits[parent].files) if parent else {}
            for path, file in changes.items():
                files.pop(path, None)
                if file is not None:
                    files[path] = file
            files = dict(sorted(files.items()))
            dirs = tree_oids({path: file.oid for path, file in files.items()})
            date = self._tick()
            seal = f"{dirs['']}\0{parent}\0{message}\0{description}\0{self._counter}"
            sha = hashlib.sha1(seal.encode()).hexdigest()
            parents = (parent,) if parent else ()
            commit = Commit(sha, parents, message, description, author, date, files, dirs)
            repo.commits[sha] = commit
            repo.refs[ref] = sha
            return commit

    def wants_lfs(self, path: str, size: int) -> bool:
        """True if the hub stores a file of this name and size as a large one."""
        return size > 0 and (size >= self.lfs_threshold or path.lower().endswith(_LFS_SUFFIXES))

    def file(self, repo: Repo, path: str, source: Source, *, lfs: bool | None = None) -> File:
        """Store content for a repository, as `lfs` says or the hub would choose."""
        size = _size_of(source)
        if not (self.wants_lfs(path, size) if lfs is None else lfs):
            return plain_file(_bytes_of(source))
        content: Content
        if isinstance(source, Synthetic):
            content, sha256 = source, source.sha256
        else:
            target = self.temporary()
            if isinstance(source, bytes):
                target.write_bytes(source)
            else:
                shutil.copyfile(source, target)
            content = OnDisk(target, size)
            sha256 = sha256_of(content)
        self.keep(repo, sha256, content)
        return self.large_file(sha256)

    def keep(self, repo: Repo, sha256: str, content: Content) -> None:
        """Record that a large file exists, and that this repository has it."""
        with self.lock:
            self.objects.setdefault(sha256, content)
            repo.objects.add(sha256)

    def large_file(self, sha256: str) -> File:
        """Return a file for large content that exists already."""
        content = self.objects[sha256]
        return File(content.size, blob_oid(pointer_of(sha256, content.size)), content, sha256)

    def _tick(self) -> str:
        self._counter += 1
        return (_EPOCH + timedelta(seconds=self._counter)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def plain_file(data: bytes) -> File:
    """Return a file that git stores as it is."""
    return File(len(data), blob_oid(data), Blob(data))


def _size_of(source: Source) -> int:
    if isinstance(source, bytes):
        return len(source)
    return source.stat().st_size if isinstance(source, Path) else source.size


def _bytes_of(source: Source) -> bytes:
    if isinstance(source, bytes):
        return source
    return source.read_bytes() if isinstance(source, Path) else source.read()


def directories(paths: Iterable[str]) -> set[str]:
    """Return all parent directories of these paths."""
    return {"/".join(parts[:depth]) for path in paths for parts in [path.split("/")] for depth in range(1, len(parts))}
