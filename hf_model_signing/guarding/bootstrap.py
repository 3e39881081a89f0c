"""Switches the guard on in a Python that starts under it; imported by `hf_sign_guard.pth` in site-packages.

Python ignores an error in a `.pth` file and starts the program all the same. So an error here ends the process, because
the program would run unguarded. See `docs/decisions/002-pth-file.md`.
"""

from __future__ import annotations

import os
import sys


def _stop(error: BaseException) -> None:
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(error))
    sys.stderr.write(f"hf-sign: refused: this program was to run under the guard, and cannot: {text}\n")
    sys.stderr.flush()
    os._exit(1)  # `sys.exit` raises an exception, which Python would ignore like any other in a `.pth` file


if os.environ.get("HF_SIGN_GUARD"):  # the name is not imported, because an import can fail
    try:
        from hf_model_signing.guarding.guard import start_by_environment

        start_by_environment()
    except BaseException as error:  # noqa: BLE001 - after any error the program does not run
        _stop(error)
