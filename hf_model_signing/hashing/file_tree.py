"""Which files a model on disk has, and how each of them lies there (section 6.1 of the specification)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

from hf_model_signing._util.paths import path_inside, true_place
from hf_model_signing._util.text import show
from hf_model_signing.errors import ModelError, ModelWarning
from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot
from hf_model_signing.oms.names import SIGNATURE_NAME, PathError, check_name, folders_above, is_plain, matches_any

_MAX_FILES = 1_000_000  # four times what a bundle can list; links that multiply folders end here
_MAX_FOLDERS = 100_000  # where links are followed: a few dozen of them can make up any number of folders
_SPECIAL = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device"}


@dataclass(frozen=True)
class Scope:
    """Which files of a folder are looked at.

    `ignored` are exact paths below the root, left out with all that is below them. `only` are patterns; without any,
    everything is taken. `names`, when given, are the only files that are looked at.
    """

    ignored: Set[str] = frozenset()
    only: tuple[str, ...] = ()
    names: Set[str] | None = None

    @property
    def takes_all(self) -> bool:
        """Whether every file that is not ignored is in the scope."""
        return self.names is None and not self.only

    def enters(self, folder: str) -> bool:
        """Whether a file in the scope could lie below `folder`."""
        return self.names is None or folder in self._folders

    @cached_property
    def _folders(self) -> Set[str]:
        return folders_above(self.names or ())

    def takes(self, name: str) -> bool:
        """Whether the file `name` is in the scope, apart from `ignored`, which the walk heeds folder by folder."""
        return (self.names is None or name in self.names) and (not self.only or matches_any(name, self.only))


class Listed(NamedTuple):
    """A file by its name in the model, and where it lies: elsewhere when the name is that of a link."""

    name: str
    path: str


class FileState(NamedTuple):
    """A file as it lay there at one moment; two of them are equal only when nothing was touched in between.

    Size in bytes, times in nanoseconds.
    """

    name: str
    path: str
    size: int
    modified: int
    changed: int
    inode: int
    device: int


def list_names(root: str, scope: Scope, *, allow_symlinks: bool = False, warn: bool = True) -> list[Listed]:
    """List the files of the model at `root`, by name. A single file is listed under its basename.

    With `allow_symlinks` links count as what they lead to (section 6.1.1); then a link that leads outside of the model
    or back to a folder above it is a `ModelWarning`, if `warn`. Raises `ModelError` for what cannot be signed.
    """
    walk = _Walk(root, scope, allow_symlinks, warn)
    with _readable(root):
        return walk.files()


def names_in_model(root: str, place: str, *, allow_symlinks: bool = False) -> set[str]:
    """Every name in the model at `root` of the file at `place`, which need not be there yet; none if it lies elsewhere.

    Followed links can give it several. Raises `ModelError` as `list_names` does.
    """
    inside = path_inside(root, place) if os.path.isdir(root) else None
    names = {inside} if inside else set()
    if allow_symlinks and os.path.isdir(root):
        walk = _Walk(root, Scope(), allow_symlinks, warn=False)
        folder, name = os.path.split(os.path.realpath(place))
        with _readable(root):
            names |= {file.name for file in walk.files() if os.path.realpath(file.path) == os.path.realpath(place)}
            home = _identity(folder)
            names |= {each.prefix + name for each in walk.visited if _identity(each.path) == home}
    return names


def list_model(root: str, scope: Scope, *, allow_symlinks: bool = False) -> list[FileState]:
    """The files of the model at `root`, by name, each as it lies there now; raises as `list_names` does."""
    listed = list_names(root, scope, allow_symlinks=allow_symlinks, warn=False)
    with _readable(root):
        return [look_at(file) for file in listed]


def describe_file(path: str | os.PathLike[str]) -> FileState:
    """One file as it lies there; raises `ModelError` unless it is a regular one, or a link that stands for one."""
    where = os.fspath(path)
    walk = _Walk(where, Scope(), allow_symlinks=False, warn=False)
    with _readable(where):
        return look_at(walk.find(os.path.basename(where), where))


def state_of(status: os.stat_result) -> tuple[int, int, int, int, int]:
    """What `FileState` keeps of a file's status."""
    # The change time as well: a program can set the modification time back.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


@contextmanager
def _readable(root: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else root
        raise ModelError(f"cannot read {show(where)}: {error.strerror or error}") from error


def look_at(file: Listed) -> FileState:
    """A listed file as it lies there now; raises `ModelError` when it is not regular any more, `OSError` if gone."""
    status = os.stat(file.path, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{show(file.name)} was replaced while the model was looked at")
    return FileState._make((file.name, file.path, *state_of(status)))


class _Folder(NamedTuple):
    prefix: str
    path: str
    above: tuple[tuple[int, int], ...]  # device and inode of it and of every folder above it


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
        """Add the files in a folder, and the folders that are still to be looked into."""
        prefix, ignored = folder.prefix, self._scope.ignored
        takes = None if self._scope.takes_all else self._scope.takes
        with os.scandir(folder.path) as entries:
            for entry in entries:
                name = prefix + entry.name
                if name in ignored:
                    self._check_ignored(name, entry)
                    continue
                regular = entry.is_file(follow_symlinks=False)
                if not regular and takes is not None and not takes(name) and not self._scope.enters(name):
                    continue
                if not regular and entry.is_dir(follow_symlinks=False):
                    folders.append(self._enter(folder, name, entry.path))
                elif not regular and self._allow_symlinks and entry.is_symlink() and entry.is_dir():
                    folders.extend(self._follow(folder, name, entry.path))
                elif takes is None or takes(name):
                    if not is_plain(name):
                        _check(name)
                    files.append(Listed(name, entry.path) if regular else self.find(name, entry.path))

    def _check_ignored(self, name: str, entry: os.DirEntry[str]) -> None:
        if name == SIGNATURE_NAME and entry.is_dir():
            raise ModelError(
                f"{show(entry.path)} is a folder; that name is for the signature, and it would go unsigned"
            )

    def _enter(self, folder: _Folder, name: str, path: str) -> _Folder:
        # Only a link can lead back up.
        above = (*folder.above, _identity(path)) if self._allow_symlinks else folder.above
        return _Folder(f"{name}/", path, above)

    def _follow(self, folder: _Folder, name: str, path: str) -> Iterator[_Folder]:
        """The folder that a link leads to, unless that is one that holds the link."""
        if _identity(path) in folder.above:
            self._warn(f"{show(path)} is a symbolic link back to a folder that holds it; it is left out")
            return
        self._check_inside(path)
        yield self._enter(folder, name, path)

    def find(self, name: str, path: str) -> Listed:
        """The regular file that is at `path`, or that a link there stands for."""
        status = os.stat(path, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            path = self._target(path)
            status = os.stat(path, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            what = _SPECIAL.get(stat.S_IFMT(status.st_mode), "not a regular file")
            raise ModelError(f"{show(path)} is {what}; a model holds regular files only")
        return Listed(name, path)

    def _target(self, link: str) -> str:
        target = self._snapshot.target(link) if self._snapshot else None
        if target is not None:
            return target
        if not self._allow_symlinks:
            where = "a blob of this repository's cache" if self._snapshot else "a file of the model"
            raise ModelError(
                f"{show(link)} is a symbolic link and not {where}; replace it by the file itself, or sign what links "
                "lead to with --allow-symlinks"
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


def _check(name: str) -> None:
    try:
        check_name(name)
    except PathError as error:
        raise ModelError(f"a file cannot be part of a signed model: {error}; rename or ignore it") from error
