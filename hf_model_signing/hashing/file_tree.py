"""Listing of the files of a model on disk, and their state (section 6.1 of the specification)."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

from hf_model_signing._util.path_depth import is_too_deep
from hf_model_signing._util.paths import NAMES_ARE_UTF8, path_inside, true_place
from hf_model_signing._util.regular_files import kind_of
from hf_model_signing._util.text import show
from hf_model_signing.errors import ModelError, ModelWarning
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot
from hf_model_signing.oms.folders import Folders
from hf_model_signing.oms.names import SIGNATURE_NAME, PathError, check_name, is_plain, matches_any

_MAX_FILES = 1_000_000  # four times as many as a bundle can list; followed links can multiply directories
_MAX_FOLDERS = 100_000  # with followed links: two links in each of a few dozen directories make millions of paths


@dataclass(frozen=True, eq=False, repr=False)
class Scope:
    """The files of a directory that belong to an operation.

    `ignored` are exact paths below the root; they and everything below them are left out. `only` are patterns, of
    which a file must match one if there are any. `names`, if given, limits the scope to these files.
    """

    ignored: Set[str] = frozenset()
    only: tuple[str, ...] = ()
    names: Set[str] | None = None

    @property
    def includes_all(self) -> bool:
        """True if every file that is not ignored is in the scope."""
        return self.names is None and not self.only

    def enters(self, folder: str) -> bool:
        """Return True if a file in the scope could be below `folder`."""
        return self.names is None or folder in self._folders

    @cached_property
    def _folders(self) -> Folders:
        return Folders(self.names or ())

    def includes(self, name: str) -> bool:
        """Return True if the file `name` is in the scope. `ignored` is not checked: the walk does that."""
        return (self.names is None or name in self.names) and (not self.only or matches_any(name, self.only))


class Listed(NamedTuple):
    """A file: its name in the model, and the path of its content, which is the target if the name is a link."""

    name: str
    path: str


class FileState(NamedTuple):
    """The state of a file at one moment; two states are equal only if the file was not written to in between.

    `size` is in bytes, `modified` and `changed` (mtime and ctime) are in nanoseconds.
    """

    name: str
    path: str
    size: int
    modified: int
    changed: int
    inode: int
    device: int


def list_names(root: str, scope: Scope, *, allow_symlinks: bool = False, warn: bool = True) -> list[Listed]:
    """List the files of the model at `root`, sorted by name. A single file is listed under its basename.

    With `allow_symlinks`, links are replaced by their targets (section 6.1.1). A link out of the model or to a parent
    directory then causes a `ModelWarning`, if `warn`. Raises `ModelError` for a file that cannot be signed.
    """
    walk = _Walk(root, scope, allow_symlinks, warn)
    with _readable(root):
        return walk.files()


def list_named(root: str, names: Set[str]) -> list[Listed]:
    """List the files `names` of the directory `root`, sorted by name, without looking at its other files.

    Raises `ModelError` as `list_names` does, and for a missing file or a link to a directory on the way to one.
    """
    walk = _Walk(root, Scope(), allow_symlinks=False, warn=False)
    with _readable(root):
        for folder in Folders(names):
            path = os.path.join(root, *folder.split("/"))
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise ModelError(f"{show(path)} is not a directory of the model itself; replace it by a directory")
        for name in names:
            if not (is_plain(name) and _is_read_right(name)):
                _check(name)
        return [walk.find(name, os.path.join(root, *name.split("/"))) for name in sorted(names)]


def names_in_model(root: str, path: str, *, allow_symlinks: bool = False) -> set[str]:
    """Return every name that the file at `path`, which may not exist yet, has in the model at `root`.

    The result is empty for a file outside of the model. Followed links can give a file several names. Raises
    `ModelError` as `list_names` does.
    """
    inside = path_inside(root, path) if os.path.isdir(root) else None
    names = {inside} if inside else set()
    if allow_symlinks and os.path.isdir(root):
        walk = _Walk(root, Scope(), allow_symlinks, warn=False)
        folder, name = os.path.split(os.path.realpath(path))
        with _readable(root):
            names |= {file.name for file in walk.files() if os.path.realpath(file.path) == os.path.realpath(path)}
            home = _identity(folder)
            names |= {each.prefix + name for each in walk.visited if _identity(each.path) == home}
    return names


def list_model(root: str, scope: Scope, *, allow_symlinks: bool = False) -> list[FileState]:
    """Return the current states of the files of the model at `root`, sorted by name; raises as `list_names` does."""
    listed = list_names(root, scope, allow_symlinks=allow_symlinks, warn=False)
    with _readable(root):
        return [current_state(file) for file in listed]


def describe_file(path: str | os.PathLike[str]) -> FileState:
    """Return the state of one file; raises `ModelError` unless it is a regular file or a link to a cached blob."""
    where = os.fspath(path)
    walk = _Walk(where, Scope(), allow_symlinks=False, warn=False)
    with _readable(where):
        return current_state(walk.find(os.path.basename(where), where))


def state_of(status: os.stat_result) -> tuple[int, int, int, int, int]:
    """Return the fields of `FileState` that come from `os.stat`."""
    # The change time is needed because a program can set the modification time to any value.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


@contextmanager
def _readable(root: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else root
        raise ModelError(f"cannot read {show(where)}: {error.strerror or error}") from error


def current_state(file: Listed) -> FileState:
    """Return the current state of a listed file.

    Raises `ModelError` when it is no longer a regular file, `OSError` when it no longer exists.
    """
    status = os.stat(file.path, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{show(file.name)} was replaced while the model was looked at")
    return FileState._make((file.name, file.path, *state_of(status)))


class _Folder(NamedTuple):
    prefix: str
    path: str
    above: tuple[tuple[int, int], ...]  # device and inode of this directory and of each parent


class _Walk:
    """One pass over a model."""

    def __init__(self, root: str, scope: Scope, allow_symlinks: bool, warn: bool) -> None:
        self._root, self._scope = root, scope
        self._allow_symlinks, self._warns = allow_symlinks, warn
        self._snapshot = CachedSnapshot.at(true_place(root))
        self.visited: list[_Folder] = []

    def files(self) -> list[Listed]:
        if not os.path.isdir(self._root):
            name = os.path.basename(os.path.abspath(self._root))
            _check(name)
            return [self.find(name, self._root)]
        files: list[Listed] = []
        folders = [_Folder("", self._root, (_identity(self._root),))]
        while folders:
            self.visited.append(folders.pop())
            self._look_into(self.visited[-1], files, folders)
            if self._allow_symlinks and len(self.visited) > _MAX_FOLDERS:
                raise ModelError(f"'{show(self._root)}' has more than {_MAX_FOLDERS:,} folders, links to them included")
            if len(files) > _MAX_FILES:
                raise ModelError(f"'{show(self._root)}' has more than {_MAX_FILES:,} files")
        return sorted(files, key=itemgetter(0))

    def _look_into(self, folder: _Folder, files: list[Listed], folders: list[_Folder]) -> None:
        """Append the files of a directory to `files`, and its subdirectories to `folders`."""
        prefix, ignored = folder.prefix, self._scope.ignored
        includes = None if self._scope.includes_all else self._scope.includes
        with os.scandir(folder.path) as entries:
            for entry in entries:
                name = prefix + entry.name
                if name in ignored:
                    self._check_ignored(name, entry)
                    continue
                regular = entry.is_file(follow_symlinks=False)
                if not regular and includes is not None and not includes(name) and not self._scope.enters(name):
                    continue
                if not regular and entry.is_dir(follow_symlinks=False):
                    folders.append(self._enter(folder, name, entry.path))
                elif not regular and self._allow_symlinks and entry.is_symlink() and entry.is_dir():
                    folders.extend(self._follow(folder, name, entry.path))
                elif includes is None or includes(name):
                    if not (is_plain(name) and _is_read_right(name)):
                        _check(name)
                    files.append(Listed(name, entry.path) if regular else self.find(name, entry.path))

    def _check_ignored(self, name: str, entry: os.DirEntry[str]) -> None:
        if name == SIGNATURE_NAME and entry.is_dir():
            raise ModelError(
                f"{show(entry.path)} is a folder; that name is for the signature, and it would go unsigned"
            )

    def _enter(self, folder: _Folder, name: str, path: str) -> _Folder:
        if is_too_deep(name):
            _check(name)
        # Only a link can lead to a parent directory.
        above = (*folder.above, _identity(path)) if self._allow_symlinks else folder.above
        return _Folder(f"{name}/", path, above)

    def _follow(self, folder: _Folder, name: str, path: str) -> Iterator[_Folder]:
        """Yield the directory that a link leads to, unless it is a parent of the link: that would never end."""
        if _identity(path) in folder.above:
            self._warn(f"{show(path)} is a symbolic link back to a folder that holds it; it is left out")
            return
        self._check_inside(path)
        yield self._enter(folder, name, path)

    def find(self, name: str, path: str) -> Listed:
        """Return the regular file at `path`, or the target if `path` is a link that may be followed."""
        status = os.stat(path, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            path = self._target(path)
            status = os.stat(path, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{show(path)} is {kind_of(status.st_mode)}; a model holds regular files only")
        return Listed(name, path)

    def _target(self, link: str) -> str:
        target = self._snapshot.target(link) if self._snapshot else None
        if target is not None:
            return target
        if not self._allow_symlinks:
            if self._snapshot:
                raise ModelError(
                    f"{show(link)} is a symbolic link and not a blob of this repository's cache: it leads to "
                    f"{show(os.path.realpath(link))}. Remove the snapshot and download it again; to keep the cache "
                    "elsewhere, link to all of it, or set HF_HUB_CACHE"
                )
            raise ModelError(
                f"{show(link)} is a symbolic link and not a file of the model; replace it by the file itself, or sign "
                "what links lead to with --allow-symlinks"
            )
        if not os.path.exists(link):
            raise ModelError(f"{show(link)} is a symbolic link that leads nowhere; mend or ignore it")
        self._check_inside(link)
        return os.path.realpath(link)

    def _check_inside(self, link: str) -> None:
        target = os.path.realpath(link)
        root = self._root if os.path.isdir(self._root) else os.path.dirname(self._root) or "."
        if path_inside(root, target) is None:
            self._warn(f"{show(link)} is a symbolic link out of the model, to {show(target)}")

    def _warn(self, message: str) -> None:
        if self._warns:
            import warnings

            warnings.warn(message, ModelWarning, stacklevel=2)


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _is_read_right(name: str) -> bool:
    """Return True unless this process reads the bytes of `name` as other characters than UTF-8 does."""
    return NAMES_ARE_UTF8 or name.isascii()


def _check(name: str) -> None:
    if not _is_read_right(name):
        raise ModelError(
            f"the name {name!a} is not ASCII, and this Python reads file names as {sys.getfilesystemencoding()}, not "
            "as UTF-8: start the program with PYTHONUTF8=1"
        )
    try:
        check_name(name)
    except PathError as error:
        raise ModelError(f"a file cannot be part of a signed model: {error}; rename or ignore it") from error
