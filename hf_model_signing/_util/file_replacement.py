"""Replacement of several files of a directory: all of them or none, also if the process is killed on the way.

No system replaces several files in one step. So a list in the directory says first what is going to change, and every
file that was there is set aside before a new one takes its place. After an error all of it is undone. The next call
finds the list that a killed process left: it ends a complete replacement, and undoes an incomplete one.
"""

# Why: docs/decisions/013-replacing-files.md

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hf_model_signing._util.atomic_files import write_file
from hf_model_signing._util.file_lock import NO_LOCKS, locked
from hf_model_signing._util.hashing_opens import only_hashing
from hf_model_signing._util.replacement_list import Changes, parents_of

Move = Callable[[str, str, str], None]  # of the file with a name, from a path to another one

LIST = "list"
_OLD = "old"  # holds the files that are set aside, under their names
_LOCK = ".lock"  # after the name of the private directory
_TRIES = 5  # to lock in a directory that another process removes because it is empty


@dataclass(frozen=True)
class FileReplacement:
    """The replacement of files in `directory`, a real path; `private` is a path in it, for the list and old files."""

    directory: str
    private: str

    def settle(self, stage: str | None = None) -> bool:
        """End or undo what a killed process left, and return True if something was undone.

        Files that it had put into place are moved to the directory `stage`, or else removed. Raises `OSError` if that
        fails, and `UsageError` for a list that no process of this program wrote.
        """
        if not (os.path.lexists(self._home) or os.path.lexists(self._home + _LOCK)):
            return False
        with only_hashing(), self._held():
            return self._settle(stage)

    def run(
        self,
        stage: str,
        names: Sequence[str],
        removed: Sequence[str] = (),
        *,
        check: Callable[[], None] = lambda: None,
        move: Move | None = None,
    ) -> None:
        """Move the files `names`, in this order, from the directory `stage` to their places; take `removed` away.

        `check` is called when no other process can do the same, before the first change. `move` is used instead of a
        rename. Raises `OSError` with the path of the file that cannot be replaced; then all is as it was before.
        """
        if not (names or removed):
            check()
            return
        with only_hashing(), self._held() as is_alone:
            if is_alone:
                self._settle(None)
            check()
            if not is_alone:
                self._replace_each(stage, names, removed, move)
                return
            changes = self._plan(names, removed)
            try:
                os.makedirs(self._home, 0o700, exist_ok=True)
                write_file(os.path.join(self._home, LIST), changes.to_bytes(), mode=0o600)
                self._apply(changes, stage, move)
            except BaseException:
                self._undo(changes, stage)
                raise
            with contextlib.suppress(OSError):  # all is in place: what is left is removed by the next call
                self._finish(changes)

    @property
    def _home(self) -> str:
        return os.path.join(self.directory, *self.private.split("/"))

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, *name.split("/"))

    def _aside(self, name: str) -> str:
        return os.path.join(self._home, _OLD, *name.split("/"))

    @contextlib.contextmanager
    def _held(self) -> Iterator[bool]:
        """Let one process at a time replace files; yields False where nothing can be locked.

        There, processes would take each other's list for that of a killed one, so each file is replaced for itself.
        """
        if os.path.realpath(self._home) != self._home:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._home)
        with contextlib.ExitStack() as stack:
            stack.callback(remove_empty, [self._path(name) for name in reversed(parents_of([self.private]))])
            yield self._lock(stack)

    def _lock(self, stack: contextlib.ExitStack) -> bool:
        for attempt in range(_TRIES):
            try:
                os.makedirs(os.path.dirname(self._home), exist_ok=True)
                stack.enter_context(locked(self._home + _LOCK, long=True))
            except OSError as error:
                if error.errno in NO_LOCKS:
                    return False
                if error.errno != errno.ENOENT or attempt == _TRIES - 1:
                    raise
            else:
                break
        return True

    def _settle(self, stage: str | None) -> bool:
        changes = Changes.read(os.path.join(self._home, LIST))
        if changes is None:
            shutil.rmtree(self._home, ignore_errors=True)  # a killed process had ended, or had not begun
            return False
        self._check_no_links(changes)
        if self._is_complete(changes):
            self._finish(changes)
            return False
        self._undo(changes, stage)
        return True

    def _check_no_links(self, changes: Changes) -> None:
        """Raise `OSError` for a directory of a list that leads elsewhere: another user may have made the list."""
        names = [*changes.removed, *changes.new, *changes.made, *(name for name, _ in changes.modes)]
        for name in [*parents_of(names), *changes.made, *(name for name, _ in changes.modes)]:
            for path in (self._path(name), self._aside(name)):
                if os.path.realpath(path) != path:
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)

    def _plan(self, names: Sequence[str], removed: Sequence[str]) -> Changes:
        there = self._there([*names, *removed])
        in_the_way = [name for name in names if os.path.isdir(self._path(name))]
        below = [
            os.path.relpath(folder, self.directory).replace(os.sep, "/")
            for name in in_the_way
            for folder, _, _ in os.walk(self._path(name))
        ]
        kept = sorted({*parents_of(name for name in removed if name in there), *below})
        return Changes(
            tuple(name for name in removed if name in there),
            tuple(names),
            frozenset(there.intersection(names)),
            tuple(folder for folder in parents_of(names) if not os.path.isdir(self._path(folder))),
            tuple((folder, os.stat(self._path(folder)).st_mode & 0o777) for folder in kept),
        )

    def _there(self, names: Iterable[str]) -> set[str]:
        """Return the names that a file has in exactly this spelling: a file system may not tell `A` from `a`."""
        folders: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            folders[os.path.dirname(self._path(name))].append(name)
        found = set()
        for folder, inside in folders.items():
            try:
                entries = {*os.listdir(folder)}
            except (FileNotFoundError, NotADirectoryError):
                continue
            found |= {name for name in inside if name.rpartition("/")[2] in entries}
        return {name for name in found if not _is_directory(self._path(name))}

    def _apply(self, changes: Changes, stage: str, move: Move | None) -> None:
        for name in changes.removed:
            with _naming(self._path(name)):
                self._set_aside(name, self._path(name), leave=False)
        for name in changes.new:
            final = self._path(name)
            with _naming(final):
                if name in changes.replaced:
                    self._set_aside(name, final, leave=True)
                elif _is_directory(final):
                    remove_empty(folder for folder, _, _ in os.walk(final, topdown=False))
                os.makedirs(os.path.dirname(final), exist_ok=True)
                source = os.path.join(stage, *name.split("/"))
                if move is None:
                    os.replace(source, final)
                else:
                    move(name, source, final)

    def _replace_each(self, stage: str, names: Sequence[str], removed: Sequence[str], move: Move | None) -> None:
        for name in removed:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(name))
        self._apply(Changes(new=tuple(names)), stage, move)

    def _set_aside(self, name: str, final: str, *, leave: bool) -> None:
        aside = self._aside(name)
        os.makedirs(os.path.dirname(aside), 0o700, exist_ok=True)
        _move(final, aside, leave=leave)

    def _is_complete(self, changes: Changes) -> bool:
        there = self._there(changes.new)
        return (
            all(os.path.lexists(self._aside(name)) for name in (*changes.removed, *changes.replaced))
            and all(name in there for name in changes.new)
            and not any(_is_same(self._aside(name), self._path(name)) for name in changes.replaced)
        )

    def _finish(self, changes: Changes) -> None:
        remove_empty(self._path(folder) for folder in reversed(parents_of(changes.removed)))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._home, LIST))
        shutil.rmtree(self._home, ignore_errors=True)

    def _undo(self, changes: Changes, stage: str | None) -> None:
        fresh = self._there(name for name in changes.new if name not in changes.replaced)
        for name in reversed(changes.new):
            final, aside = self._path(name), self._aside(name)
            if name in fresh:
                _give_back(final, stage and os.path.join(stage, *name.split("/")), leave=False)
            elif name in changes.replaced and os.path.lexists(aside):
                if not _is_same(aside, final):
                    _give_back(final, stage and os.path.join(stage, *name.split("/")), leave=True)
                os.replace(aside, final)
        remove_empty(self._path(folder) for folder in reversed(changes.made))
        for folder, mode in changes.modes:
            if not os.path.isdir(self._path(folder)):
                os.mkdir(self._path(folder))
                os.chmod(self._path(folder), mode)
        for name in changes.removed:
            if os.path.lexists(self._aside(name)):
                os.replace(self._aside(name), self._path(name))
        self._finish(Changes())


def remove_empty(folders: Iterable[str]) -> None:
    """Remove those of the directories that are empty; each must come before those above it."""
    for folder in folders:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _move(source: str, target: str, *, leave: bool) -> None:
    """Rename a file; with `leave`, it stays at `source` too if that is possible, until another one replaces it.

    So a program that opens it at any moment finds it. Neither name is written to while both lead to the same file.
    """
    if leave and os.name != "nt" and not os.path.islink(source):  # on Windows, no file replaces a read-only one
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    os.replace(source, target)


def _give_back(final: str, source: str | None, *, leave: bool) -> None:
    """Move a new file to where it came from, if that directory is still there; remove it if not."""
    if source is not None and not os.path.lexists(source):
        with contextlib.suppress(OSError):
            _move(final, source, leave=leave)
            return
    if not leave:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(final)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _is_same(one: str, other: str) -> bool:
    """Return True if two paths are names of the same file; links are not followed."""
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Name the file that was to be replaced in an error, and not one of the names that it had on the way."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
