"""Python's bytecode in a model: derived from the source beside it, signed by nobody, and run in place of the source."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Collection, Iterable

from hf_model_signing._util.paths import StrPath
from hf_model_signing.oms.names import is_bytecode

DIRECTORY = "__pycache__"


def unsigned_bytecode(names: Iterable[str], signed: Collection[str]) -> list[str]:
    """Return those of the files `names` that are bytecode which is not signed."""
    return [name for name in names if DIRECTORY in name and is_bytecode(name) and name not in signed]


def remove_bytecode(directory: str, signed: Collection[str]) -> list[str]:
    """Remove bytecode that is not signed from a directory, and return the names of files that cannot be removed.

    Another program could have put other bytecode there, which Python would run. Python makes its own
    again when it needs it.
    """
    left = []
    for name in bytecode_in(directory, signed):
        path = os.path.join(directory, *name.split("/"))
        try:
            os.unlink(path)
        except OSError:
            left.append(name)
        with contextlib.suppress(OSError):  # unless something else is in it
            os.rmdir(os.path.dirname(path))
    return left


def bytecode_in(directory: str, signed: Collection[str]) -> list[str]:
    """Return the names of the files in a directory that are bytecode which is not signed."""
    found = []
    for folder, _, files in os.walk(directory):
        if os.path.basename(folder) == DIRECTORY:
            prefix = os.path.relpath(folder, directory).replace(os.sep, "/")
            found += unsigned_bytecode((f"{prefix}/{name}" for name in files), signed)
    return found


def how_to_remove(directory: StrPath) -> str:
    """Return the advice for a directory in which Python has written bytecode."""
    place = shlex.quote(os.fspath(directory))
    return (
        f"Python wrote bytecode into `{DIRECTORY}`, which nobody signed. Remove it: "
        f"find {place} -path '*/{DIRECTORY}/*.pyc' -delete"
    )
