"""A staging directory beside the target: it is filled and verified, and then its files are moved to the target."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hf_model_signing._util.file_replacement import FileReplacement, remove_empty
from hf_model_signing._util.text import show, some
from hf_model_signing.errors import FileError, HfSignError, UsageError
from hf_model_signing.hashing.file_tree import state_of
from hf_model_signing.oms.folders import Folders
from hf_model_signing.oms.names import CLIENT_DIRECTORY, REPLACEMENT, is_bytecode
from hub_adapters._util.file_lock import locked
from hub_adapters.errors import DishonestError, HubError

_STAGE = ".hf-sign"  # after the name of the target, with a dot before it
_STAGE_INSIDE = f"{CLIENT_DIRECTORY}/.hf-sign.stage"  # in the target, where it cannot be beside it
_LOCK = ".lock"  # after the name of the staging directory


States = Mapping[str, tuple[int, ...]]  # of files by their names, as `state_of` returns them


@dataclass
class Stage:
    """A staging directory: its path, the target as the user names it, and the real path of that, `final`."""

    path: str
    target: str
    final: str
    is_verified: bool = False  # then it stays if its files cannot be moved to the target

    def keep(self, names: Collection[str]) -> None:
        """Remove what an earlier call has left, except the files `names` and the client's records."""
        for directory, directories, files in os.walk(self.path):
            below = os.path.relpath(directory, self.path).replace(os.sep, "/")
            prefix = "" if below == "." else f"{below}/"
            directories[:] = [name for name in directories if prefix + name != CLIENT_DIRECTORY]
            links = [name for name in directories if os.path.islink(os.path.join(directory, name))]
            for name in (*files, *links):
                if prefix + name not in names:
                    os.unlink(os.path.join(directory, name))

    def install(
        self, names: Sequence[str], removed: Sequence[str] = (), *, check: Callable[[], None] = lambda: None
    ) -> None:
        """Move the verified files `names` to the target, in this order, after `removed` was taken away from there.

        `check` is called right before, when no other process can do the same. Raises `FileError` if a file cannot be
        replaced; then the target is as it was before.
        """
        self.is_verified = True
        shutil.rmtree(os.path.join(self.path, CLIENT_DIRECTORY), ignore_errors=True)
        remove_empty([os.path.join(self.path, os.path.dirname(CLIENT_DIRECTORY))])
        if not os.path.lexists(self.final):
            os.rename(self.path, self.final)
            return
        try:
            FileReplacement(self.final, REPLACEMENT).run(self.path, names, removed, check=check)
        except OSError as error:
            at = f" '{error.filename}'" if isinstance(error.filename, str) else " a file in it"
            raise FileError(
                f"'{self.target}' is as it was before, because{at} cannot be replaced: {error.strerror or error}",
                *(error.errno, error.strerror, error.filename),
            ) from error
        shutil.rmtree(self.path, ignore_errors=True)

    def discard(self, error: BaseException) -> None:
        """Remove the directory because of an error, which then names the target in its place."""
        shutil.rmtree(self.path, ignore_errors=True)
        if isinstance(error, OSError) and isinstance(error.filename, str) and error.filename.startswith(self.path):
            error.filename, error.filename2 = self.target, None
        error.args = tuple(self._named(part) if isinstance(part, str) else part for part in error.args)

    def _named(self, text: str) -> str:
        return text.replace(self.path, self.target).replace(show(self.path), show(self.target))


def settle(target: str, note: Callable[[str], None]) -> None:
    """End or undo what a call left that was killed while it moved files to the directory `target`.

    Raises `FileError` if that is not possible.
    """
    final = os.path.realpath(target)
    if not os.path.isdir(final):
        return
    try:
        if FileReplacement(final, REPLACEMENT).settle(_stage_of(final)):
            note(f"an earlier call was stopped while it replaced files in '{target}'; they are as they were before it")
    except OSError as error:
        raise FileError(
            f"an earlier call was stopped while it replaced files in '{target}', and they cannot be put back: "
            f"{FileError.of(error)}",
            *(error.errno, error.strerror, error.filename),
        ) from error


def check_target(
    target: str, names: Collection[str], earlier: Collection[str] = (), ignored: Collection[str] = ()
) -> None:
    """Raise `UsageError` when the directory `target` holds anything but files that will be replaced or may stay.

    The files `names` are replaced, those of an `earlier` version are removed, and what the signature leaves out, such
    as `.git`, is `ignored` and stays.
    """
    if not os.path.lexists(target):
        return
    if not os.path.isdir(target):
        raise UsageError(f"'{target}' is a file; --to names a folder")
    foreign = sorted(_foreign(os.path.realpath(target), {*names}, {*earlier}, ignored))
    if foreign:
        named, verb = some([f"'{show(name)}'" for name in foreign]), "is" if len(foreign) == 1 else "are"
        raise UsageError(
            f"'{target}' holds {named}, which {verb} no part of what is pulled: move it away or name another one"
        )


