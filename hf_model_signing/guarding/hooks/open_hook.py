"""The hook in `open`: files that a program opens by their path, without asking the client for them.

Python raises an audit event for every file that it opens, and none for files that libraries in other languages open.
Such a library gets the path from Python code that has read a configuration in the same directory, or asked the client
for it; the entries of the usual ones are hooked in `native_readers.py`. An audit hook cannot be removed, so it stays
when the guard is switched off; nothing is looked at then.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any

from hf_model_signing._util.hashing_opens import is_hashing
from hf_model_signing.guarding.hooks.real_places import (
    path_below,
    paths_below_open_directories,
    place_beside_source,
    watched_places,
    watched_places_to_write,
)
from hf_model_signing.guarding.hooks.renames import leaving
from hf_model_signing.guarding.hooks.watched_paths import BYTECODE, PathKind
from hf_model_signing.guarding.own_calls import is_own_call

# Called with the kind of the path, the absolute path, and its parts; raises to refuse.
Handler = Callable[[PathKind, str, re.Match[str]], None]

# Other events of code that is about to read a file, and how its path is spelled in their first argument: a database is
# opened, a library is loaded, a file gets another name that no longer tells where it came from.
_OTHER_EVENTS = ("sqlite3.connect", "ctypes.dlopen", "os.link")
_LIBRARIES = (".so", ".dylib", ".dll")
_RENAME = "os.rename"  # also of `os.replace`, and of what uses one of them, such as `shutil.move`

# Flags of `os.open` for a descriptor that nothing can be read from, or nothing that was there before.
_NOTHING_TO_READ = os.O_TRUNC | getattr(os, "O_DIRECTORY", 0)
_PATH_ALONE = getattr(os, "O_PATH", 0)
_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR

_handlers: list[Handler] = []  # none, or one for what is read and one for bytecode that is written
_is_on: list[Callable[[], bool]] = []  # none or one


def install(handler: Handler, *, on_bytecode: Handler, is_on: Callable[[], bool]) -> None:
    """Call `handler` for every watched file that Python code opens for reading from now on, while `is_on` says so.

    `on_bytecode` is called for bytecode that is about to be written, and for its directory.
    """
    if not _handlers:
        sys.addaudithook(_on_event)
    _handlers[:], _is_on[:] = [handler, on_bytecode], [is_on]


def _on_event(event: str, arguments: tuple[object, ...]) -> None:
    if sys is None or sys.is_finalizing():
        return  # at the end of the process, modules have lost their names
    is_written = False
    if event == "open":
        path, mode, flags = arguments
        if isinstance(flags, int) and flags & _PATH_ALONE:
            return  # nothing is read or written through it; the look below opens each file so
        is_written = not _reads(mode, flags)
    elif event in _OTHER_EVENTS:
        path, mode = arguments[0], "r"
    elif event == "sqlite3.load_extension":
        for end in ("", *_LIBRARIES):  # SQLite adds one itself
            _look_at(f"{arguments[1]}{end}", below_descriptors=False)
        return
    elif event == "import" and arguments[1] is not None:  # an extension module: Python does not open it
        path, mode = arguments[1], "r"
    elif event == "os.mkdir":
        path, mode, is_written = arguments[0], "w", True
    elif event == _RENAME:
        _look_at_rename(*arguments)
        return
    else:
        return
    if not isinstance(path, (str, bytes, os.PathLike)):
        return  # a descriptor: the file was looked at when it was opened
    name = os.fsdecode(path)
    beside = place_beside_source(name)
    if beside is not None and _look_at_bytecode(beside, is_written=is_written):
        return
    if is_written and BYTECODE not in name:
        return
    if event == "os.link" and len(arguments) > 2:
        name = path_below(name, arguments[2])
    if event == "sqlite3.connect" and name.startswith("file:"):
        name = _path_of_uri(name)
    if is_written:
        _look_at_write(name, below_descriptors=mode is None)
        return
    missing: tuple[type[OSError], ...] = ()
    if event == "open" and not (isinstance(flags, int) and flags & os.O_CREAT):
        missing = (FileNotFoundError,) if mode is None else (FileNotFoundError, IsADirectoryError)
    _look_at(name, below_descriptors=mode is None, missing=missing)


def look_at(path: str | bytes | os.PathLike[Any]) -> None:
    """Call the handler, if it is watched, for a file that a library in another language is about to open."""
    _look_at(os.fsdecode(path), below_descriptors=False)


def _look_at(name: str, *, below_descriptors: bool, missing: tuple[type[OSError], ...] = ()) -> None:
    """Call the handler for each watched place of a path.

    If no file is there, raise the error that the program would get, if it is one of `missing`: another user who can
    write there could put a file in its place before Python opens it.
    """
    if not _looks():
        return
    is_there, errors = False, list[OSError]()
    for each in _paths(name, below_descriptors=below_descriptors):
        found, error = watched_places(each)
        if not isinstance(error, missing):
            is_there = True
        elif found:
            errors.append(error)
        for kind, place, match in found if error is None else ():
            _handlers[0](kind, place, match)
    if errors and not is_there:
        errors[0].filename = name
        raise errors[0]


def _look_at_write(name: str, *, below_descriptors: bool) -> None:
    """Call the handler for bytecode that is about to be written to a watched place."""
    for each in _paths(name, below_descriptors=below_descriptors) if _looks() else ():
        for kind, place, match in watched_places_to_write(each, BYTECODE):
            _handlers[1](kind, place, match)


def _paths(name: str, *, below_descriptors: bool) -> list[str]:
    """Return each absolute path that a path can mean."""
    if os.path.isabs(name):
        return [name]
    return [path_below(name), *(paths_below_open_directories(name) if below_descriptors else ())]


def _look_at_bytecode(beside: str, *, is_written: bool) -> bool:
    """Call the handlers for bytecode that is not beside its source; return False if that place is not watched."""
    found = watched_places_to_write(beside, BYTECODE) if _looks() else []
    for kind, place, match in found:
        if is_written or kind is PathKind.BYTECODE:  # no signature lists it
            _handlers[1](kind, place, match)
        elif kind in (PathKind.CODE, PathKind.MODEL):
            _handlers[0](kind, place, match)
    return bool(found)


def _look_at_rename(source: Any, target: Any, below: object = -1, target_below: object = -1) -> None:  # noqa: ANN401 - paths
    if _looks():
        for kind, place, match in leaving(os.fsdecode(source), os.fsdecode(target), (below, target_below)):
            _handlers[0](kind, place, match)


def _looks() -> bool:
    return bool(_is_on) and _is_on[0]() and not is_own_call() and not is_hashing()


def _reads(mode: object, flags: object) -> bool:
    """Return True if what a file holds can be read; `os.open` has no mode, and `open` may tell no flags."""
    if isinstance(mode, str):
        return "r" in mode or ("a" in mode and "+" in mode)
    return isinstance(flags, int) and flags & _ACCESS != os.O_WRONLY and not flags & _NOTHING_TO_READ


def _path_of_uri(uri: str) -> str:
    from urllib.parse import unquote

    path = unquote(uri.removeprefix("file:").partition("?")[0].partition("#")[0])
    if path.startswith("//"):  # the authority, which is empty or `localhost`
        path = f"/{path[2:].partition('/')[2]}"
    return path
