"""A folder that is filled beside its place and takes it only when everything in it is verified."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator

from hf_model_signing._util.text import show
from hf_model_signing.errors import HfSignError, UsageError
from hub_adapters._util.file_lock import is_at
from hub_adapters.errors import DishonestError, HubError

_CLIENT_FILES = ".cache/huggingface"  # what the client notes in a folder that it downloads into
_STAGE = ".hf-sign"


def check_target(target: str, names: Collection[str]) -> None:
    """Raise `UsageError` when the folder `target` holds anything but files that will be replaced."""
    if not os.path.lexists(target):
        return
    if not os.path.isdir(target):
        raise UsageError(f"'{target}' is a file; --to names a folder")
    for path in _foreign(os.path.realpath(target), set(names)):
        raise UsageError(
            f"'{target}' holds '{show(path)}', which is no part of what is pulled: move it away or name another one"
        )


def _foreign(root: str, expected: set[str]) -> Iterator[str]:
    """What lies in the folder and would be lost, or would stand in the way."""
    for folder, folders, files in os.walk(root):
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        folders[:] = [name for name in folders if prefix + name not in (_CLIENT_FILES, _STAGE)]
        yield from (prefix + name for name in files if prefix + name not in expected)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield from (prefix + name for name in folders if name in links or prefix + name in expected)


@contextlib.contextmanager
def staged(target: str, names: Collection[str], former: Collection[str] = ()) -> Iterator[str]:
    """Give a folder to fill; when the block ends well, its files `names` are in `target`, each put there at once.

    Files of an earlier version, `former`, that are not among them are removed before that.

    Files that `target` has already are offered in the folder. After a refusal nothing is left; when the hub fails, what
    was downloaded stays beside `target`, and the next call goes on from there.
    """
    place = os.path.realpath(target)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    stage = _stage_of(place)
    with _locked(stage, target):
        _prune(stage, set(names))
        _offer(place, stage, names)
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
        _remove(place, set(former) - set(names))  # first: a file may have become a folder
        _install(stage, place, names)


def _stage_of(place: str) -> str:
    """Beside the folder; inside of it when it is a mount, because nothing can be renamed into one."""
    parent, name = os.path.split(place)
    if os.path.isdir(place) and os.stat(place).st_dev != os.stat(parent).st_dev:
        return os.path.join(place, _STAGE)
    return os.path.join(parent, f".{name}{_STAGE}")


@contextlib.contextmanager
def _locked(stage: str, target: str) -> Iterator[None]:
    import fcntl

    while True:
        os.makedirs(stage, exist_ok=True)
        handle = os.open(stage, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(handle, stage):
                yield
                return
        except BlockingIOError as error:
            raise HfSignError(f"another process is filling '{target}'; wait for it, or name another folder") from error
        finally:
            os.close(handle)
        # Who held the lock before has put the folder in its place meanwhile: take a new one.


def _prune(stage: str, names: set[str]) -> None:
    """Remove what an earlier call left and this one does not want."""
    for folder, folders, files in os.walk(stage):
        below = os.path.relpath(folder, stage).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        folders[:] = [name for name in folders if prefix + name != _CLIENT_FILES]
        for name in files:
            if prefix + name not in names:
                os.unlink(os.path.join(folder, name))


def _offer(place: str, stage: str, names: Collection[str]) -> None:
    """Link what is there already into the stage, so that the client need not download it again."""
    for name in names:
        source, copy = os.path.join(place, name), os.path.join(stage, name)
        if os.path.isfile(source) and not os.path.islink(source) and not os.path.lexists(copy):
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with contextlib.suppress(OSError):  # a file system without hard links: it is downloaded again
                os.link(source, copy)


def _install(stage: str, place: str, names: Collection[str]) -> None:
    shutil.rmtree(os.path.join(stage, _CLIENT_FILES), ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(stage, ".cache"))  # unless the model has files there
    if not os.path.lexists(place):
        os.rename(stage, place)
        return
    for name in names:
        path = os.path.join(place, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.replace(os.path.join(stage, name), path)
    shutil.rmtree(stage)


def _remove(place: str, names: Collection[str]) -> None:
    for name in names:
        with contextlib.suppress(OSError):  # a folder stays as long as something is in it
            os.unlink(os.path.join(place, name))
            os.removedirs(os.path.dirname(os.path.join(place, name)))