def check_unchanged(target: str, states: States) -> None:
    """Raise `HfSignError` if a file of the directory `target` is not in the state in which it was hashed."""
    final = os.path.realpath(target)
    changed = sorted(name for name, state in states.items() if regular_file(os.path.join(final, name)) != state)
    if changed:
        raise HfSignError(f"another program has changed files in '{target}' since they were hashed: {some(changed)}")


def regular_file(path: str) -> tuple[int, ...] | None:
    """Return the state of a regular file (see `state_of`); None for a link, anything else, and a missing file."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return state_of(status) if stat.S_ISREG(status.st_mode) else None


def _foreign(root: str, names: set[str], earlier: set[str], ignored: Collection[str]) -> Iterator[str]:
    """Yield the names below `root` that would be lost, that are in the way, or that nobody signed."""
    emptied = Folders(earlier)
    for directory, directories, files in os.walk(root, onerror=_raise):
        below = os.path.relpath(directory, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        directories[:] = [
            name
            for name in directories
            if prefix + name != CLIENT_DIRECTORY and (prefix + name not in ignored or prefix + name in names)
        ]
        for name in (prefix + name for name in files):
            # Bytecode is removed in the end.
            if not (name in names or name in earlier or name in ignored or is_bytecode(name)):
                yield name
        for name in directories:
            in_the_way = prefix + name in names and prefix + name not in emptied
            if in_the_way or os.path.islink(os.path.join(directory, name)):
                yield prefix + name


def _raise(error: OSError) -> None:
    raise error


@contextlib.contextmanager
def staged(target: str, names: Collection[str]) -> Iterator[Stage]:
    """Yield a staging directory to fill with the files `names`, from which its `install` moves them to `target`.

    Nothing in the target changes before. After a refusal the staging directory is removed; when the hub fails, or the
    files cannot be moved, the finished downloads stay, and the next call continues from there.
    """
    final = os.path.realpath(target)
    os.makedirs(os.path.dirname(final), exist_ok=True)
    stage = Stage(_stage_of(final), target, final)
    with _locked(stage):
        stage.keep(names)
        try:
            yield stage
        except (HubError, KeyboardInterrupt) as error:  # an interrupted download continues from what is there
            has_files = any(os.path.isfile(os.path.join(stage.path, name)) for name in names)
            if isinstance(error, DishonestError) or not has_files:
                stage.discard(error)
            raise
        except (OSError, HfSignError) as error:
            if not stage.is_verified:
                stage.discard(error)
            raise


def _stage_of(final: str) -> str:
    """Return a path beside the target; inside of it when it is a mount, or when nothing can be written beside it."""
    parent, name = os.path.split(final)
    if os.path.isdir(final) and not (os.access(parent, os.W_OK) and _can_rename(parent, final)):
        return os.path.join(final, *_STAGE_INSIDE.split("/"))
    return os.path.join(parent, f".{name}{_STAGE}")


def _can_rename(folder: str, other: str) -> bool:
    """Return True if files of a directory can be renamed into another one."""
    if os.stat(folder).st_dev != os.stat(other).st_dev:
        return False
    name = f".hf-sign-{os.urandom(8).hex()}"  # no file has it, and of bind mounts the system says so all the same
    try:
        os.rename(os.path.join(folder, name), os.path.join(other, name))
    except OSError as error:
        return error.errno != errno.EXDEV
    return True


@contextlib.contextmanager
def _locked(stage: Stage) -> Iterator[None]:
    """Hold the staging directory, and make it; raises `HfSignError` while another process fills it."""
    with contextlib.ExitStack() as stack:
        if os.path.dirname(stage.path) != os.path.dirname(stage.final):
            above = os.path.dirname(stage.path)
            os.makedirs(above, exist_ok=True)
            stack.callback(remove_empty, [above, os.path.dirname(above)])
        try:
            stack.enter_context(locked(stage.path + _LOCK, wait=False))
        except BlockingIOError as error:
            raise HfSignError(
                f"another process is filling '{stage.target}'; wait for it, or name another folder"
            ) from error
        except PermissionError as error:  # the folder, not the lock, which is not there
            raise PermissionError(error.errno, error.strerror, os.path.dirname(stage.path)) from error
        if os.path.islink(stage.path):  # its files would be written, and removed, where the link leads
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), stage.path)
        os.makedirs(stage.path, exist_ok=True)
        yield
