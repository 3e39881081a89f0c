"""A staging directory beside the target, which a download fills and which replaces the target when all is verified."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Collection, Iterator

from hf_model_signing._util.hashing_opens import only_hashing
from hf_model_signing._util.text import show
from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.hashing.bytecode import how_to_remove, remove_bytecode
from hf_model_signing.oms.names import is_bytecode
from hub_adapters._util.file_lock import locked
from hub_adapters.errors import DishonestError, HubError

_CLIENT_FILES = ".cache/huggingface"  # notes of the client in a directory that it downloads into
_STAGE = ".hf-sign"
_LOCK = ".lock"  # after the name of the staging directory


def check_target(target: str, names: Collection[str]) -> None:
    """Raise `UsageError` when the directory `target` holds anything but files that will be replaced."""
    if not os.path.lexists(target):
        return
    if not os.path.isdir(target):
        raise UsageError(f"'{target}' is a file; --to names a folder")
    for path in _foreign(os.path.realpath(target), set(names)):
        raise UsageError(
            f"'{target}' holds '{show(path)}', which is no part of what is pulled: move it away or name another one"
        )


def _foreign(root: str, expected: set[str]) -> Iterator[str]:
    """Yield the names below `root` that would be lost, or that are in the way of an expected file."""
    stage = _stage_of(root)
    # Only there is it ours, and removed; anywhere else it would stay, unsigned.
    ours = (_STAGE, _STAGE + _LOCK) if os.path.dirname(stage) == root else ()
    for directory, directories, files in os.walk(root):
        below = os.path.relpath(directory, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        directories[:] = [name for name in directories if prefix + name not in (_CLIENT_FILES, *ours)]
        others = [prefix + name for name in files if prefix + name not in (*expected, *ours)]
        yield from (name for name in others if not is_bytecode(name))  # it is removed in the end
        links = [name for name in directories if os.path.islink(os.path.join(directory, name))]
        yield from (prefix + name for name in directories if name in links or prefix + name in expected)


@contextlib.contextmanager
def staged(target: str, names: Collection[str], earlier: Collection[str] = ()) -> Iterator[str]:
    """Yield a directory to fill; if the block succeeds, its files `names` are moved into `target`, each atomically.

    Of the version that is replaced, the files `earlier` that are not among `names` are removed first, and so is
    bytecode that Python wrote.

    The directory offers the files that `target` already has. After a refusal it is removed; when the hub fails, the
    finished downloads stay beside `target`, and the next call continues from there.
    """
    final = os.path.realpath(target)
    os.makedirs(os.path.dirname(final), exist_ok=True)
    stage = _stage_of(final)
    with _locked(stage, target):
        _prune(stage, set(names))
        _offer(final, stage, names)
        try:
            yield stage
        except DishonestError:
            shutil.rmtree(stage)
            raise
        except (HubError, KeyboardInterrupt):  # an interrupted download continues from what is there
            if not any(os.path.isfile(os.path.join(stage, name)) for name in names):
                shutil.rmtree(stage, ignore_errors=True)
            raise
        except (OSError, HfSignError):
            shutil.rmtree(stage)
            raise
        _remove(final, set(earlier) - set(names))  # first: a file may have become a directory
        for name in remove_bytecode(final, names):
            raise UsageError(f"'{target}' holds '{show(name)}', which cannot be removed: {how_to_remove(target)}")
        _install(stage, final, names)


def _stage_of(final: str) -> str:
    """Return a path beside the target; inside of it when it is a mount, because nothing can be renamed into one."""
    parent, name = os.path.split(final)
    if os.path.isdir(final) and os.stat(final).st_dev != os.stat(parent).st_dev:
        return os.path.join(final, _STAGE)
    return os.path.join(parent, f".{name}{_STAGE}")


@contextlib.contextmanager
def _locked(stage: str, target: str) -> Iterator[None]:
    """Hold the staging directory, and make it; raises `HfSignError` while another process fills it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(stage + _LOCK, wait=False))
        except BlockingIOError as error:
            raise HfSignError(f"another process is filling '{target}'; wait for it, or name another folder") from error
        if os.path.islink(stage):  # its files would be written, and removed, where the link leads
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), stage)
        os.makedirs(stage, exist_ok=True)
        yield


def _prune(stage: str, names: set[str]) -> None:
    """Remove what an earlier call has left and this one does not need."""
    for directory, directories, files in os.walk(stage):
        below = os.path.relpath(directory, stage).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        directories[:] = [name for name in directories if prefix + name != _CLIENT_FILES]
        for name in files:
            if prefix + name not in names:
                os.unlink(os.path.join(directory, name))


def _offer(final: str, stage: str, names: Collection[str]) -> None:
    """Link the files that are there into the staging directory, so that the client does not download them again."""
    for name in names:
        source, copy = os.path.join(final, name), os.path.join(stage, name)
        if os.path.isfile(source) and not os.path.islink(source) and not os.path.lexists(copy):
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with contextlib.suppress(OSError), only_hashing():
                os.link(source, copy)  # on a file system without hard links, it is downloaded again


def _install(stage: str, final: str, names: Collection[str]) -> None:
    """Move the files to where they belong, and remove the staging directory."""
    shutil.rmtree(os.path.join(stage, _CLIENT_FILES), ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(stage, ".cache"))  # unless the model has files there
    if not os.path.lexists(final):
        os.rename(stage, final)
        return
    for name in names:
        path = os.path.join(final, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.replace(os.path.join(stage, name), path)
    shutil.rmtree(stage)


def _remove(final: str, names: Collection[str]) -> None:
    """Remove files, and the directories that are empty then."""
    for name in names:
        with contextlib.suppress(OSError):  # a directory stays as long as something is in it
            os.unlink(os.path.join(final, name))
            os.removedirs(os.path.dirname(os.path.join(final, name)))
