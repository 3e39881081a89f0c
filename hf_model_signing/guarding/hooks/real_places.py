"""The places that a path leads through: a file is judged by where it lies, and not by how its path is spelled.

A path can reach a cache through links to files and directories, `..`, `/proc/self/fd` and more. The kernel knows where
it ends, and reports it in three cheap system calls. Only if that differs from the path as it is spelled, each link on
the way is followed, because the name of a snapshot may be one of the places in between.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache

from hf_model_signing.guarding.hooks.watched_paths import BYTECODE, PathKind, watch

_LOOK = getattr(os, "O_PATH", 0) | getattr(os, "O_CLOEXEC", 0)  # O_PATH opens nothing, so it waits for nothing
_MOST_LINKS = 40  # as many as Linux follows
_DESCRIPTORS = "/proc/self/fd"

Found = tuple[PathKind, str, re.Match[str]]


def watched_places(path: str) -> tuple[list[Found], OSError | None]:
    """Return each watched place that an absolute path leads through, and the error if there is no file to read."""
    real = _real_path(path)
    if real is None:
        directory, name = os.path.split(path)
        places: Iterable[str] = {path, os.path.join(os.path.realpath(directory), name)}
        error: OSError | None = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    else:
        places, error = (path,) if real == path else _places_to(path, real), None
    found = [each for place in places for each in watch(place)]
    if found and real is not None and os.path.isdir(real):
        error = IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return _without_repetition(found) if found else [], error


def watched_places_to_write(path: str, below: str) -> list[Found]:
    """Return each watched place of an absolute path that need not exist yet from its last part `below` on."""
    parent, name, rest = path.rpartition(below)
    return watch(os.path.join(os.path.realpath(parent), name + rest))


def place_beside_source(name: str) -> str | None:
    """Return where bytecode below `sys.pycache_prefix` would lie without that; None for any other file."""
    if sys.pycache_prefix is None or ".pyc" not in name:
        return None
    path, prefix = (os.path.normpath(path_below(each)) for each in (name, sys.pycache_prefix))
    if not path.startswith(os.path.join(prefix, "")):
        return None
    directory, file = os.path.split(path.removeprefix(prefix).lstrip(os.sep))
    return os.path.join(os.sep, directory, BYTECODE, file)


def paths_below_open_directories(name: str) -> list[str]:
    """Return where a relative path leads from each directory that this process has open.

    The audit event of `os.open` does not tell its `dir_fd`, so each of them may be meant.
    """
    try:
        descriptors = os.listdir(_DESCRIPTORS)
    except OSError:
        return []
    directories = dict[str, None]()  # many descriptors may be of the same one
    for descriptor in descriptors:
        try:
            if stat.S_ISDIR(os.fstat(int(descriptor)).st_mode):  # quick, because a program may have thousands
                directories[os.readlink(f"{_DESCRIPTORS}/{descriptor}")] = None
        except OSError:
            continue  # the one that listed the directory
    return [os.path.join(directory, name) for directory in directories]


def path_below(path: str, descriptor: object = -1) -> str:
    """Return a path that may be relative to an open directory, or to the current one, as an absolute path."""
    if os.path.isabs(path):
        return path
    if isinstance(descriptor, int) and descriptor >= 0 and _has_descriptors():
        return os.path.join(os.readlink(f"{_DESCRIPTORS}/{descriptor}"), path)
    try:
        return os.path.join(os.getcwd(), path)
    except FileNotFoundError:
        return os.path.join(os.sep, "(deleted)", path)  # the current directory is gone, and nothing can be below it


def _real_path(path: str) -> str | None:
    """Return where a path ends, with every link followed by the kernel; None if there is nothing."""
    try:
        if not _has_descriptors():
            return os.path.realpath(path, strict=True)
        descriptor = os.open(path, _LOOK)
        try:
            return os.readlink(f"{_DESCRIPTORS}/{descriptor}")
        finally:
            os.close(descriptor)
    except ValueError:
        return None  # a null byte in the path; the program gets the same error
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        return os.path.realpath(path)


@lru_cache(maxsize=1)
def _has_descriptors() -> bool:
    return hasattr(os, "O_PATH") and os.path.isdir(_DESCRIPTORS)


def _places_to(path: str, real: str) -> tuple[str, ...]:
    """Return the places of a path that ends at `real`, which is the last one."""
    directory, name = os.path.split(path)
    try:
        status = os.stat(directory)
        *way, end = (os.path.join(place, name) for place in _way(directory, status.st_dev, status.st_ino))
        # The usual cases: only directories are links, or the file is one, as in a cache. What was remembered of the
        # directory counts only if it leads to the real place.
        if end == real:
            return (*way, end)
        if os.path.normpath(os.path.join(os.path.dirname(end), os.readlink(end))) == real:
            return (*way, end, real)
    except (OSError, ValueError):
        pass  # an unusual way: a directory that is gone, too many links
    return (*_places(path), real)


@lru_cache(maxsize=1024)
def _way(directory: str, _device: int, _inode: int) -> tuple[str, ...]:
    """Return the places of a directory, for as long as it is the same one: many files of it are opened."""
    return tuple(_places(directory))


def _places(path: str) -> Iterator[str]:
    """Yield an absolute path as it is after each link that is followed; the last one is the real path."""
    done, rest, links = os.sep, _parts(path), 0
    if os.pardir not in rest:
        yield os.path.join(done, *rest)
    while rest:
        part = rest.pop(0)
        if part == os.pardir:
            done = os.path.dirname(done)
            is_new = True
        else:
            step = os.path.join(done, part)
            try:
                target = os.readlink(step)
            except OSError:
                done, is_new = step, False
            else:
                links += 1
                if links > _MOST_LINKS:
                    return
                done = os.sep if os.path.isabs(target) else done
                rest, is_new = _parts(target) + rest, True
        if is_new and os.pardir not in rest:
            yield os.path.join(done, *rest)


def _parts(path: str) -> list[str]:
    return [part for part in path.split(os.sep) if part not in ("", os.curdir)]


def _without_repetition(found: list[Found]) -> list[Found]:
    """Return each snapshot once, if the cache has several spellings, and a blob only if no snapshot led to it."""
    if len(found) == 1:
        return found
    kinds = [kind for kind, _, _ in found]
    if kinds == [PathKind.CACHE, PathKind.BLOB] and found[0][1].startswith(f"{_holder(found[1])}{os.sep}snapshots"):
        return found[:1]  # the usual case, without another look at the links
    kept: dict[tuple[PathKind, str], Found] = {}
    with_snapshot: set[str] = set()
    for kind, place, match in found:
        name = place
        if kind is PathKind.CACHE:
            cache, repository = os.path.realpath(place[: match.start()]), place[match.start() : match.start("inside")]
            name = cache + place[match.start() :]
            with_snapshot.update((cache, cache + repository))
        kept[kind, name] = (kind, name, match)
    return [each for each in kept.values() if each[0] is not PathKind.BLOB or _holder(each) not in with_snapshot]


def _holder(blob: Found) -> str:
    """Return the repository or the cache that a blob belongs to."""
    _, place, match = blob
    return place[: max(match.start("inside"), match.start("shared"))]
