"""Switches the guard on in a Python that starts under it; imported by `_hf_sign_guard.pth` in site-packages.

Python ignores an error in a `.pth` file and starts the program all the same. So an error here ends the process, because
the program would run unguarded. See `docs/decisions/002-pth-file.md`.

The file has moved the entries of `PYTHONPATH` to the end of `sys.path`, and they are moved back here: nothing that the
guard imports comes from such a directory if it is installed elsewhere, because it can be that of a model.
"""

from __future__ import annotations

import os
import sys


def _stop(error: BaseException) -> None:
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(error))
    sys.stderr.write(f"hf-sign: refused: this program was to run under the guard, and cannot: {text}\n")
    sys.stderr.flush()
    os._exit(1)  # `sys.exit` raises an exception, which Python would ignore like any other in a `.pth` file


def _put_python_path_first() -> None:
    entries = {*map(os.path.abspath, os.environ.get("PYTHONPATH", "").split(os.pathsep))}
    sys.path.sort(key=lambda entry: entry not in entries)  # it keeps the order of the others


if os.environ.get("HF_SIGN_GUARD"):  # the name is not imported, because an import can fail
    try:
        from hf_model_signing.guarding.guard import start_by_environment

        start_by_environment()
        _put_python_path_first()
    except BaseException as error:  # noqa: BLE001 - after any error the program does not run
        _stop(error)
