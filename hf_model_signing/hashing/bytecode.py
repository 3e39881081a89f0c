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
    for folder, _, files in os.walk(directory):
        if os.path.basename(folder) != DIRECTORY:
            continue
        prefix = os.path.relpath(folder, directory).replace(os.sep, "/")
        for name in unsigned_bytecode((f"{prefix}/{name}" for name in files), signed):
            try:
                os.unlink(os.path.join(directory, *name.split("/")))
            except OSError:
                left.append(name)
        with contextlib.suppress(OSError):  # unless something else is in it
            os.rmdir(folder)
    return left


def how_to_remove(directory: StrPath) -> str:
    """Return the advice for a directory in which Python has written bytecode."""
    place = shlex.quote(os.fspath(directory))
    return (
        f"Python wrote bytecode into `{DIRECTORY}`, which nobody signed. Remove it: "
        f"find {place} -path '*/{DIRECTORY}/*.pyc' -delete"
    )
