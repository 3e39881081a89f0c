"""A folder that is filled beside its place and takes it only when everything in it is verified."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator

from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.manifest import show
from hub_adapters.errors import DishonestError, HubError

_CLIENT_FILES = os.path.join(".cache", "huggingface")  # what the client notes in a folder that it downloads into


def check_target(target: str, names: Collection[str]) -> None:
    """Raise `UsageError` when the folder `target` holds anything but files that will be replaced."""
    if not os.path.lexists(target):
        return
    if not os.path.isdir(target):
        raise UsageError(f"'{target}' is a file; --to names a folder")
    expected = set(names)
    for folder, folders, files in os.walk(target):
        if os.path.relpath(folder, target) == _CLIENT_FILES:
            folders.clear()
            continue
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*files, *links]:
            path = os.path.relpath(os.path.join(folder, name), target)
            if path.replace(os.sep, "/") not in expected or name in links:
                raise UsageError(f"'{target}' holds '{show(path)}', which is no part of the signed model: "
                                 "move it away, or name an empty folder")  # fmt: skip


@contextlib.contextmanager
def staged(target: str, names: Collection[str]) -> Iterator[str]:
    """Give a folder to fill; when the block ends well, its files `names` are in `target`, each put there at once.

    Files that `target` has already are offered in the folder. After a refusal nothing is left; when the hub fails, what
    was downloaded stays beside `target`, and the next call goes on from there.
    """
    place = os.path.abspath(target)
    parent, name = os.path.split(place)
    os.makedirs(parent, exist_ok=True)
    stage = os.path.join(parent, f".{name}.hf-sign")
    with _locked(stage, target):
        _offer(place, stage, names)
        try:
            yield stage
        except (DishonestError, OSError, HfSignError):
            shutil.rmtree(stage)
            raise
        except (HubError, KeyboardInterrupt):
            if not _has_files(stage):
                shutil.rmtree(stage)
            raise
        _install(stage, place, names)


@contextlib.contextmanager
def _locked(stage: str, target: str) -> Iterator[None]:
    import fcntl

    os.makedirs(stage, exist_ok=True)
    handle = os.open(stage, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HfSignError(f"another process is filling '{target}'; wait for it, or name another folder") from error
        yield
    finally:
        os.close(handle)


def _offer(place: str, stage: str, names: Collection[str]) -> None:
    """Link what is there already into the stage, so that the client need not download it again."""
    for name in names:
        source, copy = os.path.join(place, name), os.path.join(stage, name)
        if os.path.isfile(source) and not os.path.lexists(copy):
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with contextlib.suppress(OSError):  # a file system without hard links: it is downloaded again
                os.link(source, copy)


def _install(stage: str, place: str, names: Collection[str]) -> None:
    shutil.rmtree(os.path.join(stage, ".cache"), ignore_errors=True)
    if not os.path.lexists(place):
        os.rename(stage, place)
        return
    for name in names:
        path = os.path.join(place, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.replace(os.path.join(stage, name), path)
    shutil.rmtree(stage)


def _has_files(stage: str) -> bool:
    return any(
        files for folder, _, files in os.walk(stage) if ".cache" not in os.path.relpath(folder, stage).split(os.sep)
    )
